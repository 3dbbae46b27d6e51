//! The loop of one request: mirrors in order, pauses between rounds, the deadline, the grace after an ambiguous change.

use super::deadline;
use super::health::Mirror;
use super::list::{Mirrored, in_order};
use crate::{Store, StoreError};
use restblk_types::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Longest pause that a server gets by asking for it.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// A try has at least this long, while there is a deadline and another mirror to turn to.
const TRY_MIN: Duration = Duration::from_secs(1);

/// What a request does while no mirror works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It waits for as long as it takes.
    Wait,
    /// It fails after this long.
    FailAfter(Duration),
}

/// How requests are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What a request does while no mirror works.
    pub outage: Outage,
    /// The first pause, after every mirror has failed once. It doubles with each round; half of it is chance.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// How long success is held back after a change that was given up unanswered (see the module's note).
    pub landing_grace: Duration,
    /// The same where the connection broke.
    pub broken_grace: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            outage: Outage::Wait,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            landing_grace: Duration::from_secs(2),
            broken_grace: Duration::from_millis(100),
        }
    }
}

/// What a request does to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Changes,
    Flushes,
}

/// A request, for the loop.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) operation: &'static str,
    pub(super) object: &'a (dyn std::fmt::Display + Sync),
    pub(super) effect: Effect,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        operation: &'static str,
        object: &'a (dyn std::fmt::Display + Sync),
        effect: Effect,
    ) -> Self {
        Self {
            operation,
            object,
            effect,
        }
    }

    /// The failure is this mirror's: another may do better. What a change or a flush found broken stays broken: asking
    /// another mirror of the same repository would hide it.
    pub(super) fn is_of_mirror(&self, kind: ErrorKind) -> bool {
        kind.is_transient()
            || kind == ErrorKind::Denied
            || (kind == ErrorKind::Corrupt && self.effect == Effect::Reads)
    }
}

/// How a request ended, and whether a try before the last may have taken effect.
pub(super) struct Outcome<T> {
    pub(super) result: Result<T, StoreError>,
    pub(super) ambiguous: bool,
}

impl Mirrored {
    /// Until when a request that begins now may take: by the policy, and by the operation that it is a part of.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = match self.policy.outage {
            Outage::Wait => None,
            Outage::FailAfter(limit) => Some(Instant::now() + limit),
        };
        own.into_iter().chain(deadline::current()).min()
    }

    /// Runs the request on mirrors until one answers for good, or the deadline passes.
    pub(super) async fn run<T, F, R>(&self, request: Request<'_>, mut attempt: F) -> Outcome<T>
    where
        F: FnMut(Arc<dyn Store>) -> R + Send,
        R: Future<Output = Result<T, StoreError>> + Send,
        T: Send,
    {
        let deadline = self.deadline();
        // The usual case: the preferred mirror works; nothing is allocated.
        let list = self.current();
        let first = &list[0];
        let error = match self.once(first, request, deadline, true, &mut attempt).await {
            Err(error) if request.is_of_mirror(error.kind()) => error,
            result => {
                return Outcome {
                    result,
                    ambiguous: false,
                };
            }
        };
        let mut tries = Tries::new(self, request, deadline);
        tries.note(&error);
        // `Retry` says little of the server (a kept connection had died, say): once more there at once. Else elsewhere.
        let mut order = in_order(&list);
        order.retain(|mirror| !Arc::ptr_eq(mirror, first));
        if error.kind() == ErrorKind::Retry {
            order.insert(0, Arc::clone(first));
        }
        let mut worst = error;
        loop {
            for mirror in order {
                let failed = match self.once(&mirror, request, deadline, false, &mut attempt).await {
                    Err(failed) if request.is_of_mirror(failed.kind()) => failed,
                    result => {
                        self.prefer(&mirror);
                        self.outage.over();
                        return tries.end(result).await;
                    }
                };
                tries.note(&failed);
                // What passes by itself is told before what somebody must do something about.
                if failed.kind().is_transient() || !worst.kind().is_transient() {
                    worst = failed;
                }
            }
            if let Err(error) = tries.pause(&worst).await {
                return tries.end(Err(error)).await;
            }
            order = in_order(&self.current());
            // The next round is judged by itself: the last mirror that failed in passing may have been removed.
            worst = StoreError::new(
                ErrorKind::Denied,
                request.operation,
                request.object,
                "no mirror was tried",
            );
        }
    }

    /// One try. `forgiven`: a `Retry` does not count against the mirror.
    pub(super) async fn once<T, F, R>(
        &self,
        mirror: &Arc<Mirror>,
        request: Request<'_>,
        deadline: Option<Instant>,
        forgiven: bool,
        attempt: &mut F,
    ) -> Result<T, StoreError>
    where
        F: FnMut(Arc<dyn Store>) -> R,
        R: Future<Output = Result<T, StoreError>>,
    {
        let outstanding = mirror.begin();
        let work = attempt(Arc::clone(&mirror.store));
        let result = match deadline {
            None => work.await,
            Some(deadline) => timeout_at(self.end_of_try(deadline), work)
                .await
                .unwrap_or_else(|_| {
                    let reason = "no answer within the time that the request has";
                    let error =
                        StoreError::new(ErrorKind::Unavailable, request.operation, request.object, reason);
                    Err(error.at(mirror.store.location()).may_land_later())
                }),
        };
        let blamed = |error: &StoreError| {
            request.is_of_mirror(error.kind()) && !(forgiven && error.kind() == ErrorKind::Retry)
        };
        let of_mirror = result.as_ref().is_err_and(blamed);
        outstanding.end(&result, of_mirror);
        result
    }

    /// When a try is given up. One mirror that is silent leaves half of the time to the others.
    fn end_of_try(&self, deadline: Instant) -> Instant {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.current().len() {
            0 | 1 => deadline,
            _ => deadline.min(Instant::now() + (left / 2).max(TRY_MIN)),
        }
    }
}

