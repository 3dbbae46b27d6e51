//! Volumes of the log layout in a repository: made, opened, deleted, and what an unfinished create leaves.

use super::{repository, repository_on, volume};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_engine::{EngineError, NewVolume, Repository, log::{Local, Writer}};
use restblk_format::log::{Header, ObjectType};
use restblk_format::{LayoutKind, LifeState, Record, VolumeRecord};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::{BlockSize, ErrorKind, VolumeId, VolumeName};
use std::sync::Arc;

fn log_volume(name: &str) -> NewVolume {
    NewVolume {
        layout: LayoutKind::Log,
        block_size: BlockSize::B4096,
        ..volume(name, 1 << 20)
    }
}

fn writer(hostname: &str) -> Writer {
    Writer {
        nonce: *VolumeId::random().as_bytes(),
        hostname: hostname.into(),
        since: "2026-01-02T03:04:05Z".into(),
    }
}

async fn record_of(repository: &Repository, name: &str) -> VolumeRecord {
    repository.volume(&name.parse().unwrap()).await.unwrap().record
}

async fn open(
    repository: &Repository,
    store: &Arc<MemoryStore>,
    name: &str,
) -> restblk_engine::log::LogVolume {
    let record = record_of(repository, name).await;
    let opened = repository
        .open_log(store.clone(), &record, writer("h"), Local::default())
        .await;
    opened.unwrap()
}

/// The objects of a volume but tombstones: what fences former writers stays for ever.
async fn objects_of(store: &MemoryStore, id: VolumeId) -> usize {
    let mut found = 0;
    let of_epoch = |epoch: u32| ["head", "log", "map"].map(|series| format!("{series}/{epoch:010}"));
    let folders = ["epoch".to_owned()].into_iter().chain((1..4).flat_map(of_epoch));
    for folder in folders {
        let folder = Key::new(format!(".restblk/vol/{id}/{folder}")).unwrap();
        let Ok(page) = store.list(Some(&folder), None, 1000).await else {
            continue;
        };
        for entry in page.entries {
            let bytes = store.get(&entry.key, None).await.unwrap().payload.into_bytes();
            found += usize::from(Header::peek(&bytes).unwrap().object != ObjectType::Tombstone);
        }
    }
    found
}

#[tokio::test]
async fn a_log_volume_lives_and_leaves_nothing() {
    let (repository, store) = repository().await;
    let name: VolumeName = "v".parse().unwrap();
    let made = repository.create_volume(log_volume("v")).await.unwrap();
    assert_eq!((made.layout, made.state), (LayoutKind::Log, LifeState::Ready));
    let log = open(&repository, &store, "v").await;
    log.write(4096, &[7; 4096], WriteFlags::default()).await.unwrap();
    log.snapshot("monday", "2026-01-02T03:04:05Z").await.unwrap();
    log.resize(2 << 20).await.unwrap();
    log.stop().await.unwrap();
    drop(log);

    let head = repository
        .log_head(&record_of(&repository, "v").await)
        .await
        .unwrap();
    assert_eq!((head.size, head.snapshots.len()), (2 << 20, 1));
    assert_eq!(
        repository.note_size(&name, head.size).await.unwrap().size,
        2 << 20
    );
    let error = repository.delete_volume(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(record_of(&repository, "v").await.state, LifeState::Ready);

    let log = open(&repository, &store, "v").await;
    let mut found = [0; 4096];
    log.read(4096, &mut found).await.unwrap();
    assert_eq!(found, [7; 4096]);
    log.delete_snapshot(head.snapshots[0].id).await.unwrap();
    log.stop().await.unwrap();
    drop(log);
    assert!(objects_of(&store, made.id).await > 3);
    repository.delete_volume(&name).await.unwrap();
    assert_eq!(objects_of(&store, made.id).await, 0);
    let error = repository.volume(&name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_unfinished_create_is_gone_on_with_under_a_new_id() {
    let (repository, store) = repository().await;
    let made = repository.create_volume(log_volume("v")).await.unwrap();
    // As a crash before the last step leaves it.
    let key = Key::new(".restblk/volumes/v").unwrap();
    let mut unfinished = made.clone();
    unfinished.state = LifeState::Creating;
    let bytes = unfinished.encode().unwrap();
    store.put(&key, bytes.into(), Precondition::Always).await.unwrap();
    let other_size = NewVolume {
        size: 2 << 20,
        ..log_volume("v")
    };
    assert_eq!(
        repository.create_volume(other_size).await.unwrap_err().kind(),
        ErrorKind::Exists
    );
    assert_eq!(
        repository
            .create_volume(volume("v", 1 << 20))
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Exists
    );
    let again = repository.create_volume(log_volume("v")).await.unwrap();
    assert_ne!(again.id, made.id);
    assert_eq!(
        objects_of(&store, made.id).await,
        0,
        "what the first one left is cleared away"
    );
    open(&repository, &store, "v").await.stop().await.unwrap();
    repository.delete_volume(&"v".parse().unwrap()).await.unwrap();
    assert_eq!(objects_of(&store, again.id).await, 0);
}

#[tokio::test]
async fn what_a_log_volume_needs_is_asked_for() {
    let (repository, _) = repository().await;
    let small = NewVolume {
        block_size: BlockSize::B512,
        ..log_volume("v")
    };
    assert_eq!(
        repository.create_volume(small).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    repository.create_volume(volume("direct", 1 << 20)).await.unwrap();
    let direct = record_of(&repository, "direct").await;
    let refused = repository
        .open_log(Arc::new(MemoryStore::new()), &direct, writer("h"), Local::default())
        .await;
    assert!(matches!(
        refused,
        Err(EngineError::Refused {
            kind: ErrorKind::Unsupported,
            ..
        })
    ));
    // A store without a volume of this id.
    let (other, store) = (
        repository_on(Arc::new(MemoryStore::new())).await,
        Arc::new(MemoryStore::new()),
    );
    let lost = other
        .open_log(
            store,
            &VolumeRecord {
                layout: LayoutKind::Log,
                ..direct
            },
            writer("h"),
            Local::default(),
        )
        .await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::NotFound);
}
