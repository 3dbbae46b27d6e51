//! One mirror and what is known of how it does: outstanding requests, latency, errors, and a circuit breaker.
//!
//! The breaker orders mirrors and forbids none: a mirror that failed lately is tried last, until its pause is over.

use crate::http::StatsSnapshot;
use crate::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The newest latency counts for one in this many.
const EWMA_WEIGHT: u64 = 8;

/// A mirror in use.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    outstanding: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    /// Weighted mean of successful requests' durations; 0: none yet.
    latency_us: AtomicU64,
    breaker: Mutex<Breaker>,
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
    error_last: Option<String>,
}

/// Whether a mirror is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorState {
    /// Not asked yet.
    Unknown,
    /// The last request succeeded.
    Up,
    /// The last request failed; the mirror is tried last until its pause is over.
    Down,
}

/// A mirror as listings show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Its name: the URL it was added with.
    pub name: String,
    /// Where it goes, without credentials.
    pub location: String,
    /// Whether requests go to it first.
    pub preferred: bool,
    /// Whether it works.
    pub state: MirrorState,
    /// Requests under way.
    pub outstanding: u64,
    /// Requests answered or failed since it was added.
    pub requests: u64,
    /// Those that failed for a reason of the mirror's own.
    pub errors: u64,
    /// Weighted mean of the duration of successful requests, in microseconds.
    pub latency_us: Option<u64>,
    /// The last such failure.
    pub error_last: Option<String>,
    /// Counters of its network, where it has one.
    pub network: Option<StatsSnapshot>,
}

/// Counts a request as outstanding until it is told how it ended, or is dropped.
pub(super) struct Outstanding<'a> {
    mirror: &'a Mirror,
    since: Instant,
}

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        self.mirror.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Mirror {
    pub(super) fn new(name: String, store: Arc<dyn Store>) -> Self {
        Self {
            name,
            store,
            outstanding: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            latency_us: AtomicU64::new(0),
            breaker: Mutex::default(),
        }
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self) -> Outstanding<'_> {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Outstanding {
            mirror: self,
            since: Instant::now(),
        }
    }

    /// Until when the mirror is to be tried last.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        self.breaker().open_until.filter(|&until| until > now)
    }

    fn up(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = self.latency_us.load(Ordering::Relaxed);
        let now = if before == 0 {
            took
        } else {
            (before * (EWMA_WEIGHT - 1) + took) / EWMA_WEIGHT
        };
        // A lost update of a mean does no harm.
        self.latency_us.store(now.max(1), Ordering::Relaxed);
        let mut breaker = self.breaker();
        (breaker.failures, breaker.open_until) = (0, None);
    }

    fn down(&self, error: &StoreError) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut breaker = self.breaker();
        let pause = PAUSE_MIN
            .saturating_mul(1 << breaker.failures.min(5))
            .min(PAUSE_MAX);
        breaker.failures = breaker.failures.saturating_add(1);
        breaker.open_until = Some(Instant::now() + error.retry_after().unwrap_or(pause).min(PAUSE_MAX));
        breaker.error_last = Some(error.to_string());
    }

    pub(super) fn status(&self, preferred: bool) -> MirrorStatus {
        let latency = self.latency_us.load(Ordering::Relaxed);
        let breaker = self.breaker();
        let state = match (breaker.failures, latency) {
            (0, 0) => MirrorState::Unknown,
            (0, _) => MirrorState::Up,
            _ => MirrorState::Down,
        };
        MirrorStatus {
            name: self.name.clone(),
            location: self.store.location(),
            preferred,
            state,
            outstanding: self.outstanding.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            latency_us: (latency != 0).then_some(latency),
            error_last: breaker.error_last.clone(),
            network: self.store.network(),
        }
    }
}

impl Outstanding<'_> {
    /// The request ended so. `of_mirror`: the failure is the mirror's own, not the request's.
    pub(super) fn end<T>(self, result: &Result<T, StoreError>, of_mirror: bool) {
        self.mirror.requests.fetch_add(1, Ordering::Relaxed);
        match result {
            Err(error) if of_mirror => self.mirror.down(error),
            _ => self.mirror.up(self.since.elapsed()),
        }
    }
}
