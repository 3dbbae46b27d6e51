//! Flushes through mirrors that each have a cache of their own and do not name it.

use super::*;
use crate::{Capabilities, Fetched, Flushed, Instance, ObjectInfo, Page, StoreError, Written};
use async_trait::async_trait;
use std::sync::Mutex;

/// A gateway to a repository: what it acknowledged is seen through the others at once, and the bytes there are on the disk
/// when it was flushed through this gateway.
#[derive(Debug)]
struct Gateway {
    seen: Arc<MemoryStore>,
    disk: Arc<MemoryStore>,
    cache: Mutex<Vec<Extent>>,
}

#[async_trait]
impl Store for Gateway {
    fn location(&self) -> String {
        "gateway".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        self.seen.capabilities()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        self.seen.get(key, range).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.seen.head(key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        self.disk.put(key, body.clone(), Precondition::Always).await?;
        let etag = self.seen.put(key, body, when).await?.etag;
        Ok(Written { etag, instance: None })
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        let range = Extent::new(offset, data.len() as u64).unwrap();
        self.seen.write_at(key, offset, data, durable).await?;
        self.cache.lock().unwrap().push(range);
        Ok(None)
    }

    async fn set_size(&self, _: &Key, _: u64) -> Result<Option<Instance>, StoreError> {
        unimplemented!()
    }

    async fn punch(&self, _: &Key, _: Extent) -> Result<Option<Instance>, StoreError> {
        unimplemented!()
    }

    async fn flush(&self, key: &Key, _: &[Instance]) -> Result<Flushed, StoreError> {
        let held: Vec<_> = self.cache.lock().unwrap().drain(..).collect();
        for range in held {
            let data = self.seen.get(key, Some(range)).await?.payload.into_bytes();
            self.disk.write_at(key, range.offset(), data, false).await?;
        }
        Ok(Flushed::default())
    }

    async fn delete(&self, _: &Key, _: Precondition) -> Result<(), StoreError> {
        unimplemented!()
    }

    async fn list(&self, _: Option<&Key>, _: Option<&str>, _: usize) -> Result<Page, StoreError> {
        unimplemented!()
    }
}

struct Gateways {
    mirrors: Vec<Arc<Faulty>>,
    store: Mirrored,
    disk: Arc<MemoryStore>,
}

async fn gateways(count: usize, seed: u64, rates: &[Rate]) -> Gateways {
    let (seen, disk) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let mirrors: Vec<_> = (0..count)
        .map(|n| {
            let gateway = Gateway {
                seen: Arc::clone(&seen),
                disk: Arc::clone(&disk),
                cache: Mutex::default(),
            };
            Arc::new(Faulty::new(
                Arc::new(gateway),
                seed * 10 + n as u64,
                rates.to_vec(),
            ))
        })
        .collect();
    let list = mirrors
        .iter()
        .enumerate()
        .map(|(n, mirror)| (n.to_string(), Arc::clone(mirror) as Arc<dyn Store>));
    let policy = RetryPolicy {
        seed: Some(seed),
        ..RetryPolicy::default()
    };
    let store = Mirrored::new(list, policy).unwrap();
    store
        .put(&key(), Bytes::from(vec![b'.'; 64]), Precondition::Always)
        .await
        .unwrap();
    Gateways { mirrors, store, disk }
}

async fn on_disk(gateways: &Gateways) -> Bytes {
    content(&*gateways.disk).await
}

#[tokio::test(start_paused = true)]
async fn a_flush_reaches_every_mirror_that_took_writes_and_no_other() {
    let gateways = gateways(3, 1, &[]).await;
    gateways.store.flush(&key(), &[]).await.unwrap();
    for down in [[1, 2], [0, 2]] {
        down.iter()
            .for_each(|down| gateways.mirrors[*down].set_down(true));
        let at = down[0] as u64 * 8;
        gateways
            .store
            .write_at(&key(), at, bytes("new"), false)
            .await
            .unwrap();
        down.iter()
            .for_each(|down| gateways.mirrors[*down].set_down(false));
        tokio::time::sleep(SECOND * 60).await;
        // Their breakers close again by requests, where nobody probes.
        for _ in 0..20 {
            content(&gateways.store).await;
        }
    }
    let before: Vec<u64> = gateways.mirrors.iter().map(|mirror| mirror.calls()).collect();
    gateways.store.flush(&key(), &[]).await.unwrap();
    let asked: Vec<u64> = gateways
        .mirrors
        .iter()
        .zip(&before)
        .map(|(mirror, before)| mirror.calls() - before)
        .collect();
    assert_eq!(asked, [1, 1, 0]);
    let disk = on_disk(&gateways).await;
    assert_eq!((&disk[..3], &disk[8..11]), (&b"new"[..], &b"new"[..]));
    // Nothing was written since: one of them is asked, whichever.
    gateways.store.flush(&key(), &[]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_mirror_is_covered_by_a_living_one_and_flushed_when_it_is_back() {
    let gateways = gateways(2, 1, &[]).await;
    gateways.mirrors[1].set_down(true);
    gateways
        .store
        .write_at(&key(), 0, bytes("one"), false)
        .await
        .unwrap();
    gateways.mirrors[1].set_down(false);
    gateways.mirrors[0].set_down(true);
    tokio::time::sleep(SECOND).await;
    gateways
        .store
        .write_at(&key(), 8, bytes("two"), false)
        .await
        .unwrap();
    let begun = Instant::now();
    gateways.store.flush(&key(), &[]).await.unwrap();
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(&on_disk(&gateways).await[8..11], b"two");
    gateways.mirrors[0].set_down(false);
    tokio::time::sleep(SECOND).await;
    for _ in 0..20 {
        content(&gateways.store).await;
    }
    gateways.store.flush(&key(), &[]).await.unwrap();
    assert_eq!(&on_disk(&gateways).await[..3], b"one");
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_fails_for_good_is_told_whatever_the_others_say() {
    let gateways = gateways(2, 1, &[]).await;
    for down in [1, 0] {
        gateways.mirrors[down].set_down(true);
        gateways
            .store
            .write_at(&key(), 0, bytes("new"), false)
            .await
            .unwrap();
        gateways.mirrors[down].set_down(false);
        tokio::time::sleep(SECOND).await;
        for _ in 0..20 {
            content(&gateways.store).await;
        }
    }
    gateways.mirrors[1].next(Some(Operation::Flush), Fault::Refuse(ErrorKind::Corrupt));
    let error = gateways.store.flush(&key(), &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// Whatever fails in passing, and however requests move between mirrors: what was answered before a flush is on the disk after it,
/// and in order.
#[tokio::test(start_paused = true)]
async fn no_failover_lets_a_write_pass_a_flush() {
    let rates = [
        Rate::on(Operation::WriteAt, Fault::LostAnswer, 0.1),
        Rate::any(Fault::Refuse(ErrorKind::Unavailable), 0.05),
        Rate::any(Fault::Refuse(ErrorKind::Retry), 0.1),
        Rate::on(
            Operation::WriteAt,
            Fault::LateLanding(Duration::from_millis(900)),
            0.05,
        ),
        Rate::any(Fault::Delay(Duration::from_millis(30)), 0.2),
    ];
    let mut compared = 0;
    for seed in 0..30 {
        let gateways = gateways(3, seed, &rates).await;
        let mut wanted = vec![b'.'; 64];
        for round in 0..80_u8 {
            let at = usize::from(round % 16) * 4;
            let data = vec![round; 4];
            wanted[at..at + 4].copy_from_slice(&data);
            gateways
                .store
                .write_at(&key(), at as u64, Bytes::from(data), false)
                .await
                .unwrap();
            if round % 5 == 4 {
                // Gives those that failed their trial.
                tokio::time::sleep(SECOND).await;
                for _ in 0..6 {
                    content(&gateways.store).await;
                }
                gateways.store.flush(&key(), &[]).await.unwrap();
                // Faults are no matter of the disk.
                let disk = on_disk(&gateways).await;
                let mirrors = gateways.store.mirrors();
                let works = |state| matches!(state, MirrorState::Up | MirrorState::Slow);
                let all_living = mirrors.iter().all(|mirror| works(mirror.state));
                assert!(disk == wanted || !all_living, "seed {seed}, round {round}");
                compared += u32::from(all_living);
            }
        }
        // Those that were dead at the time of a flush are flushed when they are back.
        gateways
            .mirrors
            .iter()
            .for_each(|mirror| mirror.set_faults(false));
        tokio::time::sleep(SECOND * 60).await;
        for _ in 0..30 {
            content(&gateways.store).await;
        }
        gateways.store.flush(&key(), &[]).await.unwrap();
        assert_eq!(on_disk(&gateways).await, wanted, "seed {seed}");
    }
    assert!(compared > 50, "{compared}");
}
