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
