//! One mirror and what is known of how it does.
//!
//! Owns its counters, latencies, breaker and standing, shared by all views of a pool (`Mirrored`). The way of a request
//! ([`Mirror::begin`] to its end) takes atomics and two short mutexes.

use super::balance::Load;
use super::breaker::{Admission, Breaker, Severity};
use super::latency::{Mean, Quantiles, micros};
use super::recent::MirrorId;
use crate::http::StatsSnapshot;
use crate::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A mirror whose requests take this many times as long as those of the best one is slow.
const SLOW_FACTOR: u64 = 4;
/// And no less than this, in microseconds: below, slowness is of no interest.
const SLOW_FLOOR_US: u64 = 5_000;
/// A mirror that owes answers and gave none for so long, or ten times as long as its requests take, is quiet.
const QUIET_MIN: Duration = Duration::from_secs(1);
const QUIET_FACTOR: u32 = 10;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// How a mirror is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorOptions {
    /// Its share of the requests, in proportion to the weights of the others of its priority. At least 1.
    pub weight: u32,
    /// Mirrors of the highest priority that work have all requests; the others none.
    pub priority: i32,
    /// It takes no new requests.
    pub drained: bool,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            weight: 1,
            priority: 0,
            drained: false,
        }
    }
}

/// How a mirror does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorState {
    /// It works, as far as is known.
    Up,
    /// It works, several times as slowly as the best one.
    Slow,
    /// It failed, and is being tried again.
    HalfOpen,
    /// It failed lately; no requests go to it.
    Down,
    /// It takes no new requests, as it was asked to.
    Draining,
    /// It shows another repository, or none: nothing goes to it.
    Foreign,
}

/// A mirror as listings show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Its name: the URL it was added with.
    pub name: String,
    /// Where it goes, without credentials.
    pub location: String,
    /// How it does.
    pub state: MirrorState,
    /// How it is used.
    pub options: MirrorOptions,
    /// Requests under way.
    pub outstanding: u64,
    /// Requests that ended since it was added.
    pub requests: u64,
    /// Those that failed for a reason of the mirror's own.
    pub errors: u64,
    /// Its part of the requests of the last seconds, 0 to 1.
    pub share: f64,
    /// Smoothed time of successful requests, in microseconds.
    pub latency_us: Option<u64>,
    /// Quantiles of the last seconds' requests, in microseconds: 0.5, 0.95, 0.99.
    pub latency_us_quantiles: Option<[u64; 3]>,
    /// The last failure of its own.
    pub error_last: Option<String>,
    /// Counters of its network, where it has one.
    pub network: Option<StatsSnapshot>,
}

/// A mirror in use.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) id: MirrorId,
    pub(super) name: String,
    pub(super) store: Arc<dyn Store>,
    weight: AtomicU32,
    priority: AtomicI32,
    draining: AtomicBool,
    foreign: AtomicBool,
    /// The breaker is closed; a copy.
    closed: AtomicBool,
    /// And has nothing to remember.
    clean: AtomicBool,
    breaker: Mutex<Breaker>,
    error_last: Mutex<Option<StoreError>>,
    busy: Busy,
    errors: AtomicU64,
    mean: Mean,
    quantiles: Quantiles,
    born: Instant,
    /// Told when nothing is outstanding any more.
    idle: Notify,
}

/// Counts a request as outstanding until it is told how it ended, or is dropped.
pub(super) struct Outstanding<'a> {
    mirror: &'a Mirror,
    start: Start,
    ended: bool,
}

/// How a try begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// When.
    pub(super) at: Instant,
    /// It tries whether the mirror works again.
    pub(super) trial: bool,
}

impl Start {
    /// Now, on a mirror that works for all that is known.
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            trial: false,
        }
    }
}

/// What every request writes, apart from what all of them read.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Busy {
    outstanding: AtomicU64,
    requests: AtomicU64,
    /// When the mirror last answered, or was given something to answer while it had nothing; in microseconds since its birth.
    quiet_since: AtomicU64,
}

