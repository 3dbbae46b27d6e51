//! How long a mirror takes: a mean that forgets, and the quantiles of the last seconds.
//!
//! [`Mean`] is what balancing compares. Each sample counts by the time since the one before, so that a thousand samples a
//! second and one a second are smoothed over the same [`SMOOTHING`]; while no samples come, it fades with [`FADE`], so that a
//! mirror which was slow is tried again some time later. [`Quantiles`] counts samples into buckets of an eighth of an octave in two
//! windows by turns, so that what is older than two windows is gone. Neither locks for longer than a few additions.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Within about this time the mean follows a change.
const SMOOTHING: Duration = Duration::from_secs(1);
/// Samples that follow one another more closely weigh next to nothing, and are left out.
const GAP_MIN: Duration = Duration::from_millis(1);
/// Without samples, the mean halves in this time: one of 500 ms is that of a fast server after a minute.
const FADE: Duration = Duration::from_secs(8);
/// One window of the quantiles.
const WINDOW: Duration = Duration::from_secs(10);
/// Buckets for an octave, as a power of two.
const STEPS_LOG2: u32 = 3;
/// Longer ones count as 2^27 µs, 134 s.
const OCTAVE_MAX: u32 = 26;
const BUCKETS: usize = ((OCTAVE_MAX - STEPS_LOG2 + 2) as usize) << STEPS_LOG2;
/// How much of the mean a probe can be: it is smaller than what users send, and may be quick where those are slow.
const PROBE_WEIGHT: f64 = 0.5;

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A smoothed time.
#[derive(Debug)]
pub(super) struct Mean {
    /// In microseconds; 0: none yet. A copy of the state, to be read without a lock.
    value: AtomicU64,
    /// When the last sample came, in microseconds since `born`.
    sampled: AtomicU64,
    born: Instant,
    state: Mutex<f64>,
}

impl Mean {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            value: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            born: now,
            state: Mutex::new(0.0),
        }
    }

    /// Takes the time of a request.
    pub(super) fn take(&self, took: Duration, now: Instant) {
        self.weigh(took, 1.0, now);
    }

    /// Takes the time of a probe.
    pub(super) fn take_probe(&self, took: Duration, now: Instant) {
        self.weigh(took, PROBE_WEIGHT, now);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "microseconds of a latency"
    )]
    fn weigh(&self, took: Duration, weight_max: f64, now: Instant) {
        let since_birth = micros(now.saturating_duration_since(self.born));
        let gap = since_birth.saturating_sub(self.sampled.load(Ordering::Relaxed));
        if gap < micros(GAP_MIN) && self.value.load(Ordering::Relaxed) != 0 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = micros(took).max(1) as f64;
        *state = if *state == 0.0 {
            sample
        } else {
            let kept = (-(gap as f64) / SMOOTHING.as_micros() as f64).exp();
            let weight = (1.0 - kept).min(weight_max);
            *state * (1.0 - weight) + sample * weight
        };
        self.value.store((*state as u64).max(1), Ordering::Relaxed);
        self.sampled.store(since_birth, Ordering::Relaxed);
    }

    /// As it was after the last sample; `None` before the first.
    pub(super) fn get(&self) -> Option<Duration> {
        let value = self.value.load(Ordering::Relaxed);
        (value != 0).then(|| Duration::from_micros(value))
    }

    /// As it is to be believed now, in microseconds: faded since the last sample. 0 before the first.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "microseconds of a latency"
    )]
    pub(super) fn faded_us(&self, now: Instant) -> u64 {
        let value = self.value.load(Ordering::Relaxed);
        let idle = micros(now.saturating_duration_since(self.born))
            .saturating_sub(self.sampled.load(Ordering::Relaxed));
        // The usual case costs no exponential.
        if value == 0 || idle < micros(SMOOTHING) {
            return value;
        }
        let left = (-(idle as f64) / FADE.as_micros() as f64).exp2();
        ((value as f64 * left) as u64).max(1)
    }
}

/// Times of the last [`WINDOW`] to two.
#[derive(Debug)]
pub(super) struct Quantiles {
    born: Instant,
    /// The number of the window that samples go to.
    current: AtomicU64,
    windows: [[AtomicU32; BUCKETS]; 2],
}

fn bucket(us: u64) -> usize {
    const STEPS: u64 = 1 << STEPS_LOG2;
    let place = if us < STEPS {
        us
    } else {
        let octave = us.ilog2().min(OCTAVE_MAX);
        let step = (us >> (octave - STEPS_LOG2)).min(2 * STEPS - 1) - STEPS;
        u64::from(octave - STEPS_LOG2 + 1) * STEPS + step
    };
    usize::try_from(place).unwrap_or(BUCKETS - 1)
}

/// The middle of a bucket.
fn middle(bucket: usize) -> u64 {
    let (octave, step) = (bucket >> STEPS_LOG2, bucket as u64 & ((1 << STEPS_LOG2) - 1));
    match octave {
        0 => step,
        _ => {
            let width = 1_u64 << (octave - 1);
            ((1 << STEPS_LOG2) + step) * width + width / 2
        }
    }
}

