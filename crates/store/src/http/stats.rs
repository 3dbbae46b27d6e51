//! Figures of one client: counters that metrics read.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency histogram's buckets, in microseconds; a last bucket has the rest.
pub const LATENCY_BOUNDS_US: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000,
];

/// Counters of one client; all only grow, but for the two that say so.
#[derive(Debug, Default)]
pub struct Stats {
    requests: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
    in_flight: AtomicU64,
    connections_opened: AtomicU64,
    connections_open: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    latency_us_total: AtomicU64,
    latency_buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    /// The server's clock less ours, in milliseconds; `i64::MIN`: not known.
    clock_skew_ms: ClockSkew,
}

/// [`Stats`] at one moment. Counters are read one by one and may be a request apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsSnapshot {
    /// Exchanges begun.
    pub requests: u64,
    /// Exchanges without a complete answer, or answered with a status of 500 or more.
    pub errors: u64,
    /// Those of them that ran out of time.
    pub timeouts: u64,
    /// Exchanges under way now.
    pub in_flight: u64,
    /// Connections made.
    pub connections_opened: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Bytes of bodies sent.
    pub bytes_sent: u64,
    /// Bytes of bodies received.
    pub bytes_received: u64,
    /// Sum of the durations of complete exchanges, in microseconds, without the wait for a connection.
    pub latency_us_total: u64,
    /// Complete exchanges by duration: bucket `i` up to [`LATENCY_BOUNDS_US`]`[i]`, the last one above.
    pub latency_buckets: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// How far the server's clock is ahead of ours, in milliseconds, by the last answer that told; known to a second.
    pub clock_skew_ms: Option<i64>,
}

/// A skew that may not be known yet.
#[derive(Debug)]
struct ClockSkew(AtomicI64);

impl Default for ClockSkew {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(std::sync::Arc<Stats>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts an exchange as under way until it is dropped.
pub(super) struct InFlight<'a>(&'a Stats);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stats {
    pub(super) fn connected(self: &std::sync::Arc<Self>) -> OpenConnection {
        add(&self.connections_opened, 1);
        add(&self.connections_open, 1);
        OpenConnection(std::sync::Arc::clone(self))
    }

    pub(super) fn begin(&self, bytes_sent: usize) -> InFlight<'_> {
        add(&self.requests, 1);
        add(&self.in_flight, 1);
        add(&self.bytes_sent, bytes_sent as u64);
        InFlight(self)
    }

    pub(super) fn answered(&self, took: Duration, bytes_received: usize, failed: bool) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.latency_us_total, took_us);
        add(&self.bytes_received, bytes_received as u64);
        add(
            &self.latency_buckets[LATENCY_BOUNDS_US.partition_point(|&bound| bound < took_us)],
            1,
        );
        add(&self.errors, u64::from(failed));
    }

    /// An answer that came now told the server's time, in seconds since 1970.
    pub(super) fn server_time(&self, told_s: u64, now: std::time::SystemTime) {
        let Ok(now) = now.duration_since(std::time::UNIX_EPOCH) else {
            return;
        };
        let ms = |of: u128| i64::try_from(of).unwrap_or(i64::MAX);
        let skew = ms(u128::from(told_s) * 1000).saturating_sub(ms(now.as_millis()));
        // Told in whole seconds: what lies within one is no skew.
        let skew = if (-1_500..=500).contains(&skew) { 0 } else { skew };
        self.clock_skew_ms.0.store(skew, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, timed_out: bool) {
        add(&self.errors, 1);
        add(&self.timeouts, u64::from(timed_out));
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatsSnapshot {
            requests: read(&self.requests),
            errors: read(&self.errors),
            timeouts: read(&self.timeouts),
            in_flight: read(&self.in_flight),
            connections_opened: read(&self.connections_opened),
            connections_open: read(&self.connections_open),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            latency_us_total: read(&self.latency_us_total),
            latency_buckets: std::array::from_fn(|i| read(&self.latency_buckets[i])),
            clock_skew_ms: Some(self.clock_skew_ms.0.load(Ordering::Relaxed))
                .filter(|skew| *skew != i64::MIN),
        }
    }
}
