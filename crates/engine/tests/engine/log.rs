//! Volumes of the log layout in a repository: made, opened, deleted, and what an unfinished create leaves.

use super::{repository, repository_on, volume};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_engine::{
    EngineError, NewVolume, Repository,
    log::{DataKey, Local, Writer},
};
use restblk_format::log::{Header, ObjectType};
use restblk_format::{Encryption, LayoutKind, LifeState, Record, VolumeRecord};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::{BlockSize, Compression, ErrorKind, KeyKind, KeySecret, VolumeId, VolumeName};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn log_volume(name: &str) -> NewVolume {
    NewVolume {
        layout: LayoutKind::Log,
        block_size: BlockSize::B4096,
        ..volume(name, 1 << 20)
    }
}

pub(super) fn writer(hostname: &str) -> Writer {
    Writer {
        nonce: *VolumeId::random().as_bytes(),
        hostname: hostname.into(),
        since: "2026-01-02T03:04:05Z".into(),
        key: None,
    }
}

pub(super) async fn record_of(repository: &Repository, name: &str) -> VolumeRecord {
    repository.volume(&name.parse().unwrap()).await.unwrap().record
}

pub(super) async fn open(
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
pub(crate) async fn objects_of(store: &MemoryStore, id: VolumeId) -> usize {
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

/// The ids under which there are objects.
pub(crate) fn ids(store: &MemoryStore) -> BTreeSet<VolumeId> {
    let keys = store.keys();
    let of_volumes = keys
        .iter()
        .filter_map(|key| key.as_str().strip_prefix(".restblk/vol/"));
    of_volumes
        .filter_map(|rest| rest.split('/').next()?.parse().ok())
        .collect()
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
        .open_log(
            Arc::new(MemoryStore::new()),
            &direct,
            writer("h"),
            Local::default(),
        )
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

fn secret(byte: u8) -> KeySecret {
    KeySecret::of_file(KeyKind::KeyFile, vec![byte; 32]).unwrap()
}

fn now() -> String {
    "2026-01-02T03:04:05Z".to_owned()
}

fn with_key(key: &DataKey) -> Writer {
    Writer {
        key: Some(key.clone()),
        ..writer("h")
    }
}

#[tokio::test]
async fn an_encrypted_volume_is_opened_by_its_own_key_and_nothing_is_claimed_for_another() {
    let (repository, store) = repository().await;
    let name: VolumeName = "v".parse().unwrap();
    let key = DataKey::random();
    let encryption = Encryption::new(&key, &secret(1), now()).unwrap();
    let new = |layout| NewVolume {
        layout,
        compression: Compression::Zstd,
        encryption: Some((encryption.clone(), key.clone())),
        ..log_volume("v")
    };
    let direct = repository.create_volume(new(LayoutKind::Direct)).await;
    assert_eq!(direct.unwrap_err().kind(), ErrorKind::Unsupported);
    let made = repository.create_volume(new(LayoutKind::Log)).await.unwrap();
    // What an older version, which knows neither word, refuses by.
    assert_eq!(made.incompat, ["zstd", "encryption"]);
    let before = objects_of(&store, made.id).await;
    let record = record_of(&repository, "v").await;
    for (writer, kind) in [
        (writer("h"), ErrorKind::Denied),
        (with_key(&DataKey::random()), ErrorKind::Denied),
    ] {
        let opened = repository
            .open_log(store.clone(), &record, writer, Local::default())
            .await;
        assert_eq!(opened.unwrap_err().kind(), kind);
    }
    let plain = VolumeRecord {
        encryption: None,
        ..record.clone()
    };
    let opened = repository
        .open_log(store.clone(), &plain, with_key(&key), Local::default())
        .await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(objects_of(&store, made.id).await, before, "an epoch was claimed");
    // Nor is a plain byte written where somebody took the encryption out of the record.
    let opened = repository
        .open_log(store.clone(), &plain, writer("h"), Local::default())
        .await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Denied);

    let log = repository
        .open_log(store.clone(), &record, with_key(&key), Local::default())
        .await
        .unwrap();
    log.write(0, &[7; 4096], WriteFlags::default()).await.unwrap();
    let snapshot = log.snapshot("monday", "").await.unwrap();
    let clone = NewVolume {
        encryption: Some((record.encryption.clone().unwrap(), key.clone())),
        ..log_volume("w")
    };
    let clone = repository.clone_volume(clone, &log, snapshot).await.unwrap();
    log.stop().await.unwrap();

    // Other keys for the same data.
    let seen = record.encryption.unwrap();
    let (opened, slot) = seen.open(&secret(1)).unwrap();
    let mut changed = seen.clone();
    changed.replace(slot, &opened, &secret(2), now()).unwrap();
    repository.set_keys(&name, &seen, changed.clone()).await.unwrap();
    let again = repository.set_keys(&name, &seen, changed).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    let now_open = record_of(&repository, "v").await.encryption.unwrap();
    assert!(now_open.open(&secret(1)).is_err());
    let (by_new, by_old) = (
        now_open.open(&secret(2)).unwrap().0,
        clone.encryption.clone().unwrap().open(&secret(1)).unwrap().0,
    );
    for (record, key) in [(record_of(&repository, "v").await, by_new), (clone, by_old)] {
        let log = repository
            .open_log(store.clone(), &record, with_key(&key), Local::default())
            .await
            .unwrap();
        let mut found = [0; 4096];
        log.read(0, &mut found).await.unwrap();
        assert_eq!(found, [7; 4096]);
        log.stop().await.unwrap();
    }
}

#[tokio::test]
async fn another_compression_is_written_down_and_the_word_for_it_stays() {
    let (repository, _) = repository().await;
    let (log, direct): (VolumeName, VolumeName) = ("v".parse().unwrap(), "d".parse().unwrap());
    repository.create_volume(log_volume("v")).await.unwrap();
    repository.create_volume(volume("d", 1 << 20)).await.unwrap();
    let set = async |name, compression| repository.set_compression(name, compression).await;
    let refused = set(&direct, Compression::Zstd).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(record_of(&repository, "v").await.incompat.is_empty());
    let zstd = set(&log, Compression::Zstd).await.unwrap();
    assert_eq!(
        (zstd.compression, zstd.incompat),
        (Compression::Zstd, vec!["zstd".to_owned()])
    );
    let none = set(&log, Compression::None).await.unwrap();
    assert_eq!(
        (none.compression, none.incompat),
        (Compression::None, vec!["zstd".to_owned()])
    );
}