impl Quantiles {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            born: now,
            current: AtomicU64::new(0),
            windows: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU32::new(0))),
        }
    }

    /// Begins a new window where it is time for one.
    fn turn(&self, now: Instant) -> usize {
        let wanted = micros(now.saturating_duration_since(self.born)) / micros(WINDOW);
        let was = self.current.load(Ordering::Relaxed);
        // A sample that comes in between is lost or counted twice as long, which does no harm.
        if wanted > was
            && self
                .current
                .compare_exchange(was, wanted, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            for window in was.max(wanted.saturating_sub(2)) + 1..=wanted {
                self.windows[usize::from(window % 2 == 1)]
                    .iter()
                    .for_each(|count| count.store(0, Ordering::Relaxed));
            }
        }
        usize::from(wanted % 2 == 1)
    }

    pub(super) fn take(&self, took: Duration, now: Instant) {
        let window = self.turn(now);
        self.windows[window][bucket(micros(took))].fetch_add(1, Ordering::Relaxed);
    }

    /// How many samples.
    pub(super) fn count(&self, now: Instant) -> u64 {
        self.turn(now);
        let counts = self.windows.iter().flatten();
        counts.map(|count| u64::from(count.load(Ordering::Relaxed))).sum()
    }

    /// The quantiles (each 0 to 1, rising), to an eighth; `None` with fewer than `samples_min` samples.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "counts of requests in seconds"
    )]
    pub(super) fn at<const N: usize>(
        &self,
        quantiles: [f64; N],
        samples_min: u64,
        now: Instant,
    ) -> Option<[Duration; N]> {
        self.turn(now);
        let counts: [u64; BUCKETS] = std::array::from_fn(|bucket| {
            self.windows
                .iter()
                .map(|window| u64::from(window[bucket].load(Ordering::Relaxed)))
                .sum()
        });
        let total: u64 = counts.iter().sum();
        if total == 0 || total < samples_min {
            return None;
        }
        Some(quantiles.map(|quantile| {
            let wanted = (total as f64 * quantile).ceil() as u64;
            let mut below = 0;
            let found = counts.iter().position(|count| {
                below += count;
                below >= wanted.max(1)
            });
            Duration::from_micros(middle(found.unwrap_or(BUCKETS - 1)))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_mean_follows_within_a_second_at_any_rate() {
        for rate in [20, 1000] {
            let mean = Mean::new(Instant::now());
            for _ in 0..rate * 5 {
                mean.take(MS, Instant::now());
                tokio::time::advance(Duration::from_secs(1) / rate).await;
            }
            assert_eq!(mean.get(), Some(MS));
            for _ in 0..rate {
                tokio::time::advance(Duration::from_secs(1) / rate).await;
                mean.take(100 * MS, Instant::now());
            }
            let after = mean.get().unwrap();
            assert!(
                (55 * MS..70 * MS).contains(&after),
                "{after:?} at {rate} a second"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_mean_fades_without_samples() {
        let mean = Mean::new(Instant::now());
        assert_eq!((mean.get(), mean.faded_us(Instant::now())), (None, 0));
        mean.take(500 * MS, Instant::now());
        assert_eq!(mean.faded_us(Instant::now()), 500_000);
        tokio::time::advance(FADE).await;
        assert_eq!(mean.faded_us(Instant::now()), 250_000);
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(mean.faded_us(Instant::now()), 1);
        assert_eq!(mean.get(), Some(500 * MS));
    }

    #[test]
    fn buckets_are_an_eighth_wide_and_in_order() {
        let mut last = 0;
        for us in (0..4096).chain((12..40).flat_map(|shift| [(1 << shift) - 1, 1 << shift, (1 << shift) + 1]))
        {
            let at = bucket(us);
            assert!(at >= last && at < BUCKETS, "{us}");
            last = at;
            if us < 1 << 27 {
                let off = middle(at).abs_diff(us);
                assert!(off * 8 <= us.max(1), "{us} is told as {}", middle(at));
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn quantiles_are_those_of_the_last_seconds() {
        let quantiles = Quantiles::new(Instant::now());
        for n in 1..=100 {
            quantiles.take(n * MS, Instant::now());
        }
        assert_eq!(quantiles.at([0.5], 101, Instant::now()), None);
        let near = |found: Duration, wanted: Duration| found.abs_diff(wanted) * 8 <= wanted;
        let [p50, p95] = quantiles.at([0.5, 0.95], 100, Instant::now()).unwrap();
        assert!(near(p50, 50 * MS) && near(p95, 95 * MS), "{p50:?} {p95:?}");
        tokio::time::advance(WINDOW).await;
        quantiles.take(MS, Instant::now());
        assert!(near(
            quantiles.at([0.5], 101, Instant::now()).unwrap()[0],
            50 * MS
        ));
        tokio::time::advance(WINDOW).await;
        assert!(near(quantiles.at([1.0], 1, Instant::now()).unwrap()[0], MS));
        tokio::time::advance(WINDOW * 5).await;
        assert_eq!(quantiles.at([0.5], 1, Instant::now()), None);
        quantiles.take(MS, Instant::now());
        assert_eq!(quantiles.at([0.5], 2, Instant::now()), None);
    }
}
