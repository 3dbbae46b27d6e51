//! Retries, failover, ambiguity and grace, on stores that fail by script. Time is virtual.

use super::{MirrorOptions, MirrorState, Mirrored, Outage, RetryPolicy, clean_up, within};
use crate::faulty::{Fault, Faulty, Operation, Rate};
use crate::{ETag, Instance, Key, MemoryStore, Precondition, Store};
use bytes::Bytes;
use restblk_types::{ErrorKind, Extent};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

mod change;
mod flush;
mod health;
mod load;
mod recent;

struct Rig {
    mirrors: Vec<Arc<Faulty>>,
    store: Mirrored,
    inner: Arc<MemoryStore>,
}

fn rig(mirrors: usize, outage: Outage) -> Rig {
    let inner = Arc::new(MemoryStore::new());
    rig_of(vec![inner; mirrors], outage)
}

fn rig_of(stores: Vec<Arc<MemoryStore>>, outage: Outage) -> Rig {
    let inner = Arc::clone(&stores[0]);
    let mirrors: Vec<_> = stores
        .into_iter()
        .map(|store| Arc::new(Faulty::scripted(store)))
        .collect();
    let list = mirrors
        .iter()
        .enumerate()
        .map(|(n, mirror)| (n.to_string(), Arc::clone(mirror) as Arc<dyn Store>));
    let store = Mirrored::new(
        list,
        RetryPolicy {
            outage,
            ..RetryPolicy::default()
        },
    )
    .unwrap();
    // The first has all requests while it works, then the second: so that scripts know where they go.
    for (n, priority) in (0..mirrors.len()).zip((-100..0).rev()) {
        let options = MirrorOptions {
            priority,
            ..MirrorOptions::default()
        };
        store.set(&n.to_string(), options).unwrap();
    }
    Rig {
        mirrors,
        store,
        inner,
    }
}

