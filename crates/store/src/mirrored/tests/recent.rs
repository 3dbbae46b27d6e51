//! Read your writes through mirrors that see each other's changes later.

use super::*;
use crate::faulty::Replicated;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const MS: Duration = Duration::from_millis(1);
const LAG: Duration = Duration::from_millis(200);

struct Lagging {
    mirrors: Vec<Arc<Faulty>>,
    pair: [Arc<dyn Store>; 2],
    store: Arc<Mirrored>,
}

async fn lagging(seed: u64, propagation: Duration) -> Lagging {
    let pair = Replicated::pair(LAG);
    let mirrors: Vec<_> = pair
        .iter()
        .map(|store| Arc::new(Faulty::scripted(Arc::clone(store))))
        .collect();
    let list = mirrors
        .iter()
        .enumerate()
        .map(|(n, mirror)| (n.to_string(), Arc::clone(mirror) as Arc<dyn Store>));
    let policy = RetryPolicy {
        seed: Some(seed),
        propagation,
        ..RetryPolicy::default()
    };
    let store = Arc::new(Mirrored::new(list, policy).unwrap());
    store
        .put(&key(), Bytes::from(vec![0; 64]), Precondition::Always)
        .await
        .unwrap();
    tokio::time::sleep(2 * LAG).await;
    Lagging { mirrors, pair, store }
}

/// Random writes and reads, with mirrors that die and come back; how many reads were not of the last write.
async fn stale_reads(seed: u64, propagation: Duration) -> u32 {
    let lagging = lagging(seed, propagation).await;
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut wanted, mut stale) = (vec![0_u8; 64], 0);
    for round in 1..200_u8 {
        let at = chance.random_range(0..56_usize);
        let data = vec![round; chance.random_range(1..=8)];
        let end = at + data.len();
        wanted[at..end].copy_from_slice(&data);
        lagging
            .store
            .write_at(&key(), at as u64, Bytes::from(data), false)
            .await
            .unwrap();
        if chance.random_bool(0.2) {
            let down = chance.random_range(0..2);
            lagging.mirrors[down].set_down(true);
            lagging.mirrors[1 - down].set_down(false);
        }
        tokio::time::sleep(chance.random_range(0..30) * MS).await;
        let (from, len) = (chance.random_range(0..60_usize), chance.random_range(1..=4_usize));
        let found = lagging
            .store
            .get(&key(), Extent::new(from as u64, len as u64))
            .await
            .unwrap();
        stale += u32::from(found.payload.into_bytes() != wanted[from..from + len]);
    }
    tokio::time::sleep(10 * LAG).await;
    if !propagation.is_zero() {
        for store in &lagging.pair {
            assert_eq!(
                content(&**store).await,
                wanted,
                "seed {seed}: the last writes did not win"
            );
        }
    }
    stale
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_read_whichever_mirror_dies() {
    let mut without = 0;
    for seed in 0..20 {
        assert_eq!(stale_reads(seed, LAG + MS).await, 0, "seed {seed}");
        without += stale_reads(seed, Duration::ZERO).await;
    }
    assert!(
        without > 20,
        "without it reads are stale: else this shows nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_young_is_balanced() {
    let lagging = lagging(3, LAG).await;
    lagging
        .store
        .write_at(&key(), 0, bytes("young"), false)
        .await
        .unwrap();
    let before: Vec<u64> = lagging.mirrors.iter().map(|mirror| mirror.calls()).collect();
    for _ in 0..100 {
        lagging.store.get(&key(), Extent::new(32, 8)).await.unwrap();
    }
    for (mirror, before) in lagging.mirrors.iter().zip(before) {
        assert!(mirror.calls() - before > 20);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_mirror_died_the_propagation_is_waited_for() {
    let lagging = lagging(3, LAG + MS).await;
    lagging.mirrors[1].set_down(true);
    lagging
        .store
        .write_at(&key(), 0, bytes("young"), false)
        .await
        .unwrap();
    lagging.mirrors[1].set_down(false);
    lagging.mirrors[0].set_down(true);
    let begun = Instant::now();
    let found = lagging.store.get(&key(), Extent::new(0, 5)).await.unwrap();
    assert_eq!(found.payload.into_bytes(), "young");
    let took = begun.elapsed();
    assert!((LAG / 2..LAG + SECOND).contains(&took), "{took:?}");
}

/// A create whose answer was lost, and whose effect the other mirror does not show yet, is one's own all the same.
#[tokio::test(start_paused = true)]
async fn a_create_is_read_back_through_the_mirror_that_has_it() {
    let lagging = lagging(3, LAG + MS).await;
    let new = Key::new("new").unwrap();
    for mirror in &lagging.mirrors {
        mirror.next(Some(Operation::Put), Fault::LostAnswer);
    }
    lagging
        .store
        .put(&new, bytes("mine"), Precondition::Absent)
        .await
        .unwrap();
    tokio::time::sleep(2 * LAG).await;
    for store in &lagging.pair {
        let found = store.get(&new, None).await.unwrap();
        assert_eq!(found.payload.into_bytes(), "mine");
    }
}