/// The failed tries of one request.
struct Tries<'a> {
    mirrored: &'a Mirrored,
    request: Request<'a>,
    deadline: Option<Instant>,
    count: u32,
    backoff: Duration,
    /// A change may have taken effect, and success is to be told not before this.
    grace: Option<Instant>,
    /// A change may take effect yet.
    late: bool,
}

impl<'a> Tries<'a> {
    fn new(mirrored: &'a Mirrored, request: Request<'a>, deadline: Option<Instant>) -> Self {
        Self {
            mirrored,
            request,
            deadline,
            count: 0,
            backoff: mirrored.policy.backoff_min,
            grace: None,
            late: false,
        }
    }

    fn note(&mut self, error: &StoreError) {
        self.count = self.count.saturating_add(1);
        if self.request.effect == Effect::Changes && error.is_ambiguous() {
            self.late |= error.is_late();
            let policy = &self.mirrored.policy;
            let wait = if error.is_late() {
                policy.landing_grace
            } else {
                policy.broken_grace
            };
            self.grace = self.grace.max(Some(Instant::now() + wait));
        }
    }

    /// After a round in which every mirror failed: the error where it is the last word, else waits for the next round.
    async fn pause(&mut self, worst: &StoreError) -> Result<(), StoreError> {
        let backoff = self.backoff / 2 + jitter(self.backoff / 2);
        let until = Instant::now()
            + worst
                .retry_after()
                .map_or(backoff, |asked| asked.min(RETRY_AFTER_MAX));
        if !worst.kind().is_transient() {
            return Err(worst.clone());
        }
        if self.deadline.is_some_and(|deadline| until >= deadline) {
            return Err(worst
                .clone()
                .because(format!("given up after {} tries", self.count)));
        }
        self.mirrored.outage.failed(worst);
        sleep_until(until).await;
        self.backoff = (self.backoff * 2).min(self.mirrored.policy.backoff_max);
        Ok(())
    }

    async fn end<T>(self, result: Result<T, StoreError>) -> Outcome<T> {
        let ambiguous = self.grace.is_some();
        match (result, self.grace) {
            (Ok(done), Some(until)) => {
                sleep_until(until).await;
                Outcome {
                    result: Ok(done),
                    ambiguous,
                }
            }
            (Err(error), Some(_)) => {
                let error = if self.late {
                    error.may_land_later()
                } else {
                    error.ambiguous()
                };
                Outcome {
                    result: Err(error),
                    ambiguous,
                }
            }
            (result, None) => Outcome { result, ambiguous },
        }
    }
}

pub(super) fn jitter(most: Duration) -> Duration {
    most.mul_f64(rand::random())
}
