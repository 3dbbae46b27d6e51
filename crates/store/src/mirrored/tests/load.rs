//! Who gets how much: weights, priorities, slow mirrors, hedged reads, brown-outs.

use super::*;
use crate::mirrored::hedge;
use std::sync::atomic::{AtomicUsize, Ordering};

const MS: Duration = Duration::from_millis(1);

/// Mirrors of one repository that take so long for everything, by name.
struct Loaded {
    mirrors: Vec<Arc<Faulty>>,
    store: Arc<Mirrored>,
}

fn loaded(delays: &[Duration], more: &[Rate]) -> Loaded {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mirrors: Vec<_> = delays
        .iter()
        .enumerate()
        .map(|(n, delay)| {
            let usual = vec![Rate::any(Fault::Delay(*delay), 1.0)];
            let usual = Faulty::new(Arc::clone(&inner), n as u64, usual);
            Arc::new(Faulty::new(Arc::new(usual), 100 + n as u64, more.to_vec()))
        })
        .collect();
    let list = mirrors
        .iter()
        .enumerate()
        .map(|(n, mirror)| (n.to_string(), Arc::clone(mirror) as Arc<dyn Store>));
    let policy = RetryPolicy {
        seed: Some(11),
        ..RetryPolicy::default()
    };
    Loaded {
        store: Arc::new(Mirrored::new(list, policy).unwrap()),
        mirrors,
    }
}