impl Mirror {
    pub(super) fn new(name: String, store: Arc<dyn Store>, options: MirrorOptions, now: Instant) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name,
            store,
            weight: AtomicU32::new(options.weight.max(1)),
            priority: AtomicI32::new(options.priority),
            draining: AtomicBool::new(options.drained),
            foreign: AtomicBool::new(false),
            closed: AtomicBool::new(true),
            clean: AtomicBool::new(true),
            breaker: Mutex::new(Breaker::new()),
            error_last: Mutex::default(),
            busy: Busy::default(),
            errors: AtomicU64::new(0),
            mean: Mean::new(now),
            quantiles: Quantiles::new(now),
            born: now,
            idle: Notify::new(),
        }
    }

    pub(super) fn options(&self) -> MirrorOptions {
        MirrorOptions {
            weight: self.weight(),
            priority: self.priority(),
            drained: self.is_draining(),
        }
    }

    pub(super) fn set(&self, options: MirrorOptions) {
        self.weight.store(options.weight.max(1), Ordering::Relaxed);
        self.priority.store(options.priority, Ordering::Relaxed);
        self.draining.store(options.drained, Ordering::SeqCst);
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::SeqCst)
    }

    /// Says whether it is another than before.
    pub(super) fn set_foreign(&self, foreign: bool) -> bool {
        self.foreign.swap(foreign, Ordering::SeqCst) != foreign
    }

    /// New requests may go to it, if its breaker lets them.
    pub(super) fn is_used(&self) -> bool {
        !self.is_draining() && !self.is_foreign()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the breaker; says whether more may be sent than before.
    fn with_breaker<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> (T, bool) {
        let mut breaker = self.breaker();
        let before = (breaker.is_closed(), breaker.is_half_open());
        let done = change(&mut breaker);
        let now = (breaker.is_closed(), breaker.is_half_open());
        self.closed.store(now.0, Ordering::Release);
        self.clean.store(breaker.is_clean(), Ordering::Release);
        (done, now != before && (now.0 || now.1))
    }

    /// Whether a request may go to it now; `desperate` where no mirror is closed, `timid` for one that must not try whether it
    /// works unless a probe was answered.
    pub(super) fn admit(&self, desperate: bool, timid: bool, now: Instant) -> Admission {
        self.with_breaker(|breaker| breaker.admit(desperate, timid, now))
            .0
    }

    /// When it failed last, while its breaker is open.
    pub(super) fn open_since(&self) -> Option<Instant> {
        self.breaker().open_since()
    }

    pub(super) fn asked_until(&self, now: Instant) -> Option<Instant> {
        self.breaker().asked_until(now)
    }

    pub(super) fn error_last(&self) -> Option<StoreError> {
        self.error_last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, error: &StoreError) {
        *self.error_last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    }

    fn since_birth(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.born))
    }

    /// A request goes to it.
    pub(super) fn begin(&self, start: Start) -> Outstanding<'_> {
        if self.busy.outstanding.fetch_add(1, Ordering::SeqCst) == 0 {
            let now = self.since_birth(start.at);
            self.busy.quiet_since.store(now, Ordering::Relaxed);
        }
        Outstanding {
            mirror: self,
            start,
            ended: false,
        }
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.busy.outstanding.load(Ordering::SeqCst)
    }

    /// Waits until nothing is outstanding.
    pub(super) async fn is_idle(&self) {
        loop {
            let told = self.idle.notified();
            if self.outstanding() == 0 {
                return;
            }
            told.await;
        }
    }

    /// For how long it has owed answers and given none, in microseconds.
    fn silent_us(&self, now: Instant) -> u64 {
        if self.outstanding() == 0 {
            return 0;
        }
        self.since_birth(now)
            .saturating_sub(self.busy.quiet_since.load(Ordering::Relaxed))
    }

    /// It owes answers and gives none.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let usual = self.mean.get().unwrap_or_default() * QUIET_FACTOR;
        self.silent_us(now) > micros(usual.max(QUIET_MIN))
    }

    /// Smoothed time of its requests.
    pub(super) fn latency(&self) -> Option<Duration> {
        self.mean.get()
    }

    pub(super) fn load(&self, now: Instant) -> Load {
        Load {
            latency_us: self.mean.faded_us(now).max(self.silent_us(now)),
            outstanding: self.outstanding(),
            weight: self.weight(),
        }
    }

    /// A probe that began at `began` was answered; says whether more may be sent than before.
    pub(super) fn answered_probe(&self, began: Instant, now: Instant) -> bool {
        self.mean.take_probe(now - began, now);
        !self.clean.load(Ordering::Acquire) && self.with_breaker(|breaker| breaker.answered_probe(now)).1
    }

    /// A request, or a probe, that began at `began` failed.
    pub(super) fn failed(&self, error: &StoreError, began: Instant, now: Instant) {
        let severity = if error.kind() == restblk_types::ErrorKind::Unavailable {
            Severity::Certain
        } else {
            Severity::Sporadic
        };
        self.note(error);
        self.with_breaker(|breaker| breaker.failed(severity, began, error.retry_after(), now));
    }

    /// It is several times as slow as the best, which takes `best_us`.
    pub(super) fn is_slow(&self, best_us: u64, now: Instant) -> bool {
        let own = self.load(now).latency_us;
        own >= SLOW_FLOOR_US && own > best_us.saturating_mul(SLOW_FACTOR)
    }

    fn state(&self, best_us: u64, now: Instant) -> MirrorState {
        if self.is_foreign() {
            MirrorState::Foreign
        } else if self.is_draining() {
            MirrorState::Draining
        } else if self.is_closed() {
            if self.is_slow(best_us, now) {
                MirrorState::Slow
            } else {
                MirrorState::Up
            }
        } else if self.breaker().is_half_open() {
            MirrorState::HalfOpen
        } else {
            MirrorState::Down
        }
    }

    /// Requests of the last seconds.
    pub(super) fn lately(&self, now: Instant) -> u64 {
        self.quantiles.count(now)
    }

    /// As listings show it. `best_us`: the least latency of the mirrors in use; `all`: the requests of the last seconds of all.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests in seconds")]
    pub(super) fn status(&self, best_us: u64, all: u64, now: Instant) -> MirrorStatus {
        let quantiles = self.quantiles.at([0.5, 0.95, 0.99], 1, now);
        MirrorStatus {
            name: self.name.clone(),
            location: self.store.location(),
            state: self.state(best_us, now),
            options: self.options(),
            outstanding: self.outstanding(),
            requests: self.busy.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            share: if all == 0 {
                0.0
            } else {
                self.lately(now) as f64 / all as f64
            },
            latency_us: self.mean.get().map(micros),
            latency_us_quantiles: quantiles.map(|all| all.map(micros)),
            error_last: self.error_last().map(|error| error.to_string()),
            network: self.store.network(),
        }
    }
}

