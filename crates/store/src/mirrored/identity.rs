//! Whether the repository that answers is still the pool's own.
//!
//! Behind a mirror's name may turn up another server: a name that was moved, a restart with another folder, an address that was given away. That
//! takes a new connection, so after each one the repository's marker is read before what came over it is believed; the same where an object is
//! said to be missing, which is how another repository looks through a balancer that kept the connection. `probe` looks now and then besides.
//!
//! A mirror that shows another repository, or none, is quarantined ([`MirrorState::Foreign`](super::MirrorState)): the answer counts as a failure
//! of the mirror's, and the request goes to another one. What cannot be taken back is a change that such a server has carried out in *its*
//! repository before its first answer was looked at; in ours that change is made through the next mirror.
//!
//! Only pools that are watched ([`Mirrored::watch`](super::Mirrored::watch)) have a marker; before, nothing is looked at.

use super::mirror::Mirror;
use super::probe::Marker;
use super::retry::Request;
use super::set::{Mirrored, Set};
use crate::StoreError;
use restblk_types::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What a mirror shows instead of the pool's repository.
pub(super) type Shown = Result<(), &'static str>;

/// A look at the marker may take this long, or several times as long as the mirror's requests.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_FACTOR: u32 = 4;

/// How long an answer to a look is waited for.
pub(super) fn patience(mirror: &Mirror) -> Duration {
    (mirror.latency().unwrap_or_default() * PATIENCE_FACTOR).max(PATIENCE)
}

/// The error of a look that was not answered in time.
pub(super) fn unanswered(mirror: &Mirror, marker: &Marker) -> StoreError {
    let reason = format!(
        "a probe was not answered within {} ms",
        patience(mirror).as_millis()
    );
    let error = StoreError::new(ErrorKind::Unavailable, "read", &marker.key, reason);
    error.at(mirror.store.location()).ambiguous()
}

/// Reads the marker through the mirror.
pub(super) async fn look(mirror: &Mirror, marker: &Marker) -> Result<Shown, StoreError> {
    match mirror.store.get(&marker.key, None).await {
        Ok(found) => Ok((marker.is_ours)(&found.payload.into_bytes())
            .then_some(())
            .ok_or("another repository")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Err("no repository")),
        Err(error) => Err(error),
    }
}

impl Set {
    /// Keeps what was seen of the mirror; says whether requests may go to it that could not before.
    pub(super) fn shown(&self, mirror: &Mirror, shown: Shown) -> bool {
        let (pool, name) = (self.outage.name(), &mirror.name);
        let changed = mirror.set_foreign(shown.is_err());
        match shown {
            Ok(()) if changed => {
                tracing::info!(
                    pool,
                    mirror = name,
                    "the mirror shows the pool's repository again"
                );
            }
            Err(what) if changed => tracing::error!(
                pool,
                mirror = name,
                "the mirror shows {what} now: nothing is sent to it until it shows the pool's own; check the server and its name"
            ),
            _ => {}
        }
        shown.is_ok() && changed
    }
}

impl Mirrored {
    /// The answer, if it came from the pool's repository for all that is known.
    pub(super) async fn of_ours<T>(
        &self,
        mirror: &Arc<Mirror>,
        request: Request<'_>,
        answer: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(marker) = self.set.marker.get() else {
            return answer;
        };
        let opened = mirror.store.connections_opened();
        let is_missing = answer
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let is_doubted = is_missing || mirror.connections_known() < opened;
        if !is_doubted || !request.is_last_word(&answer) {
            return answer;
        }
        let failed_before = mirror.looks_failed();
        let _one = mirror.looking.lock().await;
        if mirror.looks_failed() != failed_before {
            // Whoever was before has waited for it long enough.
            return Err(unanswered(mirror, marker));
        }
        if is_missing || mirror.connections_known() < opened {
            // Those that are made from here on are doubted anew.
            let opened = mirror.store.connections_opened();
            let looked = timeout(patience(mirror), look(mirror, marker)).await;
            let shown = looked
                .unwrap_or_else(|_| Err(unanswered(mirror, marker)))
                .map_err(|error| {
                    mirror.look_failed();
                    // What was asked for may have been done: asking once more elsewhere is right then.
                    error.ambiguous()
                })?;
            mirror.know_connections(opened);
            self.set.shown(mirror, shown);
        }
        if mirror.is_foreign() {
            let reason = "the mirror shows another repository than the pool's, or none";
            let error = StoreError::new(ErrorKind::Unavailable, request.operation, request.object, reason);
            return Err(error.at(mirror.store.location()));
        }
        answer
    }
}
