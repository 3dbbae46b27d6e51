//! Mirrors that come, go, and are drained while requests are under way.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn drained(drained: bool) -> MirrorOptions {
    MirrorOptions {
        drained,
        ..MirrorOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_mirror_ends_what_it_has_and_takes_nothing_new() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    rig.mirrors[0].next(Some(Operation::WriteAt), Fault::Delay(3 * SECOND));
    let store = Arc::new(rig.store);
    let under_way = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.write_at(&key(), 0, bytes("b"), false).await }
    });
    tokio::time::sleep(MS).await;
    let begun = Instant::now();
    let draining = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.drain("0").await }
    });
    tokio::time::sleep(SECOND).await;
    assert_eq!(store.mirrors()[0].state, MirrorState::Draining);
    let before = rig.mirrors[0].calls();
    for _ in 0..50 {
        content(&*store).await;
    }
    assert_eq!(rig.mirrors[0].calls(), before);
    assert!(!draining.is_finished());
    draining.await.unwrap().unwrap();
    under_way.await.unwrap().unwrap();
    let took = begun.elapsed();
    assert!((2 * SECOND..4 * SECOND).contains(&took), "{took:?}");
    assert_eq!(rig.mirrors[0].calls(), before + 1, "what it took was flushed");
    // The last one that takes requests stays.
    for refused in [
        store.drain("1").await,
        store.set("1", drained(true)),
        store.remove("1"),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
    }
    store.set("0", drained(false)).unwrap();
    store.drain("1").await.unwrap();
    content(&*store).await;
    assert_eq!(rig.mirrors[0].calls(), before + 2);
    store.remove("1").unwrap();
    assert_eq!(store.remove("0").unwrap_err().kind(), ErrorKind::Busy);
    for unknown in [
        store.drain("7").await,
        store.set("7", drained(false)),
        store.remove("7"),
    ] {
        assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// Requests that wait for the only mirror go on when another one comes, or takes requests again.
#[tokio::test(start_paused = true)]
async fn what_waits_goes_on_when_a_mirror_comes() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    rig.store.drain("1").await.unwrap();
    rig.mirrors[0].set_down(true);
    let store = Arc::new(rig.store);
    for round in 0..2 {
        let waiting = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.get(&key(), None).await.map(drop) }
        });
        tokio::time::sleep(10 * SECOND).await;
        assert!(!waiting.is_finished());
        let begun = Instant::now();
        if round == 0 {
            store.set("1", drained(false)).unwrap();
        } else {
            let another: Arc<dyn Store> = Arc::clone(&rig.inner) as Arc<dyn Store>;
            store.add("2", another, MirrorOptions::default()).unwrap();
        }
        waiting.await.unwrap().unwrap();
        assert!(begun.elapsed() < MS, "{:?}", begun.elapsed());
        rig.mirrors[1].set_down(true);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_under_load_fail_no_request() {
    let inner = Arc::new(MemoryStore::new());
    let slow = |seed| -> Arc<dyn Store> {
        let delay = vec![Rate::any(Fault::Delay(3 * MS), 1.0)];
        Arc::new(Faulty::new(Arc::clone(&inner) as Arc<dyn Store>, seed, delay))
    };
    let mirrors = [("first".to_owned(), slow(0))];
    let store = Arc::new(Mirrored::new(mirrors, RetryPolicy::default()).unwrap());
    store
        .put(&key(), Bytes::from(vec![0; 4096]), Precondition::Always)
        .await
        .unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let workers: Vec<_> = (0..8_u64)
        .map(|worker| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut rounds = 0_u32;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    let mark = Bytes::from(rounds.to_le_bytes().to_vec());
                    store
                        .write_at(&key(), worker * 8, mark.clone(), false)
                        .await
                        .unwrap();
                    let found = store.get(&key(), Extent::new(worker * 8, 4)).await.unwrap();
                    assert_eq!(found.payload.into_bytes(), mark);
                    if rounds.is_multiple_of(16) {
                        store.flush(&key(), &[]).await.unwrap();
                    }
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    for n in 0..1000 {
        let name = format!("m{n}");
        store.add(&name, slow(n), MirrorOptions::default()).unwrap();
        tokio::time::sleep(5 * MS).await;
        if n % 2 == 0 {
            store.drain(&name).await.unwrap();
        }
        store.remove(&name).unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    for worker in workers {
        assert!(worker.await.unwrap() > 100);
    }
    assert_eq!(store.mirrors().len(), 1);
    assert_eq!(store.mirrors()[0].errors, 0);
}
