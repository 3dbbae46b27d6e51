//! Mirrors that are some, and pairs of servers that are none. Time is virtual.

use super::*;
use crate::faulty::{Faulty, Replicated};
use crate::{MemoryStore, prove};

fn named(stores: impl IntoIterator<Item = Arc<dyn Store>>) -> Vec<Named> {
    let name = |(number, store)| (format!("m{number}"), store);
    stores.into_iter().enumerate().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn servers_of_one_repository_are_mirrors() {
    let memory = MemoryStore::new();
    let mirrors = named((0..3).map(|_| Arc::new(memory.another_client()) as Arc<dyn Store>));
    let mut proof = prove(&*mirrors[0].1).await.unwrap();
    let before = proof.capabilities.clone();
    let told = compare(&mirrors, &mut proof).await.unwrap();
    assert_eq!(proof.capabilities, before);
    assert!(
        told.iter()
            .all(|mirror| mirror.problem.is_none() && mirror.lag_ms == 0),
        "{told:?}"
    );
    let left = memory
        .list(Some(&Key::new(".restblk/probe").unwrap()), None, 10)
        .await
        .unwrap();
    assert!(left.entries.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn another_repository_is_refused_by_name() {
    let mirrors = named((0..2).map(|_| Arc::new(MemoryStore::new()) as Arc<dyn Store>));
    let mut proof = prove(&*mirrors[0].1).await.unwrap();
    let error = compare(&mirrors, &mut proof).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let words = error.to_string();
    assert!(words.contains("m0") && words.contains("m1"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn mirrors_that_lag_are_timed_and_not_trusted_with_races() {
    let mirrors = named(Replicated::pair(Duration::from_millis(500)));
    let mut proof = prove(&*mirrors[0].1).await.unwrap();
    assert!(
        proof.capabilities.exclusive_create,
        "one of them alone decides races well"
    );
    let told = compare(&mirrors, &mut proof).await.unwrap();
    for mirror in &told {
        assert!((400..=700).contains(&mirror.lag_ms), "{mirror:?}");
    }
    assert!(!proof.capabilities.exclusive_create, "{proof:?}");
    assert!(!proof.capabilities.compare_and_set, "{proof:?}");
    assert!(
        proof.notes.iter().any(|note| note.contains("between mirrors")),
        "{proof:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_down_is_named_and_the_others_are_compared() {
    let memory = MemoryStore::new();
    let down = Faulty::scripted(Arc::new(memory.another_client()));
    down.set_down(true);
    let mirrors = named([
        Arc::new(memory.another_client()) as Arc<dyn Store>,
        Arc::new(down),
        Arc::new(memory.another_client()),
    ]);
    let mut proof = prove(&*mirrors[0].1).await.unwrap();
    let told = compare(&mirrors, &mut proof).await.unwrap();
    let problems: Vec<bool> = told.iter().map(|mirror| mirror.problem.is_some()).collect();
    assert_eq!(problems, [false, true, false]);
    assert!(proof.capabilities.exclusive_create);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_joins_only_what_it_keeps_up_with() {
    let memory = MemoryStore::new();
    let one = named([Arc::new(memory.another_client()) as Arc<dyn Store>]);
    let proof = prove(&*one[0].1).await.unwrap();
    let joining = |store: Arc<dyn Store>| ("new".to_owned(), store);
    let told = compare_new(&joining(Arc::new(memory.another_client())), &one, &proof).await;
    assert_eq!(
        (told.as_ref().unwrap().lag_ms, &told.as_ref().unwrap().problem),
        (0, &None)
    );
    let foreign = compare_new(&joining(Arc::new(MemoryStore::new())), &one, &proof).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::Invalid);

    let [first, second] = Replicated::pair(Duration::from_millis(500));
    let lagging = named([first]);
    let proof = prove(&*lagging[0].1).await.unwrap();
    let refused = compare_new(&joining(second), &lagging, &proof).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("the mirror new"), "{refused}");

    let down = Faulty::scripted(Arc::new(memory.another_client()));
    down.set_down(true);
    let gone = compare_new(&joining(Arc::new(down)), &one, &proof).await;
    assert!(gone.unwrap_err().kind().is_transient());
}

#[test]
fn a_clock_that_is_far_off_is_refused_by_name() {
    let store = MemoryStore::new();
    let with = |clock_skew_ms| MirrorProof {
        name: "http://m1/".to_owned(),
        clock_skew_ms,
        ..MirrorProof::default()
    };
    for fine in [None, Some(0), Some(-899_000), Some(900_000)] {
        check_clock(&with(fine), &store).unwrap();
    }
    for (skew, words) in [
        (1_200_000, "20 minutes ahead of"),
        (-1_200_000, "20 minutes behind"),
    ] {
        let refused = check_clock(&with(Some(skew)), &store).unwrap_err();
        let said = refused.to_string();
        for wanted in [words, "the mirror http://m1/", "NTP"] {
            assert!(said.contains(wanted), "{wanted} in {said}");
        }
    }
}
