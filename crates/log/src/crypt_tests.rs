//! Encrypted and packed volumes, one property at a time; the simulation has them in half of its seeds.

use crate::shelf::{Series, Shelf};
use crate::test_volume::{id, writer};
use crate::{Codec, DataKey, Disk, Durability, FileDisk, Local, LogError, LogVolume, Options, create};
use bytes::Bytes;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_format::log::{FrameKind, Kind, SegmentBuilder, SegmentNumber};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::ErrorKind;
use std::path::Path;
use std::sync::Arc;

const BLOCK: usize = 4096;
/// A word of every block.
const SECRET: &[u8] = b"a user's secret";

fn options(codec: Codec) -> Options {
    Options {
        codec,
        segments_per_checkpoint: 1 << 20,
        ..Options::default()
    }
}

type Memory = Arc<MemoryStore>;

async fn try_open(store: &Memory, volume: u8, key: Option<&DataKey>) -> Result<LogVolume, LogError> {
    let (store, options) = (Arc::<MemoryStore>::clone(store), options(Codec::Lz4));
    LogVolume::open(store, id(volume), writer(key), options, Local::default()).await
}

async fn made(store: &Memory, volume: u8, key: Option<&DataKey>) -> LogVolume {
    let size = 64 * BLOCK as u64;
    create(store.clone(), id(volume), size, &writer(key))
        .await
        .unwrap();
    try_open(store, volume, key).await.unwrap()
}

/// Blocks that differ in each place and by each tag, and have the secret many times.
fn data(blocks: std::ops::Range<usize>, tag: u8) -> Vec<u8> {
    let block = |block: usize| {
        let line = format!("{}, number {block} of {tag}. ", String::from_utf8_lossy(SECRET));
        let mut bytes = line.repeat(BLOCK / line.len() + 1).into_bytes();
        bytes.truncate(BLOCK);
        bytes
    };
    blocks.flat_map(block).collect()
}

async fn write(volume: &LogVolume, blocks: std::ops::Range<usize>, tag: u8) {
    let (at, data) = ((blocks.start * BLOCK) as u64, data(blocks, tag));
    volume.write(at, &data, WriteFlags::default()).await.unwrap();
}

async fn read(device: &dyn BlockDevice, blocks: std::ops::Range<usize>) -> Result<Vec<u8>, ErrorKind> {
    let mut found = vec![0; blocks.len() * BLOCK];
    let read = device.read((blocks.start * BLOCK) as u64, &mut found).await;
    read.map(|()| found).map_err(|error| error.kind())
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|some| some == what)
}

/// All objects of a volume.
async fn objects(store: &Memory, volume: u8) -> Vec<(Key, Bytes)> {
    let shelf = Shelf::new(store.clone(), id(volume));
    let mut all = vec![Series::Epochs];
    for epoch in 1..9 {
        all.push(Series::Heads(epoch));
        all.extend(Kind::ALL.map(|kind| Series::Segments(kind, epoch)));
    }
    let mut found = Vec::new();
    for series in all {
        for entry in shelf.list(series, None).await.unwrap().entries {
            let bytes = shelf.whole(&entry.key).await.unwrap().unwrap();
            found.push((entry.key, bytes));
        }
    }
    found
}

/// A store of these objects.
async fn store_of(objects: &[(Key, Bytes)]) -> Memory {
    let store = Arc::new(MemoryStore::new());
    for (key, bytes) in objects {
        let put = store.put(key, bytes.clone(), Precondition::Always).await;
        put.unwrap();
    }
    store
}

fn journal(folder: &Path) -> (std::path::PathBuf, Arc<dyn Disk>) {
    let path = folder.join("journal");
    let disk = FileDisk::open(&path, 4 << 20).unwrap();
    (path, Arc::new(disk))
}

#[tokio::test]
async fn neither_the_store_nor_the_journal_has_anything_plain() {
    for key in [None, Some(DataKey::random())] {
        let (store, folder) = (Arc::new(MemoryStore::new()), tempfile::tempdir().unwrap());
        let size = 64 * BLOCK as u64;
        create(store.clone(), id(1), size, &writer(key.as_ref()))
            .await
            .unwrap();
        let (path, disk) = journal(folder.path());
        let options = Options {
            durability: Durability::Local,
            ..options(Codec::None)
        };
        let open = || {
            LogVolume::open(
                store.clone(),
                id(1),
                writer(key.as_ref()),
                options,
                Local {
                    journal: Some(disk.clone()),
                    ..Local::default()
                },
            )
        };
        let volume = open().await.unwrap();
        write(&volume, 0..40, 1).await;
        volume.flush().await.unwrap();
        let in_journal = std::fs::read(&path).unwrap();
        // Killed: what comes back is the journal's.
        drop(volume);
        let volume = open().await.unwrap();
        assert!(read(&volume, 0..40).await.unwrap() == data(0..40, 1));
        volume.snapshot("s", "").await.unwrap();
        write(&volume, 0..30, 2).await;
        volume.collect().await.unwrap();
        volume.stop().await.unwrap();
        let stored = objects(&store, 1).await;
        assert!(stored.iter().any(|(key, _)| key.as_str().contains("/map/")));
        let on_store = stored.iter().any(|(_, bytes)| has(bytes, SECRET));
        // Without encryption it is there: this test can fail.
        assert_eq!(
            (has(&in_journal, SECRET), on_store),
            (key.is_none(), key.is_none())
        );
        // A journal that was not encrypted is not believed of one that is, and its bytes are nowhere.
        if let Some(key) = &key {
            assert!(
                !has(&in_journal, key.bytes()) && !stored.iter().any(|(_, bytes)| has(bytes, key.bytes()))
            );
        }
    }
}

