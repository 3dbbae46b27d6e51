use super::*;
use crate::{Local, Options, Writer, create};
use bytes::Bytes;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_store::{MemoryStore, Store};
use restblk_types::VolumeId;
use std::sync::atomic::{AtomicBool, Ordering};

const SIZE: u64 = 4 << 20;

async fn volume(store: &Arc<dyn Store>, id: u8) -> Arc<LogVolume> {
    let (id, writer) = (
        VolumeId::from_bytes([id; 16]),
        Writer {
            nonce: [id; 16],
            hostname: "host".to_owned(),
            since: String::new(),
            key: None,
        },
    );
    create(Arc::clone(store), id, SIZE, &writer).await.unwrap();
    let opened = LogVolume::open(
        Arc::clone(store),
        id,
        writer,
        Options::default(),
        Local::default(),
    );
    Arc::new(opened.await.unwrap())
}

/// Writes a number to one volume after the other, each once the one before has answered.
async fn write(volumes: Vec<Arc<LogVolume>>, stop: Arc<AtomicBool>) -> u64 {
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        for volume in &volumes {
            let mut block = vec![0; 4096];
            block[..8].copy_from_slice(&number.to_le_bytes());
            let data = Bytes::from(block);
            volume
                .write_bytes(number % 64 * 4096, data, WriteFlags::default())
                .await
                .unwrap();
        }
        tokio::task::yield_now().await;
    }
    number
}

/// The newest number that a snapshot has.
async fn newest(volume: &LogVolume, id: u64) -> u64 {
    let view = volume.view(id).unwrap();
    let mut bytes = vec![0; 64 * 4096];
    view.read(0, &mut bytes).await.unwrap();
    let numbers = bytes
        .chunks_exact(4096)
        .map(|block| u64::from_le_bytes(block[..8].try_into().unwrap()));
    numbers.max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_are_of_one_moment() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let mut volumes = Vec::new();
    for id in 1..=3 {
        volumes.push(volume(&store, id).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(volumes.clone(), Arc::clone(&stop)));
    let mut apart = 0;
    // Cuts fall between the writes of one number, too: sooner or later, by chance.
    for round in 0..1000 {
        if round >= 40 && apart > 0 {
            break;
        }
        // In another order each time; single ones and larger groups at once.
        let name = format!("group{round}");
        let mut members: Vec<_> = volumes
            .iter()
            .map(|volume| (Arc::clone(volume), name.clone()))
            .collect();
        members.rotate_left(round % 3);
        let alone_name = format!("alone{round}");
        let alone = volumes[round % 3].snapshot(&alone_name, "then");
        let (made, alone) = tokio::join!(snapshot_together(&members, "then"), alone);
        alone.unwrap();
        let mut found = Vec::new();
        for ((volume, _), id) in members.iter().zip(made.unwrap()) {
            found.push((volume.core.shelf.volume, newest(volume, id).await));
        }
        found.sort_by_key(|(volume, _)| *volume.as_bytes());
        let numbers: Vec<u64> = found.iter().map(|(_, number)| *number).collect();
        assert!(
            numbers.is_sorted_by(|a, b| a >= b) && numbers[0] - numbers[2] <= 1,
            "round {round}: {numbers:?} were never there together"
        );
        apart += u64::from(numbers[0] != numbers[2]);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 100);
    assert!(apart > 0, "no cut was in the midst of a round");
}

#[tokio::test]
async fn none_is_made_where_one_fails() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (one, two) = (volume(&store, 1).await, volume(&store, 2).await);
    two.snapshot("taken", "then").await.unwrap();
    let both = |name: &str| {
        [
            (Arc::clone(&one), name.to_owned()),
            (Arc::clone(&two), name.to_owned()),
        ]
    };
    let error = snapshot_together(&both("taken"), "then").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(one.snapshots().is_empty());
    assert_eq!(two.snapshots().len(), 1);
    let twice = [
        (Arc::clone(&one), "a".to_owned()),
        (Arc::clone(&one), "b".to_owned()),
    ];
    assert_eq!(
        snapshot_together(&twice, "then").await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    // And the next one is made.
    snapshot_together(&both("later"), "then").await.unwrap();
    two.cut_off();
    assert!(snapshot_together(&both("too late"), "then").await.is_err());
    assert_eq!(one.snapshots().len(), 1);
}