/// Does `count` requests, `depth` at a time, every `writes`-th a write; says how long each read took, sorted.
async fn work(store: &Arc<Mirrored>, count: usize, depth: usize, writes: usize) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..depth)
        .map(|_| {
            let (store, next) = (Arc::clone(store), Arc::clone(&next));
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= count {
                        return took;
                    }
                    let begun = Instant::now();
                    if writes > 0 && n.is_multiple_of(writes) {
                        store.write_at(&key(), 0, bytes("abcd"), false).await.unwrap();
                    } else {
                        store.get(&key(), Extent::new(0, 4)).await.unwrap();
                        took.push(begun.elapsed());
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    all
}

async fn prepare(loaded: &Loaded) {
    loaded
        .store
        .put(&key(), bytes("abcdefgh"), Precondition::Always)
        .await
        .unwrap();
}

fn calls(loaded: &Loaded) -> Vec<u64> {
    loaded.mirrors.iter().map(|mirror| mirror.calls()).collect()
}

/// The part of the calls since `before` that each mirror got, in percent.
fn shares(loaded: &Loaded, before: &[u64]) -> Vec<u64> {
    let new: Vec<u64> = calls(loaded)
        .iter()
        .zip(before)
        .map(|(now, then)| now - then)
        .collect();
    let all: u64 = new.iter().sum();
    new.iter().map(|calls| calls * 100 / all).collect()
}

#[tokio::test(start_paused = true)]
async fn equal_mirrors_have_equal_shares_and_weights_count() {
    let loaded = loaded(&[2 * MS; 3], &[]);
    prepare(&loaded).await;
    work(&loaded.store, 3000, 16, 2).await;
    let even = shares(&loaded, &[0; 3]);
    assert!(even.iter().all(|share| (30..=36).contains(share)), "{even:?}");
    let heavy = MirrorOptions {
        weight: 4,
        ..MirrorOptions::default()
    };
    loaded.store.set("1", heavy).unwrap();
    let before = calls(&loaded);
    work(&loaded.store, 3000, 16, 2).await;
    let weighed = shares(&loaded, &before);
    assert!((58..=75).contains(&weighed[1]), "{weighed:?}");
    assert!(weighed[0] >= 10 && weighed[2] >= 10, "{weighed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_mirror_gets_next_to_nothing() {
    let loaded = loaded(&[2 * MS, 500 * MS, 2 * MS], &[]);
    prepare(&loaded).await;
    work(&loaded.store, 20_000, 32, 2).await;
    let shares = shares(&loaded, &[0; 3]);
    assert!(shares[1] < 2, "{shares:?}");
    let seen = loaded.store.mirrors();
    assert_eq!(seen[1].state, MirrorState::Slow, "{seen:?}");
    assert!(seen[1].share < 0.05 && seen[0].share > 0.4, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_fast_again_has_its_share_again() {
    let loaded = loaded(&[2 * MS, 2 * MS], &[Rate::any(Fault::Delay(300 * MS), 1.0)]);
    loaded.mirrors[1].set_faults(false);
    prepare(&loaded).await;
    let busy = work(&loaded.store, 5000, 8, 2);
    let yet = tokio::time::timeout(20 * SECOND, busy).await;
    assert!(yet.is_ok());
    let before = calls(&loaded);
    loaded.mirrors[0].set_faults(false);
    tokio::time::sleep(60 * SECOND).await;
    work(&loaded.store, 2000, 8, 2).await;
    let shares = shares(&loaded, &before);
    assert!(shares[0] > 30, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lower_priority_is_for_when_no_higher_one_works() {
    let loaded = loaded(&[2 * MS; 3], &[]);
    let far = MirrorOptions {
        priority: -1,
        weight: 100,
        drained: false,
    };
    loaded.store.set("2", far).unwrap();
    prepare(&loaded).await;
    work(&loaded.store, 200, 4, 2).await;
    loaded.mirrors[0].set_down(true);
    work(&loaded.store, 200, 4, 2).await;
    assert_eq!(loaded.mirrors[2].calls(), 0);
    loaded.mirrors[1].set_down(true);
    let took = work(&loaded.store, 200, 4, 2).await;
    assert!(*took.last().unwrap() < 20 * MS, "{took:?}");
    assert!(loaded.mirrors[2].calls() > 150);
    // As soon as one at home is back.
    loaded.mirrors[1].set_down(false);
    tokio::time::sleep(SECOND).await;
    work(&loaded.store, 20, 4, 2).await;
    let before = loaded.mirrors[2].calls();
    work(&loaded.store, 200, 4, 2).await;
    assert_eq!(loaded.mirrors[2].calls(), before);
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[sorted.len() * percent / 100]
}

#[tokio::test(start_paused = true)]
async fn hedging_keeps_the_99th_percentile_when_one_of_three_is_slow() {
    let jitter = [
        Rate::any(Fault::Delay(3 * MS), 0.3),
        Rate::any(Fault::Delay(4 * MS), 0.3),
    ];
    let healthy = loaded(&[2 * MS; 3], &jitter);
    prepare(&healthy).await;
    let usual = work(&healthy.store, 10_000, 16, 0).await;
    // Slow only now and then, so that balancing alone cannot avoid it.
    let mut fits = jitter.to_vec();
    fits.insert(0, Rate::any(Fault::Delay(500 * MS), 0.03));
    let spoilt = loaded(&[2 * MS; 3], &fits);
    prepare(&spoilt).await;
    let hedged = work(&spoilt.store, 10_000, 16, 0).await;
    let (before, after) = (percentile(&usual, 99), percentile(&hedged, 99));
    assert!(after <= before * 3, "{before:?} and {after:?}");
    let figures = spoilt.store.figures();
    assert!(figures.hedges_won > 100, "{figures:?}");
    let extra = u64::from(hedge::EXTRA_MAX) + 10_000 * u64::from(hedge::EXTRA_PERMILLE) / 1000;
    assert!(figures.hedges <= extra, "{figures:?}");
}

#[tokio::test(start_paused = true)]
async fn hedges_have_a_budget_when_everything_is_slow() {
    let loaded = loaded(&[2 * MS; 3], &[Rate::any(Fault::Delay(100 * MS), 0.5)]);
    prepare(&loaded).await;
    for round in 0..3 {
        let before: u64 = calls(&loaded).iter().sum();
        work(&loaded.store, 4000, 16, 0).await;
        let sent = calls(&loaded).iter().sum::<u64>() - before;
        let most = 4000
            + 4000 / 20
            + if round == 0 {
                u64::from(hedge::EXTRA_MAX)
            } else {
                0
            };
        assert!(sent <= most, "{sent} calls for 4000 reads, at most {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_are_not_hedged() {
    let loaded = loaded(&[2 * MS; 2], &[Rate::any(Fault::Delay(500 * MS), 0.1)]);
    prepare(&loaded).await;
    work(&loaded.store, 500, 4, 1).await;
    assert_eq!(loaded.store.figures().hedges, 0);
    assert_eq!(calls(&loaded).iter().sum::<u64>(), 501);
}

/// When servers fail much of what they are asked, retries do not multiply it, and no request fails by that.
#[tokio::test(start_paused = true)]
async fn a_brown_out_is_not_made_worse() {
    for share in [0.3, 0.6, 0.9] {
        let fails = [Rate::any(Fault::Refuse(ErrorKind::Retry), share)];
        let loaded = loaded(&[2 * MS; 3], &fails);
        prepare(&loaded).await;
        let (before, begun) = (calls(&loaded).iter().sum::<u64>(), Instant::now());
        work(&loaded.store, 2000, 32, 2).await;
        let sent = calls(&loaded).iter().sum::<u64>() - before;
        // First tries, the share of successes, the reserve, what comes by time, hedges.
        let by_time = begun.elapsed().as_secs() * 20;
        let most = 2000 + 2000 / 5 + 200 + by_time + 150;
        assert!(sent <= most, "{sent} calls, at most {most}, when {share} fail");
    }
}
