//! Rate limits in front of a device: each request waits for its turn, and none is refused.
//!
//! A limit is a generic cell rate: one instant, the time at which all that was let through will be paid for at the limited
//! rate. A request is let through once that instant is at most a burst ahead of now, and moves it on by its own cost. So
//! requests go in the order in which they came, one larger than the burst is let through and paid for by those after it, and a
//! change of the limit takes effect on the requests that wait.
//!
//! Several limits (the volume's, its pool's) are passed one after the other. Flushes never wait: whoever waits for one holds
//! up more than itself.

use crate::{BlockDevice, BlockError, Geometry, Span, WriteFlags};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::RateLimits;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The share of a second's worth that may be made up for at once, where no burst is given.
const BURST_SHARE: u64 = 10;

/// A rate and its burst, in units of what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    fn new(per_second: Option<u64>, burst: Option<u64>) -> Option<Self> {
        let per_second = per_second?.max(1);
        let burst = burst.unwrap_or(per_second / BURST_SHARE).max(1);
        Some(Self { per_second, burst })
    }

    /// How long `units` take at this rate; at most a day, whatever was asked for.
    fn time(self, units: u64) -> Duration {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_secs(86_400))
    }
}

/// One counted thing: when what was let through is paid for.
#[derive(Debug, Default)]
struct Cell(Mutex<Option<Instant>>);

impl Cell {
    /// Takes a turn for `units`; says when it is.
    fn reserve(&self, rate: Rate, units: u64, now: Instant) -> Instant {
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = paid.unwrap_or(now).max(now);
        *paid = Some(from + rate.time(units));
        // A request of one unit is always within the burst of an idle cell.
        from.checked_sub(rate.time(rate.burst.saturating_sub(1)))
            .unwrap_or(now)
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Limits that can be changed while they are in use.
#[derive(Debug)]
pub struct Limiter {
    limits: watch::Sender<RateLimits>,
    requests: Cell,
    bytes: Cell,
}

impl Limiter {
    /// A limiter with these limits.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        Self {
            limits: watch::Sender::new(limits),
            requests: Cell::default(),
            bytes: Cell::default(),
        }
    }

    /// The limits now.
    #[must_use]
    pub fn limits(&self) -> RateLimits {
        *self.limits.borrow()
    }

    /// Changes the limits, also for the requests that wait now.
    pub fn set(&self, limits: RateLimits) {
        self.requests.forget();
        self.bytes.forget();
        self.limits.send_replace(limits);
    }

    /// Waits for the turn of one request of so many bytes.
    pub async fn pass(&self, bytes: u64) {
        if self.limits.borrow().is_none() {
            return;
        }
        let mut changes = self.limits.subscribe();
        loop {
            let limits = *changes.borrow_and_update();
            let requests = Rate::new(limits.iops, limits.iops_burst);
            let bandwidth = Rate::new(limits.bytes_per_s, limits.bytes_burst).filter(|_| bytes > 0);
            let now = Instant::now();
            let turns = [
                requests.map(|rate| self.requests.reserve(rate, 1, now)),
                bandwidth.map(|rate| self.bytes.reserve(rate, bytes, now)),
            ];
            let Some(turn) = turns.into_iter().flatten().max().filter(|turn| *turn > now) else {
                break;
            };
            // The sender is ours, so that it does not end before the wait.
            tokio::select! {
                () = sleep_until(turn) => break,
                _ = changes.changed() => {}
            }
        }
    }
}

/// A device whose requests pass limiters first.
#[derive(Debug)]
pub struct Limited<D> {
    device: D,
    limiters: Vec<Arc<Limiter>>,
    waited_us: Arc<AtomicU64>,
}

impl<D: BlockDevice> Limited<D> {
    /// The device behind these limiters, passed in this order. To `waited_us` is added how long requests wait here, in
    /// microseconds.
    #[must_use]
    pub fn new(device: D, limiters: Vec<Arc<Limiter>>, waited_us: Arc<AtomicU64>) -> Self {
        Self {
            device,
            limiters,
            waited_us,
        }
    }

    async fn pass(&self, bytes: u64) {
        let begun = Instant::now();
        for limiter in &self.limiters {
            limiter.pass(bytes).await;
        }
        let waited = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waited_us.fetch_add(waited, Ordering::Relaxed);
    }
}

#[async_trait]
impl<D: BlockDevice> BlockDevice for Limited<D> {
    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.device.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.pass(buf.len() as u64).await;
        self.device.read(offset, buf).await
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        self.pass(len as u64).await;
        self.device.read_pieces(offset, len).await
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        self.pass(0).await;
        self.device.spans(offset, len).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.pass(data.len() as u64).await;
        self.device.write(offset, data, flags).await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        self.pass(data.len() as u64).await;
        self.device.write_bytes(offset, data, flags).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.device.flush().await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.pass(0).await;
        self.device.discard(offset, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.pass(0).await;
        self.device.write_zeroes(offset, len, flags).await
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
