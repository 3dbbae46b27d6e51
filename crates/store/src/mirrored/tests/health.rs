//! What is learnt of a mirror: breakers, probes, outages, what a server asks for, another repository.

use super::*;
use crate::faulty::Moved;
use crate::mirrored::Marker;

const MS: Duration = Duration::from_millis(1);

fn marker_key() -> Key {
    Key::new("marker").unwrap()
}

/// Has the mirrors probed, by a marker that says `ours`.
async fn watched(rig: Rig) -> Rig {
    rig.inner
        .put(&marker_key(), bytes("ours"), Precondition::Always)
        .await
        .unwrap();
    rig.inner
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    rig.store.watch(Marker {
        key: marker_key(),
        is_ours: Arc::new(|bytes| bytes == b"ours"),
    });
    rig
}

fn states(rig: &Rig) -> Vec<MirrorState> {
    rig.store.mirrors().iter().map(|mirror| mirror.state).collect()
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_requests_go_on_within_a_second() {
    for outage_s in [1, 7, 60, 3600] {
        let rig = watched(rig(3, Outage::Wait)).await;
        tokio::time::sleep(SECOND).await;
        rig.mirrors.iter().for_each(|mirror| mirror.set_down(true));
        let store = Arc::new(rig.store);
        let requests: Vec<_> = (0..32)
            .map(|n| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    if n % 2 == 0 {
                        store.write_at(&key(), 0, bytes("b"), false).await.unwrap();
                    } else {
                        store.get(&key(), None).await.unwrap();
                    }
                    Instant::now()
                })
            })
            .collect();
        tokio::time::sleep(outage_s * SECOND).await;
        let before: u64 = rig.mirrors.iter().map(|mirror| mirror.calls()).sum();
        // 32 requests that wait do not beat upon the servers: that is for probes and, at most, one request at a time.
        assert!(
            before < 200 + u64::from(outage_s) * 20,
            "{before} calls in {outage_s} s"
        );
        rig.mirrors[2].set_down(false);
        let back = Instant::now();
        for request in requests {
            let went_on = request.await.unwrap() - back;
            assert!(went_on <= SECOND, "{went_on:?} after {outage_s} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_down_gets_probes_alone_and_is_used_again_soon() {
    let rig = watched(rig(2, Outage::Wait)).await;
    rig.mirrors[0].set_down(true);
    content(&rig.store).await;
    for _ in 0..200 {
        tokio::time::sleep(50 * MS).await;
        let begun = Instant::now();
        rig.store.write_at(&key(), 0, bytes("b"), false).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
    assert_eq!(states(&rig)[0], MirrorState::Down);
    assert!(
        rig.mirrors[0].calls() < 20,
        "{} calls in 10 s",
        rig.mirrors[0].calls()
    );
    rig.mirrors[0].set_down(false);
    tokio::time::sleep(3 * SECOND).await;
    let before = rig.mirrors[0].calls();
    rig.store.write_at(&key(), 0, bytes("c"), false).await.unwrap();
    assert_eq!(rig.mirrors[0].calls(), before + 1);
    assert_eq!(states(&rig), [MirrorState::Up; 2]);
}

/// A mirror that takes connections and says nothing: the first requests wait for their time-out, the later ones go elsewhere.
#[tokio::test(start_paused = true)]
async fn a_silent_mirror_is_noticed_by_a_probe_long_before_requests_time_out() {
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
    inner.put(&key(), bytes("a"), Precondition::Always).await.unwrap();
    inner
        .put(&marker_key(), bytes("ours"), Precondition::Always)
        .await
        .unwrap();
    let silence = vec![Rate::any(Fault::Silence(30 * SECOND), 1.0)];
    let silent = Arc::new(Faulty::new(Arc::clone(&inner), 1, silence));
    silent.set_faults(false);
    let mirrors = [
        ("0".to_owned(), Arc::clone(&silent) as Arc<dyn Store>),
        ("1".to_owned(), Arc::clone(&inner)),
    ];
    let store = Arc::new(Mirrored::new(mirrors, RetryPolicy::default()).unwrap());
    let high = MirrorOptions {
        priority: 1,
        ..MirrorOptions::default()
    };
    store.set("0", high).unwrap();
    store.watch(Marker {
        key: marker_key(),
        is_ours: Arc::new(|bytes| bytes == b"ours"),
    });
    tokio::time::sleep(SECOND).await;
    silent.set_faults(true);
    let begun = Instant::now();
    let stuck = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.write_at(&key(), 0, bytes("b"), false).await }
    });
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(store.mirrors()[0].state, MirrorState::Down);
    store.write_at(&key(), 0, bytes("c"), false).await.unwrap();
    assert!(begun.elapsed() < 5 * SECOND);
    stuck.await.unwrap().unwrap();
    // Its time-out, and the grace for a late landing.
    assert!(begun.elapsed() <= 33 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_is_left_alone_for_as_long_as_it_asks() {
    let rig = watched(rig(2, Outage::Wait)).await;
    tokio::time::sleep(SECOND).await;
    rig.mirrors[0].next(None, Fault::Busy(20 * SECOND));
    content(&rig.store).await;
    let before = rig.mirrors[0].calls();
    for _ in 0..190 {
        tokio::time::sleep(100 * MS).await;
        content(&rig.store).await;
    }
    assert_eq!(rig.mirrors[0].calls(), before, "neither requests nor probes");
    tokio::time::sleep(4 * SECOND).await;
    content(&rig.store).await;
    assert_eq!(states(&rig)[0], MirrorState::Up);
    // Also when there is nobody else to ask.
    rig.mirrors[1].set_down(true);
    rig.mirrors[0].next(Some(Operation::Get), Fault::Busy(5 * SECOND));
    let begun = Instant::now();
    content(&rig.store).await;
    let waited = begun.elapsed();
    assert!((5 * SECOND..6 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn another_repository_behind_the_same_name_is_quarantined() {
    let ours = Arc::new(MemoryStore::new());
    let theirs = Arc::new(MemoryStore::new());
    let rig = watched(rig_of(vec![Arc::clone(&ours), Arc::clone(&theirs)], Outage::Wait)).await;
    // Nothing at all is there, as where a server's disk was not mounted.
    tokio::time::sleep(SECOND).await;
    assert_eq!(states(&rig), [MirrorState::Up, MirrorState::Foreign]);
    theirs
        .put(&marker_key(), bytes("theirs"), Precondition::Always)
        .await
        .unwrap();
    theirs
        .put(&key(), bytes("wrong"), Precondition::Always)
        .await
        .unwrap();
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(states(&rig)[1], MirrorState::Foreign);
    // Better to wait than to read from it.
    rig.mirrors[0].set_down(true);
    let waits = tokio::time::timeout(30 * SECOND, rig.store.get(&key(), None)).await;
    assert!(waits.is_err());
    // It shows the right one again.
    theirs
        .put(&marker_key(), bytes("ours"), Precondition::Always)
        .await
        .unwrap();
    theirs
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    let begun = Instant::now();
    assert_eq!(content(&rig.store).await, "a");
    assert!(begun.elapsed() < 7 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn views_share_what_they_learn_and_not_their_patience() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    let commands = rig.store.with_outage(Outage::FailAfter(3 * SECOND));
    rig.mirrors[0].set_down(true);
    content(&commands).await;
    let before = rig.mirrors[0].calls();
    content(&rig.store).await;
    assert_eq!(rig.mirrors[0].calls(), before);
    rig.mirrors[1].set_down(true);
    let begun = Instant::now();
    let error = commands.get(&key(), None).await.unwrap_err();
    assert!(begun.elapsed() <= 3 * SECOND, "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(commands.figures().outage_now.is_some());
    rig.mirrors[1].set_down(false);
    content(&rig.store).await;
    let figures = rig.store.figures();
    assert!(figures.outage_now.is_none() && figures.outage_total >= 3 * SECOND);
    commands.remove("0").unwrap();
    assert_eq!(rig.store.mirrors().len(), 1);
}

/// Requests that may not wait for long bring a mirror back as well as others do.
#[tokio::test(start_paused = true)]
async fn a_mirror_comes_back_where_every_request_has_a_limit() {
    let rig = watched(rig(2, Outage::FailAfter(60 * SECOND))).await;
    rig.mirrors[0].set_down(true);
    tokio::time::sleep(30 * SECOND).await;
    rig.mirrors[0].set_down(false);
    let before = rig.mirrors[0].calls();
    for _ in 0..100 {
        content(&rig.store).await;
        tokio::time::sleep(100 * MS).await;
    }
    assert_eq!(states(&rig)[0], MirrorState::Up);
    assert!(rig.mirrors[0].calls() > before + 20);
}

/// A request that arrives in an outage fails by what others have seen, if it may not wait for long.
#[tokio::test(start_paused = true)]
async fn an_error_tells_what_was_wrong_though_the_request_was_never_sent() {
    let rig = rig(1, Outage::FailAfter(SECOND));
    rig.mirrors[0].next(None, Fault::Busy(60 * SECOND));
    rig.store.head(&key()).await.unwrap_err();
    let calls = rig.mirrors[0].calls();
    let error = rig.store.head(&key()).await.unwrap_err();
    assert_eq!(rig.mirrors[0].calls(), calls);
    let words = error.to_string();
    assert!(
        words.contains("no mirror works") && words.contains("injected: busy"),
        "{words}"
    );
}

/// Another server behind the same name, over a connection that is kept, is found out by what it does not have.
#[tokio::test(start_paused = true)]
async fn what_another_repository_does_not_have_is_not_missing() {
    let ours = Arc::new(MemoryStore::new());
    let moved = Arc::new(Moved::new(Arc::clone(&ours)));
    ours.put(&marker_key(), bytes("ours"), Precondition::Always)
        .await
        .unwrap();
    ours.put(&key(), bytes("a"), Precondition::Always).await.unwrap();
    let mirrors = [
        ("0".to_owned(), Arc::clone(&moved) as Arc<dyn Store>),
        ("1".to_owned(), Arc::clone(&ours) as Arc<dyn Store>),
    ];
    let store = Mirrored::new(mirrors, RetryPolicy::default()).unwrap();
    let high = MirrorOptions {
        priority: 1,
        ..MirrorOptions::default()
    };
    store.set("0", high).unwrap();
    store.watch(Marker {
        key: marker_key(),
        is_ours: Arc::new(|bytes| bytes == b"ours"),
    });
    tokio::time::sleep(SECOND).await;
    assert_eq!(content(&store).await, "a");
    // Between two probes.
    moved.to(MemoryStore::new());
    assert_eq!(content(&store).await, "a");
    assert_eq!(store.mirrors()[0].state, MirrorState::Foreign);
    store.write_at(&key(), 0, bytes("b"), false).await.unwrap();
    assert_eq!(content(&store).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_failed_everywhere_is_no_outage_while_mirrors_work() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    // Each fails twice in passing, so that the request waits for its next round; a third time would open the breaker.
    for mirror in rig.mirrors.iter().chain(&rig.mirrors) {
        mirror.next(Some(Operation::Get), Fault::Refuse(ErrorKind::Retry));
    }
    let begun = Instant::now();
    assert_eq!(content(&rig.store).await, "a");
    assert!(begun.elapsed() > Duration::ZERO, "it has waited");
    assert_eq!(states(&rig), [MirrorState::Up; 2]);
    assert_eq!(rig.store.figures().outage_total, Duration::ZERO);
    // While none works it is one.
    rig.mirrors.iter().for_each(|mirror| mirror.set_down(true));
    let waits = tokio::time::timeout(SECOND, rig.store.get(&key(), None)).await;
    assert!(waits.is_err() && rig.store.figures().outage_now.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_not_answered_holds_nobody_up_for_long() {
    let rig = watched(rig(2, Outage::Wait)).await;
    tokio::time::sleep(SECOND).await;
    for _ in 0..20 {
        rig.mirrors[0].next(Some(Operation::Get), Fault::Hang);
    }
    let begun = Instant::now();
    // What is missing is looked into; changes are not hedged.
    let keys: Vec<_> = (0..8).map(|n| Key::new(format!("none{n}")).unwrap()).collect();
    let deletes = keys.iter().map(|key| rig.store.delete(key, Precondition::Always));
    futures_util::future::join_all(deletes).await;
    assert!(begun.elapsed() < 3 * SECOND, "{:?}", begun.elapsed());
    assert_eq!(states(&rig)[0], MirrorState::Down);
}
