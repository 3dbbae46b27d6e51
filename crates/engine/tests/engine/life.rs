//! Volumes come and go, are held and let go; every step can be the last before a crash.

use crate::{claim, marker, repository, repository_on, volume};
use bytes::Bytes;
use restblk_engine::{EngineError, Repository, SIZE_MAX, Safety, Takeover};
use restblk_format::{LifeState, Record, VolumeRecord};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::{ErrorKind, VolumeName};
use std::sync::Arc;

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, EngineError>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[tokio::test]
async fn a_volume_is_made_listed_extended_and_deleted() {
    let (repository, store) = repository().await;
    repository.create_volume(volume("b", 4096)).await.unwrap();
    repository.create_volume(volume("a", 512)).await.unwrap();
    assert_eq!(repository.volume_names().await.unwrap(), [name("a"), name("b")]);
    assert_eq!(store.head(&key("b")).await.unwrap().size, 4096);
    assert_eq!(
        repository.extend_volume(&name("b"), 8192).await.unwrap().size,
        8192
    );
    assert_eq!(store.head(&key("b")).await.unwrap().size, 8192);
    assert_eq!(repository.volume(&name("b")).await.unwrap().record.size, 8192);
    repository.delete_volume(&name("b")).await.unwrap();
    assert_eq!(kind(repository.volume(&name("b")).await), ErrorKind::NotFound);
    assert_eq!(
        kind(repository.delete_volume(&name("b")).await),
        ErrorKind::NotFound
    );
    assert_eq!(
        store.head(&key("b")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(repository.volume_names().await.unwrap(), [name("a")]);
}

#[tokio::test]
async fn bad_sizes_and_taken_names_change_nothing() {
    let (repository, store) = repository().await;
    for size in [0, 511, SIZE_MAX + 4096, u64::MAX] {
        assert_eq!(
            kind(repository.create_volume(volume("v", size)).await),
            ErrorKind::Invalid,
            "{size}"
        );
    }
    assert!(repository.volume_names().await.unwrap().is_empty());
    repository.create_volume(volume("v", 512)).await.unwrap();
    assert_eq!(
        kind(repository.create_volume(volume("v", 512)).await),
        ErrorKind::Exists
    );
    for size in [0, 256, 512, 513] {
        assert_eq!(
            kind(repository.extend_volume(&name("v"), size).await),
            ErrorKind::Invalid,
            "{size}"
        );
    }
    assert_eq!(store.head(&key("v")).await.unwrap().size, 512);
}

#[tokio::test]
async fn a_foreign_file_is_never_touched_and_can_be_adopted() {
    let (repository, store) = repository().await;
    store
        .put(&key("image"), Bytes::from(vec![7; 1024]), Precondition::Always)
        .await
        .unwrap();
    let error = repository.create_volume(volume("image", 1024)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().contains("adopt"));
    assert_eq!(kind(repository.volume(&name("image")).await), ErrorKind::NotFound);
    let adopted = repository
        .adopt_volume(restblk_types::VolumeId::random(), name("image"), "now".into())
        .await
        .unwrap();
    assert_eq!((adopted.size, adopted.state), (1024, LifeState::Ready));
    let bytes = store.get(&key("image"), None).await.unwrap().payload.into_bytes();
    assert!(bytes.iter().all(|b| *b == 7));
    let again = repository
        .adopt_volume(restblk_types::VolumeId::random(), name("image"), "now".into())
        .await;
    assert_eq!(kind(again), ErrorKind::Exists);
}

/// The store as a create leaves it that dies after each of its steps.
#[tokio::test]
async fn a_create_that_died_is_gone_on_with_or_cleared_away() {
    for object in [None, Some(0), Some(4096)] {
        let (repository, store) = repository().await;
        let mut record = repository.create_volume(volume("v", 4096)).await.unwrap();
        record.state = LifeState::Creating;
        store
            .put(
                &key(".restblk/volumes/v"),
                record.encode().unwrap().into(),
                Precondition::Always,
            )
            .await
            .unwrap();
        match object {
            None => store.delete(&key("v"), Precondition::Always).await.unwrap(),
            Some(size) => {
                store
                    .put(&key("v"), Bytes::new(), Precondition::Always)
                    .await
                    .unwrap();
                store.set_size(&key("v"), size).await.unwrap();
            }
        }
        assert_eq!(
            kind(repository.take(&name("v"), claim("h"), Takeover::Refused).await),
            ErrorKind::Conflict
        );
        assert_eq!(
            kind(repository.create_volume(volume("v", 8192)).await),
            ErrorKind::Exists
        );
        let again = repository.create_volume(volume("v", 4096)).await.unwrap();
        assert_eq!((again.id, again.state), (record.id, LifeState::Ready));
        assert_eq!(store.head(&key("v")).await.unwrap().size, 4096);
        repository.delete_volume(&name("v")).await.unwrap();
    }
}

#[tokio::test]
async fn a_delete_that_died_is_gone_on_with() {
    let (repository, store) = repository().await;
    let mut record: VolumeRecord = repository.create_volume(volume("v", 4096)).await.unwrap();
    record.state = LifeState::Deleting;
    store
        .put(
            &key(".restblk/volumes/v"),
            record.encode().unwrap().into(),
            Precondition::Always,
        )
        .await
        .unwrap();
    store.delete(&key("v"), Precondition::Always).await.unwrap();
    assert_eq!(
        kind(repository.create_volume(volume("v", 4096)).await),
        ErrorKind::Exists
    );
    repository.delete_volume(&name("v")).await.unwrap();
    repository.create_volume(volume("v", 4096)).await.unwrap();
}

#[tokio::test]
async fn what_an_unfinished_extend_left_beyond_the_end_never_shows_up() {
    let (repository, store) = repository().await;
    repository.create_volume(volume("v", 512)).await.unwrap();
    store
        .write_at(&key("v"), 512, Bytes::from(vec![9; 512]), false)
        .await
        .unwrap();
    repository.extend_volume(&name("v"), 2048).await.unwrap();
    let bytes = store.get(&key("v"), None).await.unwrap().payload.into_bytes();
    assert_eq!(bytes, vec![0; 2048]);
}

#[tokio::test]
async fn one_host_holds_a_volume_and_the_other_is_told_who_and_since_when() {
    let (repository, _) = repository().await;
    repository.create_volume(volume("v", 512)).await.unwrap();
    let (lease, _, _) = repository
        .take(&name("v"), claim("first"), Takeover::Refused)
        .await
        .unwrap();
    let error = repository
        .take(&name("v"), claim("second"), Takeover::Refused)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(
        error.to_string().contains("first") && error.to_string().contains("2026-01-02T03:04:06Z"),
        "{error}"
    );
    assert_eq!(kind(repository.delete_volume(&name("v")).await), ErrorKind::Busy);
    assert_eq!(
        repository.volume(&name("v")).await.unwrap().record.state,
        LifeState::Ready
    );

    let (forced, _, _) = repository
        .take(&name("v"), claim("second"), Takeover::Forced)
        .await
        .unwrap();
    assert_eq!(kind(lease.check().await), ErrorKind::Fenced);
    lease.release().await.unwrap();
    forced.check().await.unwrap();
    forced.release().await.unwrap();
    repository.delete_volume(&name("v")).await.unwrap();
}

#[tokio::test]
async fn a_host_takes_its_own_volume_again_and_no_other() {
    let (repository, _) = repository().await;
    repository.create_volume(volume("v", 512)).await.unwrap();
    let before = claim("h");
    let (_dead, _, _) = repository
        .take(&name("v"), before.clone(), Takeover::Refused)
        .await
        .unwrap();
    let mut after = claim("h");
    assert_eq!(
        kind(
            repository
                .take(&name("v"), after.clone(), Takeover::Own(after.id))
                .await
        ),
        ErrorKind::Busy
    );
    after.id = before.id;
    repository
        .take(&name("v"), after, Takeover::Own(before.id))
        .await
        .unwrap()
        .0
        .check()
        .await
        .unwrap();
}

#[tokio::test]
async fn of_racing_hosts_one_gets_the_volume() {
    let (repository, store) = repository().await;
    for round in 0..20 {
        let volume_name = format!("v{round}");
        repository.create_volume(volume(&volume_name, 512)).await.unwrap();
        let racers: Vec<_> = (0..8)
            .map(|i| {
                let (store, volume_name) = (store.clone(), name(&volume_name));
                tokio::spawn(async move {
                    let repository = repository_on(store).await;
                    repository
                        .take(&volume_name, claim(&format!("h{i}")), Takeover::Refused)
                        .await
                        .map(|_| ())
                })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap() {
                Ok(()) => winners += 1,
                Err(e) => assert_eq!(e.kind(), ErrorKind::Busy, "{e}"),
            }
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test]
async fn attach_and_delete_that_race_never_both_succeed() {
    for _ in 0..50 {
        let (repository, _) = repository().await;
        repository.create_volume(volume("v", 512)).await.unwrap();
        let other = repository.clone();
        let take = tokio::spawn(async move {
            other
                .take(&name("v"), claim("h"), Takeover::Refused)
                .await
                .map(|t| t.0)
        });
        let delete = repository.delete_volume(&name("v")).await;
        let taken = take.await.unwrap();
        assert!(delete.is_err() || taken.is_err());
        if let Ok(lease) = taken {
            lease.check().await.unwrap();
            assert_eq!(
                repository.volume(&name("v")).await.unwrap().record.state,
                LifeState::Ready
            );
        }
    }
}

#[tokio::test]
async fn stores_that_cannot_keep_a_volume_are_refused_with_the_reason() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut can = store.capabilities();
    can.write_at = false;
    // Whole objects make a repository, and no direct volume.
    let whole = Arc::new(
        Repository::open("main", store.clone(), can, None, Safety::Proved, marker())
            .await
            .unwrap(),
    );
    let error = whole.create_volume(volume("v", 512)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("main/v") && error.to_string().contains("write in place"),
        "{error}"
    );
    assert!(whole.volume_names().await.unwrap().is_empty());
    let mut can = store.capabilities();
    can.exclusive_create = false;
    can.compare_and_set = false;
    let error = Repository::open("main", store.clone(), can.clone(), None, Safety::Proved, marker())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("single_host"), "{error}");
    let repository = Arc::new(
        Repository::open("main", store, can, None, Safety::SingleHost, marker())
            .await
            .unwrap(),
    );
    repository.create_volume(volume("v", 512)).await.unwrap();
    assert_eq!(
        kind(repository.create_volume(volume("v", 512)).await),
        ErrorKind::Exists
    );
    let _held = repository
        .take(&name("v"), claim("a"), Takeover::Refused)
        .await
        .unwrap();
    assert_eq!(
        kind(repository.take(&name("v"), claim("b"), Takeover::Refused).await),
        ErrorKind::Busy
    );
}

#[tokio::test]
async fn a_damaged_record_is_said_to_be_damaged() {
    let (repository, store) = repository().await;
    let record = repository.create_volume(volume("v", 512)).await.unwrap();
    store
        .write_at(&key(".restblk/volumes/v"), 60, Bytes::from_static(b"x"), false)
        .await
        .unwrap();
    assert_eq!(kind(repository.volume(&name("v")).await), ErrorKind::Corrupt);
    store
        .put(
            &key(".restblk/volumes/w"),
            record.encode().unwrap().into(),
            Precondition::Always,
        )
        .await
        .unwrap();
    let error = repository.volume(&name("w")).await.unwrap_err();
    assert!(error.to_string().contains("moved or copied"), "{error}");
}

#[tokio::test]
async fn the_repository_keeps_its_id() {
    let store = Arc::new(MemoryStore::default());
    let (first, second) = (
        repository_on(store.clone()).await,
        repository_on(store.clone()).await,
    );
    assert_eq!(first.id(), second.id());
    assert_eq!(
        Repository::id_behind(&*store).await.unwrap().as_deref(),
        Some(first.id())
    );
    assert_eq!(
        Repository::id_behind(&MemoryStore::default()).await.unwrap(),
        None
    );
}