#[tokio::test]
async fn another_key_or_none_opens_nothing() {
    let (store, key) = (Arc::new(MemoryStore::new()), DataKey::random());
    let volume = made(&store, 1, Some(&key)).await;
    write(&volume, 0..8, 1).await;
    volume.stop().await.unwrap();
    drop(volume);
    let kind = |opened: Result<LogVolume, LogError>| opened.unwrap_err().kind();
    assert_eq!(
        kind(try_open(&store, 1, Some(&DataKey::random())).await),
        ErrorKind::Corrupt
    );
    assert_eq!(kind(try_open(&store, 1, None).await), ErrorKind::Denied);
    let volume = try_open(&store, 1, Some(&key)).await.unwrap();
    assert!(read(&volume, 0..8).await.unwrap() == data(0..8, 1));
    drop(made(&store, 2, None).await);
    assert_eq!(kind(try_open(&store, 2, Some(&key)).await), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_byte_that_the_store_changes_is_never_data() {
    let (store, key) = (Arc::new(MemoryStore::new()), DataKey::random());
    let volume = made(&store, 1, Some(&key)).await;
    write(&volume, 0..40, 1).await;
    volume.checkpoint().await.unwrap();
    write(&volume, 10..20, 2).await;
    volume.flush().await.unwrap();
    let wanted = read(&volume, 0..40).await.unwrap();
    volume.cut_off();
    let stored = objects(&store, 1).await;
    let (mut refused, mut harmless) = (0, 0);
    for at in 0..stored.len() {
        let len = stored[at].1.len();
        for place in (0..len).step_by((len / 40).max(1)) {
            let mut bad = stored.clone();
            let mut bytes = bad[at].1.to_vec();
            bytes[place] ^= 0x40;
            bad[at].1 = Bytes::from(bytes);
            let store = store_of(&bad).await;
            let opened = match try_open(&store, 1, Some(&key)).await {
                Ok(volume) => read(&volume, 0..40).await,
                Err(error) => Err(error.kind()),
            };
            match opened {
                Ok(found) => {
                    assert!(found == wanted, "byte {place} of {}", bad[at].0);
                    harmless += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 50, "{refused} were refused, {harmless} did no harm");
}

/// The object of a volume's first segment, in an epoch.
fn first_segment(volume: u8, epoch: u32) -> Key {
    let store: Memory = Arc::new(MemoryStore::new());
    Shelf::new(store, id(volume)).key(Series::Segments(Kind::Log, epoch), 0)
}

#[tokio::test]
async fn another_volumes_segment_is_refused_although_it_has_the_same_key() {
    let (store, key) = (Arc::new(MemoryStore::new()), DataKey::random());
    for volume in [1, 2] {
        let opened = made(&store, volume, Some(&key)).await;
        write(&opened, 0..8, volume).await;
        opened.stop().await.unwrap();
    }
    let theirs = store
        .get(&first_segment(2, 2), None)
        .await
        .unwrap()
        .payload
        .into_bytes();
    let put = store
        .put(&first_segment(1, 2), theirs, Precondition::Always)
        .await;
    put.unwrap();
    let volume = try_open(&store, 1, Some(&key)).await.unwrap();
    assert_eq!(read(&volume, 0..8).await, Err(ErrorKind::Corrupt));
}

#[tokio::test]
async fn a_plain_segment_is_not_taken_for_an_encrypted_one() {
    let (store, key) = (Arc::new(MemoryStore::new()), DataKey::random());
    let volume = made(&store, 1, Some(&key)).await;
    write(&volume, 0..8, 1).await;
    volume.flush().await.unwrap();
    volume.cut_off();
    // As the store could make it that knows the format: in the log, and not in a head yet.
    let stored = store
        .get(&first_segment(1, 2), None)
        .await
        .unwrap()
        .payload
        .into_bytes();
    let nonce = restblk_format::log::Header::peek(&stored).unwrap().nonce;
    let number = SegmentNumber::new(Kind::Log, 1).unwrap();
    let mut forged = SegmentBuilder::new(number, 1, Codec::None);
    forged.push(FrameKind::Data, 0, &data(0..8, 9)).unwrap();
    let (bytes, _) = forged.finish(id(1), 2, 0, nonce);
    let put = store
        .put(&first_segment(1, 2), Bytes::from(bytes), Precondition::Always)
        .await;
    put.unwrap();
    let error = try_open(&store, 1, Some(&key)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_store_that_gives_an_epoch_twice_gets_no_nonce_twice() {
    let (store, key) = (Arc::new(MemoryStore::new()), DataKey::random());
    drop(made(&store, 1, Some(&key)).await);
    let before = objects(&store, 1).await;
    let mut segments = Vec::new();
    for tag in [1, 1, 2] {
        let store = store_of(&before).await;
        let volume = try_open(&store, 1, Some(&key)).await.unwrap();
        write(&volume, 0..8, tag).await;
        volume.flush().await.unwrap();
        let stored = store.get(&first_segment(1, 3), None).await.unwrap().payload;
        segments.push(stored.into_bytes());
    }
    let nonces = segments.iter().map(|segment| {
        let head = restblk_format::log::SegmentHead::decode(segment).unwrap();
        let at = head.entries[0].pointer(0).unwrap().offset() as usize;
        segment[at + 36..at + 48].to_vec()
    });
    let nonces: std::collections::BTreeSet<_> = nonces.collect();
    assert_eq!(nonces.len(), 3, "same key, same place: another nonce each time");
}

/// Everything that moves, copies or shares frames, with each codec.
#[tokio::test]
async fn what_is_sealed_is_read_wherever_it_goes() {
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let (store, key) = (Arc::new(MemoryStore::new()), DataKey::random());
        let parent = made(&store, 1, Some(&key)).await;
        parent.set_codec(codec);
        write(&parent, 0..64, 1).await;
        let snapshot = parent.snapshot("s", "").await.unwrap();
        parent
            .clone_snapshot(snapshot, id(2), &writer(None))
            .await
            .unwrap();
        // Most of the first segment dies but for what the snapshot holds, and what stays is thinned and moved.
        write(&parent, 3..60, 2).await;
        parent.collect().await.unwrap();
        write(&parent, 5..58, 3).await;
        parent.collect().await.unwrap();
        parent.checkpoint().await.unwrap();
        let second = SegmentNumber::new(Kind::Log, 2).unwrap();
        assert!(parent.core.line(second).await.unwrap().moved.is_some());
        let wanted = [data(3..5, 2), data(5..58, 3), data(58..60, 2)].concat();
        assert!(read(&parent, 3..60).await.unwrap() == wanted);
        let child = try_open(&store, 2, Some(&key)).await.unwrap();
        assert!(read(&child, 0..64).await.unwrap() == data(0..64, 1));
        let view = parent.view(snapshot).unwrap();
        assert!(read(&view, 0..64).await.unwrap() == data(0..64, 1));
        write(&child, 5..9, 4).await;
        child.flatten(&mut |_| ()).await.unwrap();
        child.stop().await.unwrap();
        parent.rollback(snapshot).await.unwrap();
        parent.stop().await.unwrap();
        drop((parent, child));
        let parent = try_open(&store, 1, Some(&key)).await.unwrap();
        assert!(read(&parent, 0..64).await.unwrap() == data(0..64, 1));
        let child = try_open(&store, 2, Some(&key)).await.unwrap();
        let found = read(&child, 0..64).await.unwrap();
        assert!(found[..5 * BLOCK] == data(0..5, 1) && found[5 * BLOCK..9 * BLOCK] == data(5..9, 4));
        assert_eq!(child.key(), Some(key));
        for volume in [1, 2] {
            let all = objects(&store, volume).await;
            assert!(!all.iter().any(|(_, bytes)| has(bytes, SECRET)));
        }
    }
}

/// Without a key: what two codecs wrote is read by whoever knows both.
#[tokio::test]
async fn a_codec_is_changed_while_the_volume_is_open() {
    let store = Arc::new(MemoryStore::new());
    let volume = made(&store, 1, None).await;
    let mut lens = Vec::new();
    for (tag, codec) in [(1, Codec::None), (2, Codec::Lz4), (3, Codec::Zstd)] {
        volume.set_codec(codec);
        write(&volume, usize::from(tag) * 8..usize::from(tag) * 8 + 8, tag).await;
        volume.flush().await.unwrap();
        let stored = objects(&store, 1).await;
        let logs = stored.iter().filter(|(key, _)| key.as_str().contains("/log/"));
        lens.push(logs.map(|(_, bytes)| bytes.len()).sum::<usize>());
    }
    let each = [lens[0], lens[1] - lens[0], lens[2] - lens[1]];
    assert!(
        each[0] > 8 * BLOCK && each[1] < 2 * BLOCK && each[2] < each[1],
        "{each:?}"
    );
    volume.stop().await.unwrap();
    drop(volume);
    let volume = try_open(&store, 1, None).await.unwrap();
    for tag in 1..=3_u8 {
        let blocks = usize::from(tag) * 8..usize::from(tag) * 8 + 8;
        assert!(read(&volume, blocks.clone()).await.unwrap() == data(blocks, tag));
    }
    let features = volume.core.state().head.features;
    assert_eq!(features, restblk_format::log::FEATURE_ZSTD);
}
