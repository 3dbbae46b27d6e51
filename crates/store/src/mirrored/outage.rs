//! Tells the log about an outage once when it begins, then at intervals, and once when it is over.

use crate::StoreError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// The state of the outage, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct OutageLog {
    state: Mutex<Option<Since>>,
}

#[derive(Debug)]
struct Since {
    began: Instant,
    told: Instant,
}

impl OutageLog {
    fn state(&self) -> std::sync::MutexGuard<'_, Option<Since>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has tried every mirror and none worked.
    pub(super) fn failed(&self, error: &StoreError) {
        let now = Instant::now();
        let mut state = self.state();
        match state.as_mut() {
            None => {
                tracing::warn!(%error, "no mirror works; requests wait and are tried again");
                *state = Some(Since {
                    began: now,
                    told: now,
                });
            }
            Some(since) if now - since.told >= INTERVAL => {
                since.told = now;
                tracing::warn!(%error, down_s = (now - since.began).as_secs(), "still no mirror works");
            }
            Some(_) => {}
        }
    }

    /// A request that had waited has succeeded.
    pub(super) fn over(&self) {
        if let Some(since) = self.state().take() {
            tracing::info!(down_s = since.began.elapsed().as_secs(), "a mirror works again");
        }
    }
}
