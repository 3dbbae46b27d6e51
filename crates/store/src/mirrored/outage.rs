//! Tells the log about an outage once when it begins, then at intervals, and once when it is over.

use crate::StoreError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(60);

/// The state of the outage, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct OutageLog {
    /// What the store is called in the log.
    name: OnceLock<String>,
    /// A copy, to be read without a lock.
    is_on: AtomicBool,
    state: Mutex<Option<Since>>,
    /// Milliseconds of outages that are over.
    past_ms: AtomicU64,
}

#[derive(Debug)]
struct Since {
    began: Instant,
    told: Instant,
}

impl OutageLog {
    /// Names the store. The first name stays.
    pub(super) fn set_name(&self, name: &str) {
        let _ = self.name.set(name.to_owned());
    }

    pub(super) fn name(&self) -> &str {
        self.name.get().map_or("unnamed", String::as_str)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Option<Since>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request waits because no mirror works; `error` is what it waits for to pass.
    pub(super) fn failed(&self, error: &StoreError) {
        let now = Instant::now();
        let mut state = self.state();
        match state.as_mut() {
            None => {
                tracing::warn!(pool = self.name(), %error, "no mirror works: requests wait");
                *state = Some(Since {
                    began: now,
                    told: now,
                });
                self.is_on.store(true, Ordering::Release);
            }
            Some(since) if now - since.told >= INTERVAL => {
                since.told = now;
                let down_s = (now - since.began).as_secs();
                tracing::warn!(pool = self.name(), %error, down_s, "still no mirror works: requests wait");
            }
            Some(_) => {}
        }
    }

    /// A request has succeeded.
    pub(super) fn over(&self) {
        if !self.is_on.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state();
        self.is_on.store(false, Ordering::Release);
        if let Some(since) = state.take() {
            let down = since.began.elapsed();
            let ms = u64::try_from(down.as_millis()).unwrap_or(u64::MAX);
            self.past_ms.fetch_add(ms, Ordering::Relaxed);
            tracing::info!(
                pool = self.name(),
                down_s = down.as_secs(),
                "a mirror works again"
            );
        }
    }

    /// How long it has lasted; `None` while there is none.
    pub(super) fn lasts(&self) -> Option<Duration> {
        Some(self.state().as_ref()?.began.elapsed())
    }

    /// How long all outages lasted together.
    pub(super) fn total(&self) -> Duration {
        Duration::from_millis(self.past_ms.load(Ordering::Relaxed)) + self.lasts().unwrap_or_default()
    }
}
