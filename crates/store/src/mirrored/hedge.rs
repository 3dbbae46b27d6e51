//! Hedged reads: a read that takes longer than most is sent a second time, to another mirror, and the first answer counts.
//!
//! "Longer than most" is the 95th percentile of the pool's reads of about the same length lately. Second reads have a
//! budget, so that when everything is slow they add [`EXTRA_PERMILLE`] at the most. Only reads are hedged: a write that is sent
//! twice may land late (see the module's note).
//!
//! Owns the times after which reads are hedged, and the race of two reads. What a mirror owes to a read that lost the race is
//! dropped, which closes its connection.

use super::latency::{Quantiles, micros};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Second reads, in thousandths of all reads.
pub(super) const EXTRA_PERMILLE: u32 = 50;
/// So many may be sent at once, when a mirror with many reads under way becomes slow.
pub(super) const EXTRA_MAX: u32 = 32;
const QUANTILE: f64 = 0.95;
/// With fewer reads lately, nothing is known.
const SAMPLES_MIN: u64 = 40;
/// After this a read is hedged while nothing is known.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Not sooner than this: a second read costs both sides more than it could save.
const SOONEST: Duration = Duration::from_millis(1);
/// How old a percentile may be.
const KEEP: Duration = Duration::from_millis(200);
/// Reads of up to so many bytes are alike; the last class has the rest.
const CLASSES: [u64; 3] = [16 << 10, 128 << 10, 1 << 20];

/// The times of reads of one class.
#[derive(Debug)]
struct Class {
    times: Quantiles,
    delay_us: AtomicU64,
    /// When it is to be found anew, in microseconds since the birth.
    due: AtomicU64,
}

/// After how long reads are hedged.
#[derive(Debug)]
pub(super) struct Delays {
    born: Instant,
    classes: [Class; CLASSES.len() + 1],
}

impl Delays {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            born: now,
            classes: std::array::from_fn(|_| Class {
                times: Quantiles::new(now),
                delay_us: AtomicU64::new(micros(UNKNOWN)),
                due: AtomicU64::new(0),
            }),
        }
    }

    fn class(&self, len: u64) -> &Class {
        &self.classes[CLASSES.partition_point(|most| *most < len)]
    }

    /// A read of so many bytes was answered; the time of the try that answered it.
    pub(super) fn took(&self, len: u64, took: Duration, now: Instant) {
        self.class(len).times.take(took, now);
    }

    /// After how long a read of so many bytes is hedged.
    pub(super) fn of(&self, len: u64, now: Instant) -> Duration {
        let class = self.class(len);
        let now_us = micros(now.saturating_duration_since(self.born));
        if now_us >= class.due.load(Ordering::Relaxed) {
            class.due.store(now_us + micros(KEEP), Ordering::Relaxed);
            let [found] = class.times.at([QUANTILE], SAMPLES_MIN, now).unwrap_or([UNKNOWN]);
            class
                .delay_us
                .store(micros(found.max(SOONEST)), Ordering::Relaxed);
        }
        Duration::from_micros(class.delay_us.load(Ordering::Relaxed))
    }
}

/// What came of a race.
pub(super) enum Raced<T> {
    /// The first answered first.
    First(T),
    /// The second did; the other was dropped.
    Second(T),
    /// Neither answer is the last word.
    Neither(T, T),
}

/// Runs both. `is_answer`: whether it ends the race.
pub(super) async fn race<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = T>,
    is_answer: impl Fn(&T) -> bool,
) -> Raced<T> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    tokio::select! {
        biased;
        answer = first.as_mut() => {
            if is_answer(&answer) {
                return Raced::First(answer);
            }
            let other = second.await;
            if is_answer(&other) { Raced::Second(other) } else { Raced::Neither(answer, other) }
        }
        other = second.as_mut() => {
            if is_answer(&other) {
                return Raced::Second(other);
            }
            let answer = first.await;
            if is_answer(&answer) { Raced::First(answer) } else { Raced::Neither(answer, other) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn the_delay_is_the_95th_percentile_of_reads_of_that_length() {
        let delays = Delays::new(Instant::now());
        assert_eq!(delays.of(4096, Instant::now()), UNKNOWN);
        for n in 1..=100 {
            delays.took(4096, n * MS, Instant::now());
            delays.took(1 << 20, 10 * n * MS, Instant::now());
        }
        assert_eq!(
            delays.of(4096, Instant::now()),
            UNKNOWN,
            "found anew only after a while"
        );
        tokio::time::advance(KEEP).await;
        let near = |found: Duration, wanted: Duration| found.abs_diff(wanted) * 8 <= wanted;
        assert!(near(delays.of(4096, Instant::now()), 95 * MS));
        assert!(near(delays.of(1 << 20, Instant::now()), 950 * MS));
        assert_eq!(delays.of(2 << 20, Instant::now()), UNKNOWN);
        tokio::time::advance(Duration::from_secs(60)).await;
        for _ in 0..SAMPLES_MIN {
            delays.took(4096, MS / 10, Instant::now());
        }
        assert_eq!(delays.of(4096, Instant::now()), SOONEST);
    }

    async fn after(time: Duration, answer: Result<u8, ()>) -> Result<u8, ()> {
        sleep(time).await;
        answer
    }

    /// What came of it, and when.
    async fn run(first: (u32, Result<u8, ()>), second: (u32, Result<u8, ()>)) -> (&'static str, Duration) {
        let begun = Instant::now();
        let (first, second) = (after(first.0 * MS, first.1), after(second.0 * MS, second.1));
        let what = match race(first, second, Result::is_ok).await {
            Raced::First(_) => "first",
            Raced::Second(_) => "second",
            Raced::Neither(..) => "neither",
        };
        (what, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_counts() {
        for (first, second, wanted) in [
            ((40, Ok(1)), (5, Ok(2)), ("second", 5)),
            ((2, Ok(1)), (5, Ok(2)), ("first", 2)),
            ((40, Ok(1)), (5, Err(())), ("first", 40)),
            ((2, Err(())), (5, Ok(2)), ("second", 5)),
            ((2, Err(())), (5, Err(())), ("neither", 5)),
            ((40, Err(())), (5, Err(())), ("neither", 40)),
        ] {
            let (what, when) = run(first, second).await;
            let when = u32::try_from(when.as_millis()).unwrap();
            assert!(
                what == wanted.0 && when.abs_diff(wanted.1) <= 2,
                "{what} {when}, wanted {wanted:?}"
            );
        }
    }
}
