//! Whether the repository that answers is still the pool's own.
//!
//! Behind a mirror's name may turn up another server: a name that was moved, a restart with another folder, an address that was given away. That
//! takes a new connection, so over each one the repository's marker is read before it carries any request of the pool (`http::greet`); where it shows
//! another repository, nothing has been sent there but that look. Where an object is said to be missing the marker is read as well, which is how another
//! repository looks through a balancer that kept the connection. `probe` looks now and then besides.
//!
//! A mirror that shows another repository, or none, is quarantined ([`MirrorState::Foreign`](super::MirrorState)), and the request goes to another one.
//! It is released by a probe alone: what one of its connections shows says little of the others while it changes.
//!
//! Only pools that are watched ([`Mirrored::watch`](super::Mirrored::watch)) have a marker; before, nothing is looked at.

use super::mirror::Mirror;
use super::probe::Marker;
use super::retry::aside;
use super::set::{Mirrored, Set};
use crate::StoreError;
use crate::http::Greeter;
use async_trait::async_trait;
use restblk_types::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::timeout;

/// What a mirror shows instead of the pool's repository.
pub(super) type Shown = Result<(), &'static str>;

/// A look at the marker may take this long, or several times as long as the mirror's requests.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_FACTOR: u32 = 4;

/// Reads the marker through the mirror. An error where that is not answered in time, or badly.
pub(super) async fn look(mirror: &Mirror, marker: &Marker) -> Result<Shown, StoreError> {
    let patience = (mirror.latency().unwrap_or_default() * PATIENCE_FACTOR).max(PATIENCE);
    match timeout(patience, mirror.store.get(&marker.key, None)).await {
        Ok(Ok(found)) => Ok((marker.is_ours)(&found.payload.into_bytes())
            .then_some(())
            .ok_or("another repository")),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(Err("no repository")),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let reason = format!("it was not answered within {} ms", patience.as_millis());
            let error = StoreError::new(ErrorKind::Unavailable, "read", &marker.key, reason);
            Err(error.at(mirror.store.location()))
        }
    }
}

/// Looks at who answers over a mirror's new connections.
#[derive(Debug)]
struct OfMirror {
    set: Weak<Set>,
    mirror: Weak<Mirror>,
}

#[async_trait]
impl Greeter for OfMirror {
    async fn greet(&self) -> Result<(), StoreError> {
        match (self.set.upgrade(), self.mirror.upgrade()) {
            (Some(set), Some(mirror)) => set.require_ours(&mirror).await,
            // The pool is no more, and has no requests.
            _ => Ok(()),
        }
    }
}

impl Set {
    /// Has the mirrors' connections looked at by this marker from now on; false where there is one already.
    pub(super) fn know_by(self: &Arc<Self>, marker: &Marker) -> bool {
        let known = self.change(|list| {
            let is_first = self.marker.set(marker.clone()).is_ok();
            list.iter().for_each(|mirror| self.guard(mirror));
            Ok(is_first)
        });
        known.unwrap_or(false)
    }

    /// Has the mirror's connections looked at, if there is a marker.
    pub(super) fn guard(self: &Arc<Self>, mirror: &Arc<Mirror>) {
        if self.marker.get().is_some() {
            let (set, of) = (Arc::downgrade(self), Arc::downgrade(mirror));
            mirror.store.set_greeter(Arc::new(OfMirror { set, mirror: of }));
        }
    }

    /// Looks at the marker through the mirror; `Unavailable` where it shows another repository.
    async fn require_ours(&self, mirror: &Mirror) -> Result<(), StoreError> {
        let Some(marker) = self.marker.get() else {
            return Ok(());
        };
        let shown = look(mirror, marker).await?;
        let Err(what) = shown else {
            return Ok(());
        };
        self.shown(mirror, shown);
        let reason = format!("it shows {what} instead of the pool's");
        let error = StoreError::new(
            ErrorKind::Unavailable,
            "find the repository by",
            &marker.key,
            reason,
        );
        Err(error.at(mirror.store.location()))
    }

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
    /// The answer that an object is missing, unless another repository, or nobody, is seen then.
    pub(super) async fn missing<T>(&self, mirror: &Mirror, answer: StoreError) -> Result<T, StoreError> {
        aside(|| self.set.require_ours(mirror)).await?;
        Err(answer)
    }
}