/// How a request ended.
pub(super) struct Ended {
    /// When.
    pub(super) at: Instant,
    /// How long it took.
    pub(super) took: Duration,
    /// More may be sent to the mirror than before.
    pub(super) more: bool,
}

impl<'a> Outstanding<'a> {
    pub(super) fn mirror(&self) -> &'a Mirror {
        self.mirror
    }

    /// The request ended so. `of_mirror`: the failure is the mirror's own, not the request's.
    pub(super) fn end<T>(mut self, result: &Result<T, StoreError>, of_mirror: bool) -> Ended {
        self.ended = true;
        let (mirror, at) = (self.mirror, Instant::now());
        let took = at.saturating_duration_since(self.start.at);
        mirror.busy.requests.fetch_add(1, Ordering::Relaxed);
        mirror
            .busy
            .quiet_since
            .store(mirror.since_birth(at), Ordering::Relaxed);
        mirror.quantiles.take(took, at);
        let more = match result {
            Err(error) if of_mirror => {
                mirror.errors.fetch_add(1, Ordering::Relaxed);
                mirror.failed(error, self.start.at, at);
                false
            }
            _ => {
                mirror.mean.take(took, at);
                !mirror.clean.load(Ordering::Acquire)
                    && mirror
                        .with_breaker(|breaker| breaker.succeeded(self.start.at, at))
                        .1
            }
        };
        Ended { at, took, more }
    }
}

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        let mirror = self.mirror;
        if !self.ended {
            let now = Instant::now();
            // It would have taken longer yet.
            let took = now.saturating_duration_since(self.start.at);
            if mirror.mean.get().is_none_or(|usual| took > usual) {
                mirror.mean.take(took, now);
            }
            if self.start.trial {
                mirror.with_breaker(|breaker| breaker.abandoned(self.start.at));
            }
        }
        if mirror.busy.outstanding.fetch_sub(1, Ordering::SeqCst) == 1 {
            mirror.idle.notify_waiters();
        }
    }
}
