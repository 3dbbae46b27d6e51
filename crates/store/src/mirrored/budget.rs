//! How much more than what was asked for may be sent: a bucket of tokens that fills with what succeeds.
//!
//! When servers are overloaded, every request that is sent twice makes it worse. So second tries cost a token each, and tokens
//! come from successes (a share each) and, slowly, from time. An empty bucket refuses; whoever was refused decides
//! whether that means later (a retry) or not at all (a hedge).

use super::latency::micros;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Tokens are counted in thousandths.
const TOKEN: i64 = 1000;

/// A bucket of tokens.
#[derive(Debug)]
pub(super) struct Budget {
    milli: AtomicI64,
    milli_max: i64,
    milli_per_success: i64,
    milli_per_second: u64,
    born: Instant,
    /// Up to when time has been paid for, in microseconds since `born`.
    paid: AtomicU64,
}

impl Budget {
    /// A full bucket of `most` tokens, which gets `permille` thousandths of one for each success and so many thousandths a second.
    pub(super) fn new(most: u32, permille: u32, milli_per_second: u32, now: Instant) -> Self {
        let milli_max = i64::from(most) * TOKEN;
        Self {
            milli: AtomicI64::new(milli_max),
            milli_max,
            milli_per_success: i64::from(permille),
            milli_per_second: u64::from(milli_per_second),
            born: now,
            paid: AtomicU64::new(0),
        }
    }

    fn add(&self, milli: i64) {
        // The usual case writes nothing that other threads read.
        if self.milli.load(Ordering::Relaxed) == self.milli_max {
            return;
        }
        // A request that takes a token between the two lines gets it for nothing, which does no harm.
        if self.milli.fetch_add(milli, Ordering::Relaxed) + milli > self.milli_max {
            self.milli.store(self.milli_max, Ordering::Relaxed);
        }
    }

    /// A request has succeeded.
    pub(super) fn succeeded(&self) {
        self.add(self.milli_per_success);
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Instant) -> bool {
        self.pay(now);
        let taken = self
            .milli
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |milli| {
                (milli >= TOKEN).then_some(milli - TOKEN)
            });
        taken.is_ok()
    }

    /// When there will be a token by time alone.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let missing = TOKEN - self.milli.load(Ordering::Relaxed);
        let missing = u64::try_from(missing).unwrap_or(0);
        match (missing * 1000).checked_div(self.milli_per_second) {
            Some(ms) => now + Duration::from_millis(ms.max(1)),
            None => now + Duration::from_secs(1),
        }
    }

    fn pay(&self, now: Instant) {
        let now_us = micros(now.saturating_duration_since(self.born));
        let paid = self.paid.load(Ordering::Relaxed);
        let milli = now_us.saturating_sub(paid).saturating_mul(self.milli_per_second) / 1_000_000;
        if milli == 0 {
            return;
        }
        let covers = milli.saturating_mul(1_000_000) / self.milli_per_second;
        let mine = self
            .paid
            .compare_exchange(paid, paid + covers, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            self.add(i64::try_from(milli).unwrap_or(self.milli_max).min(self.milli_max));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_of_successes_and_some_for_time() {
        let budget = Budget::new(3, 100, 500, Instant::now());
        let drain = || (0..100).take_while(|_| budget.take(Instant::now())).count();
        assert_eq!(drain(), 3);
        (0..25).for_each(|_| budget.succeeded());
        assert_eq!(drain(), 2);
        let next = budget.next(Instant::now());
        assert_eq!(
            next - Instant::now(),
            Duration::from_secs(1),
            "half a token is left, half a one a second comes"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(drain(), 1);
        // Time in small pieces is worth as much, and a full bucket stays full.
        for _ in 0..4000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            budget.pay(Instant::now());
        }
        assert_eq!(drain(), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        (0..100).for_each(|_| budget.succeeded());
        assert_eq!(drain(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_without_time_fills_by_successes_alone() {
        let budget = Budget::new(1, 50, 0, Instant::now());
        assert!(budget.take(Instant::now()));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(!budget.take(Instant::now()));
        (0..20).for_each(|_| budget.succeeded());
        assert!(budget.take(Instant::now()));
    }
}