fn key() -> Key {
    Key::new("x").unwrap()
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn content(store: &dyn Store) -> Bytes {
    store.get(&key(), None).await.unwrap().payload.into_bytes()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    rig.mirrors.iter().for_each(|mirror| mirror.set_down(true));
    let mirrors = rig.mirrors.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SECOND * 3600).await;
        mirrors[1].set_down(false);
    });
    let begun = Instant::now();
    assert_eq!(content(&rig.store).await, "a");
    let took = begun.elapsed();
    assert!((SECOND * 3600..SECOND * 3610).contains(&took), "{took:?}");
    let states: Vec<_> = rig.store.mirrors().iter().map(|mirror| mirror.state).collect();
    assert_eq!(states, [MirrorState::Down, MirrorState::Up]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_can_have_a_limit() {
    let rig = rig(2, Outage::FailAfter(SECOND * 10));
    rig.mirrors.iter().for_each(|mirror| mirror.set_down(true));
    let begun = Instant::now();
    let error = rig.store.head(&key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("given up after"), "{error}");
    assert!(begun.elapsed() <= SECOND * 10);
    rig.mirrors.iter().for_each(|mirror| mirror.set_down(false));
    for _ in 0..10 {
        rig.mirrors
            .iter()
            .for_each(|mirror| mirror.next(None, Fault::Hang));
    }
    let begun = Instant::now();
    let hung = rig
        .store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap_err();
    assert_eq!(hung.kind(), ErrorKind::Unavailable);
    assert!(
        (SECOND * 8..=SECOND * 10).contains(&begun.elapsed()),
        "{:?}",
        begun.elapsed()
    );
    assert!(hung.is_ambiguous());
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_an_operation_share_one_deadline() {
    for hang in [false, true] {
        let rig = rig(1, Outage::FailAfter(SECOND * 10));
        let begun = Instant::now();
        let operation = within(SECOND * 15, async {
            rig.mirrors[0].set_down(!hang);
            for _ in 0..10 {
                if hang {
                    rig.mirrors[0].next(None, Fault::Hang);
                }
                rig.store.head(&key()).await.unwrap_err();
            }
            assert!(begun.elapsed() <= SECOND * 15, "{:?}", begun.elapsed());
            // What is left to a clean-up: long enough for a store that is back, and no longer for one that is not.
            rig.mirrors[0].set_down(false);
            rig.mirrors[0].forget_script();
            if hang {
                rig.mirrors[0].next(None, Fault::Hang);
                clean_up(rig.store.put(&key(), bytes("a"), Precondition::Always))
                    .await
                    .unwrap_err();
            }
            clean_up(rig.store.put(&key(), bytes("a"), Precondition::Always))
                .await
                .unwrap();
        });
        operation.await;
        // Two for the clean-up that hung, and a pause before the mirror was tried again.
        assert!(begun.elapsed() <= SECOND * 18, "{:?}", begun.elapsed());
        // Outside of the operation the policy alone holds, and within another the earlier end does.
        content(&rig.store).await;
        rig.mirrors[0].set_down(true);
        let begun = Instant::now();
        within(SECOND, within(SECOND * 5, rig.store.head(&key())))
            .await
            .unwrap_err();
        assert!(begun.elapsed() <= SECOND, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_mirror_leaves_time_to_the_others() {
    let rig = rig(3, Outage::Wait);
    for silent in [0, 1] {
        rig.mirrors[silent].next(None, Fault::Hang);
    }
    let begun = Instant::now();
    within(
        SECOND * 14,
        rig.store.put(&key(), bytes("a"), Precondition::Always),
    )
    .await
    .unwrap();
    assert!(begun.elapsed() < SECOND * 14, "{:?}", begun.elapsed());
    assert!(rig.mirrors[2].calls() > 0);
}

#[tokio::test(start_paused = true)]
async fn failover_is_at_once_and_sticks() {
    let rig = rig(3, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    rig.mirrors[0].set_down(true);
    let begun = Instant::now();
    content(&rig.store).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    rig.mirrors[0].set_down(false);
    let before = rig.mirrors[0].calls();
    for _ in 0..10 {
        content(&rig.store).await;
    }
    assert_eq!(rig.mirrors[0].calls(), before, "the healthy mirror is kept");
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_failed_lately_is_tried_last() {
    let rig = rig(3, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    for down in [0, 1] {
        rig.mirrors[down].set_down(true);
    }
    content(&rig.store).await;
    rig.mirrors[0].set_down(false);
    rig.mirrors[2].set_down(true);
    let before = rig.mirrors[1].calls();
    content(&rig.store).await;
    assert!(rig.mirrors[1].calls() <= before + 1);
    assert_eq!(rig.store.mirrors()[0].name, "0");
}

#[tokio::test(start_paused = true)]
async fn what_is_final_is_not_tried_again() {
    let rig = rig(2, Outage::Wait);
    for kind in [
        ErrorKind::NotFound,
        ErrorKind::Invalid,
        ErrorKind::NoSpace,
        ErrorKind::Conflict,
        ErrorKind::Unsupported,
    ] {
        let before: u64 = rig.mirrors.iter().map(|mirror| mirror.calls()).sum();
        rig.mirrors[0].next(None, Fault::Refuse(kind));
        let error = rig
            .store
            .write_at(&key(), 0, bytes("a"), false)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        let after: u64 = rig.mirrors.iter().map(|mirror| mirror.calls()).sum();
        assert_eq!(after, before + 1);
    }
    // Refused credentials may be one mirror's; all of them are asked, once.
    rig.mirrors
        .iter()
        .for_each(|mirror| mirror.next(None, Fault::Refuse(ErrorKind::Denied)));
    assert_eq!(
        rig.store.head(&key()).await.unwrap_err().kind(),
        ErrorKind::Denied
    );
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_read_is_tried_elsewhere_and_a_corrupt_flush_is_not() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("a"), Precondition::Always)
        .await
        .unwrap();
    rig.mirrors[0].next(None, Fault::ShortBody);
    assert_eq!(content(&rig.store).await, "a");
    rig.mirrors
        .iter()
        .for_each(|mirror| mirror.next(Some(Operation::Flush), Fault::Refuse(ErrorKind::Corrupt)));
    assert_eq!(
        rig.store.flush(&key(), &[]).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let faults: u64 = rig.mirrors.iter().map(|mirror| mirror.faults()).sum();
    assert_eq!(faults, 2, "one mirror was asked to flush");
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_was_lost_is_known_again() {
    let rig = rig(2, Outage::Wait);
    rig.mirrors[0].next(None, Fault::LostAnswer);
    let written = rig
        .store
        .put(&key(), bytes("mine"), Precondition::Absent)
        .await
        .unwrap();
    assert_eq!(written.etag, rig.inner.head(&key()).await.unwrap().etag);
    // And somebody else's is not taken for one's own, of the same length or another.
    for theirs in ["their", "s"] {
        rig.inner
            .put(&key(), bytes(theirs), Precondition::Always)
            .await
            .unwrap();
        rig.mirrors
            .iter()
            .for_each(|mirror| mirror.next(Some(Operation::Put), Fault::LostAnswer));
        let error = rig
            .store
            .put(&key(), bytes("mine!"), Precondition::Absent)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(content(&rig.store).await, theirs);
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_answer_was_lost_is_known_again() {
    let rig = rig(1, Outage::Wait);
    let one = rig
        .store
        .put(&key(), bytes("one"), Precondition::Always)
        .await
        .unwrap()
        .etag
        .unwrap();
    rig.mirrors[0].next(None, Fault::LostAnswer);
    rig.store
        .put(&key(), bytes("two"), Precondition::Matches(one.clone()))
        .await
        .unwrap();
    let stale = rig
        .store
        .put(&key(), bytes("three"), Precondition::Matches(one))
        .await
        .unwrap_err();
    assert_eq!((stale.kind(), stale.is_ambiguous()), (ErrorKind::Conflict, false));
    rig.mirrors[0].next(None, Fault::LostAnswer);
    rig.store.delete(&key(), Precondition::Always).await.unwrap();
    let gone = rig
        .store
        .delete(&key(), Precondition::Matches(ETag("x".into())))
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_empty_create_whose_answer_was_lost_says_so() {
    let rig = rig(1, Outage::Wait);
    rig.mirrors[0].next(None, Fault::LostAnswer);
    let error = rig
        .store
        .put(&key(), Bytes::new(), Precondition::Absent)
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.is_ambiguous()), (ErrorKind::Conflict, true));
}

/// The danger: a first try that lands after a newer write was answered.
#[tokio::test(start_paused = true)]
async fn a_late_landing_within_the_grace_harms_nothing() {
    for late_ms in [1, 500, 1999] {
        let rig = rig(2, Outage::Wait);
        rig.store
            .put(&key(), bytes("...."), Precondition::Always)
            .await
            .unwrap();
        rig.mirrors[0].next(None, Fault::LateLanding(Duration::from_millis(late_ms)));
        let begun = Instant::now();
        rig.store.write_at(&key(), 0, bytes("old"), false).await.unwrap();
        assert!(
            begun.elapsed() >= SECOND * 2,
            "success was told before the grace was over"
        );
        rig.store.write_at(&key(), 0, bytes("new"), false).await.unwrap();
        tokio::time::sleep(SECOND * 10).await;
        assert_eq!(content(&rig.store).await, "new.", "landed {late_ms} ms late");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_and_clean_failures_have_no_grace() {
    let rig = rig(2, Outage::Wait);
    rig.store
        .put(&key(), bytes("...."), Precondition::Always)
        .await
        .unwrap();
    rig.mirrors[0].next(None, Fault::LateLanding(SECOND));
    rig.mirrors[1].next(Some(Operation::WriteAt), Fault::Refuse(ErrorKind::Unavailable));
    let begun = Instant::now();
    content(&rig.store).await;
    rig.store.write_at(&key(), 0, bytes("a"), false).await.unwrap();
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

/// Any mixture of faults that passes by itself: every write that is answered is there, in order.
#[tokio::test(start_paused = true)]
async fn no_fault_that_passes_loses_a_write() {
    for seed in 0..30 {
        let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let rates = vec![
            Rate::any(Fault::LostAnswer, 0.1),
            Rate::on(Operation::WriteAt, Fault::ShortBody, 0.05),
            Rate::any(Fault::Duplicate, 0.05),
            Rate::any(Fault::LateLanding(Duration::from_millis(700)), 0.05),
            Rate::any(Fault::Refuse(ErrorKind::Unavailable), 0.1),
            Rate::any(Fault::Refuse(ErrorKind::Retry), 0.1),
            Rate::any(Fault::Delay(Duration::from_millis(30)), 0.1),
        ];
        let faulty: Vec<Arc<dyn Store>> = (0..2)
            .map(|n| Arc::new(Faulty::new(Arc::clone(&inner), seed * 2 + n, rates.clone())) as Arc<dyn Store>)
            .collect();
        let mirrors = faulty
            .into_iter()
            .enumerate()
            .map(|(n, mirror)| (n.to_string(), mirror));
        let store = Mirrored::new(mirrors, RetryPolicy::default()).unwrap();
        store
            .put(&key(), Bytes::from(vec![0; 64]), Precondition::Absent)
            .await
            .unwrap();
        for round in 1..60_u8 {
            let at = u64::from(round % 8) * 8;
            store
                .write_at(&key(), at, Bytes::from(vec![round; 8]), false)
                .await
                .unwrap();
            let found = store
                .get(&key(), Extent::new(at, 8))
                .await
                .unwrap()
                .payload
                .into_bytes();
            assert_eq!(found, [round; 8][..], "seed {seed}");
        }
        tokio::time::sleep(SECOND * 5).await;
        let wanted: Vec<u8> = (0..8_u8)
            .flat_map(|n| [(52..60).find(|r| r % 8 == n).unwrap(); 8])
            .collect();
        assert_eq!(
            inner.get(&key(), None).await.unwrap().payload.into_bytes(),
            wanted,
            "seed {seed}"
        );
    }
}

/// The suite notices a store that turns bits: it can fail.
#[tokio::test]
#[should_panic(expected = "checks failed")]
async fn the_conformance_suite_notices_silent_corruption() {
    let flips = vec![Rate::on(Operation::Get, Fault::BitFlip, 0.2)];
    crate::conformance::run(|| Arc::new(Faulty::new(Arc::new(MemoryStore::new()), 1, flips.clone()))).await;
}

/// Two mirrors on two machines, each with a cache of its own that took a write; and these caches.
async fn two_machines(outage: Outage) -> (Rig, Vec<Instance>) {
    let stores: Vec<_> = (0..2).map(|_| Arc::new(MemoryStore::new())).collect();
    for store in &stores {
        store.put(&key(), bytes("a"), Precondition::Always).await.unwrap();
    }
    let rig = rig_of(stores, outage);
    let mut took = Vec::new();
    for down in [1, 0] {
        rig.mirrors[down].set_down(true);
        took.extend(rig.store.write_at(&key(), 0, bytes("b"), false).await.unwrap());
        rig.mirrors[down].set_down(false);
    }
    assert_ne!(took[0], took[1]);
    (rig, took)
}

#[tokio::test(start_paused = true)]
async fn a_flush_reaches_every_machine_that_took_writes() {
    let (rig, took) = two_machines(Outage::Wait).await;
    let one = rig.store.flush(&key(), &took[1..]).await.unwrap();
    assert_eq!(one.instances, took[1..], "the others are not bothered");
    let both = rig.store.flush(&key(), &took).await.unwrap();
    assert_eq!(both.misses(&took), None);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_the_machine_that_alone_has_some_writes() {
    let (rig, took) = two_machines(Outage::Wait).await;
    rig.mirrors[0].set_down(true);
    let mirror = Arc::clone(&rig.mirrors[0]);
    tokio::spawn(async move {
        tokio::time::sleep(SECOND * 600).await;
        mirror.set_down(false);
    });
    let begun = Instant::now();
    let flushed = rig.store.flush(&key(), &took).await.unwrap();
    assert_eq!(flushed.misses(&took), None);
    let waited = begun.elapsed();
    assert!((SECOND * 600..SECOND * 610).contains(&waited), "{waited:?}");

    let (rig, took) = two_machines(Outage::FailAfter(SECOND * 10)).await;
    rig.mirrors[0].set_down(true);
    let error = rig.store.flush(&key(), &took).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Unavailable,
        "a later flush may reach it: {error}"
    );
    assert!(error.to_string().contains("took writes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_lost_its_writes_or_was_removed_is_told_as_missing() {
    let (rig, mut took) = two_machines(Outage::Wait).await;
    took.insert(1, Instance::new(7));
    let flushed = rig.store.flush(&key(), &took).await.unwrap();
    assert_eq!(flushed.misses(&took), Some(Instance::new(7)));
    took.remove(1);
    rig.mirrors[0].set_down(true);
    let (store, mirrors) = (Arc::new(rig.store), rig.mirrors);
    let waiting = tokio::spawn({
        let (store, took) = (Arc::clone(&store), took.clone());
        async move { store.flush(&key(), &took).await }
    });
    tokio::time::sleep(SECOND * 60).await;
    assert!(!waiting.is_finished());
    store.remove("0").unwrap();
    let flushed = waiting.await.unwrap().unwrap();
    assert_eq!(flushed.misses(&took), Some(took[0]));
    drop(mirrors);
}
