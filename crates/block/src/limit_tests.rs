//! Limits under a clock of the test's own.

use super::*;
use futures_util::future::join_all;

fn limits(iops: Option<u64>, burst: Option<u64>, bytes: Option<u64>) -> RateLimits {
    RateLimits {
        iops,
        iops_burst: burst,
        bytes_per_s: bytes,
        bytes_burst: None,
    }
}

/// How long `count` requests of `bytes` take that come all at once.
async fn time(limiter: &Limiter, count: usize, bytes: u64) -> Duration {
    let begun = Instant::now();
    join_all((0..count).map(|_| limiter.pass(bytes))).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn without_limits_nobody_waits() {
    let limiter = Limiter::new(RateLimits::default());
    assert_eq!(time(&limiter, 10_000, 1 << 20).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
    let limiter = Limiter::new(limits(Some(100), Some(50), None));
    assert_eq!(time(&limiter, 50, 4096).await, Duration::ZERO);
    let took = time(&limiter, 100, 4096).await.as_millis();
    assert!(
        (990..=1010).contains(&took),
        "{took} ms for 100 requests at 100 a second"
    );
    // What was not used is made up for, up to the burst and no more.
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(time(&limiter, 50, 4096).await, Duration::ZERO);
    assert!(time(&limiter, 1, 4096).await > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_limited_and_a_large_request_is_paid_for_by_the_next() {
    let limiter = Limiter::new(limits(None, None, Some(1 << 20)));
    assert_eq!(time(&limiter, 1, 10 << 20).await, Duration::ZERO);
    let took = time(&limiter, 1, 4096).await.as_millis();
    assert!(
        (9_850..=10_000).contains(&took),
        "{took} ms after ten seconds' worth"
    );
    assert_eq!(time(&limiter, 10, 0).await, Duration::ZERO, "no bytes, no wait");
}

#[tokio::test(start_paused = true)]
async fn the_stricter_of_two_limits_decides() {
    let both = Limiter::new(limits(Some(1000), Some(1), Some(4096 * 10)));
    let took = time(&both, 21, 4096).await.as_millis();
    assert!(
        (1_900..=2_110).contains(&took),
        "{took} ms for 20 blocks at 10 a second"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_frees_those_that_wait() {
    let limiter = Arc::new(Limiter::new(limits(Some(1), Some(1), None)));
    limiter.pass(0).await;
    let waiting = {
        let limiter = Arc::clone(&limiter);
        tokio::spawn(async move { time(&limiter, 1000, 0).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    limiter.set(limits(Some(1000), Some(1), None));
    let took = waiting.await.unwrap().as_millis();
    assert!((1_490..=1_510).contains(&took), "{took} ms");
    limiter.set(RateLimits::default());
    assert_eq!(time(&limiter, 1000, 0).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_limited_device_passes_all_its_limiters_and_counts_the_wait() {
    let device = Arc::new(crate::MemoryDevice::new(1 << 20, restblk_types::BlockSize::B512));
    let [volume, pool] =
        [Some(1000), Some(10)].map(|iops| Arc::new(Limiter::new(limits(iops, Some(1), None))));
    let waited = Arc::new(AtomicU64::new(0));
    let limited = Limited::new(device, vec![volume, pool], Arc::clone(&waited));
    let begun = Instant::now();
    for _ in 0..11 {
        limited.write(0, &[1; 512], WriteFlags::default()).await.unwrap();
        limited.flush().await.unwrap();
    }
    let took = begun.elapsed().as_millis();
    assert!((990..=1_020).contains(&took), "{took} ms for 10 waits of 100 ms");
    assert!(waited.load(Ordering::Relaxed) >= 990_000);
}
