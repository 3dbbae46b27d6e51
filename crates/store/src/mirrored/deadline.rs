//! One deadline for all the requests of an operation, beside the one that each request has by its policy.
//!
//! An operation of several requests that each may wait out an outage would wait it out several times. It is told to the
//! requests by the task that makes them, so that it needs no place in the arguments of everything between. Tasks that the
//! operation spawns do not have it: what serves a device's data goes on after the command that attached it.
//! Only requests of a [`Mirrored`](super::Mirrored) look at it.

use std::time::Duration;
use tokio::time::Instant;

/// How long a clean-up has, whatever is left of the operation that failed.
const CLEAN_UP: Duration = Duration::from_secs(2);

tokio::task_local! {
    static DEADLINE: Instant;
}

/// The deadline of the operation that this task is in.
pub(super) fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Runs an operation whose requests, taken together, wait for a store no longer than `limit`. Within another such
/// operation the earlier deadline holds.
pub async fn within<F: Future>(limit: Duration, operation: F) -> F::Output {
    let own = Instant::now() + limit;
    let deadline = current().map_or(own, |outer| outer.min(own));
    DEADLINE.scope(deadline, operation).await
}

/// Runs what takes back the steps of an operation that failed: it has two seconds, also where the operation has
/// nothing left, and no more where the operation is bounded at all.
pub async fn clean_up<F: Future>(work: F) -> F::Output {
    match current() {
        Some(_) => DEADLINE.scope(Instant::now() + CLEAN_UP, work).await,
        None => work.await,
    }
}
