//! What a reader without anything in memory asks of the store: few requests, and right bytes whatever is wrong with what he did not want.

use crate::shelf::{Series, Shelf};
use crate::test_volume::{id, writer};
use crate::{Cache, DataKey, Local, LogVolume, Options, create};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_format::log::{EntryKind, Kind, SegmentHead};
use restblk_store::faulty::Faulty;
use restblk_store::{MemoryStore, Precondition, Store};
use restblk_types::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const BLOCK: usize = 4096;
/// Blocks of a volume: four segments, 64 pages of its map.
const BLOCKS: usize = 8192;
/// Blocks of a write; seven fit a segment.
const WRITE: usize = 256;
/// Blocks of the first segment in no order, so far apart that nobody reads ahead.
const ALL_OVER: [usize; 6] = [1700, 250, 1450, 1200, 450, 950];

fn tagged(tag: u64, block: usize) -> Vec<u8> {
    (tag << 32 | block as u64).to_le_bytes().repeat(BLOCK / 8)
}

fn block(block: usize) -> Vec<u8> {
    tagged(7, block)
}

async fn write(volume: &LogVolume, blocks: Range<usize>) {
    write_tagged(volume, 7, blocks).await;
}

async fn write_tagged(volume: &LogVolume, tag: u64, blocks: Range<usize>) {
    for first in blocks.clone().step_by(WRITE) {
        let some = first..blocks.end.min(first + WRITE);
        let bytes: Vec<u8> = some.flat_map(|block| tagged(tag, block)).collect();
        let flags = WriteFlags::default();
        volume.write((first * BLOCK) as u64, &bytes, flags).await.unwrap();
    }
}

/// Reads a block both ways, and compares it.
async fn check(device: &dyn BlockDevice, at: usize) {
    let mut found = vec![0; BLOCK];
    let offset = (at * BLOCK) as u64;
    device.read(offset, &mut found).await.unwrap();
    assert!(found == block(at), "block {at}");
    let pieces = device.read_pieces(offset, BLOCK).await.unwrap();
    assert!(pieces.concat() == found, "block {at} in pieces");
}

struct Ground {
    store: Arc<Faulty>,
    key: Option<DataKey>,
    folder: tempfile::TempDir,
}

impl Ground {
    fn new(key: Option<DataKey>) -> Self {
        Self {
            store: Arc::new(Faulty::scripted(Arc::new(MemoryStore::new()))),
            key,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self, volume: u8, cache: Option<Arc<Cache>>) -> LogVolume {
        let local = Local {
            cache,
            ..Local::default()
        };
        let writer = writer(self.key.as_ref());
        LogVolume::open(self.store.clone(), id(volume), writer, Options::default(), local)
            .await
            .unwrap()
    }

    /// A volume that is written whole, and detached.
    async fn written(self) -> Self {
        let writer = writer(self.key.as_ref());
        create(self.store.clone(), id(1), (BLOCKS * BLOCK) as u64, &writer)
            .await
            .unwrap();
        let volume = self.open(1, None).await;
        write(&volume, 0..BLOCKS).await;
        volume.stop().await.unwrap();
        self
    }

    /// A cache that is ready: what an earlier process left is looked for first.
    async fn cache(&self, name: &str, size: u64) -> Arc<Cache> {
        let cache = Cache::open(&self.folder.path().join(name), size, 1 << 16).unwrap();
        while !cache.has_room(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Arc::new(cache)
    }
}

#[tokio::test]
async fn who_reads_again_in_a_segment_has_all_of_it() {
    let ground = Ground::new(None).written().await;
    let cache = ground.cache("cache", 256 << 20).await;
    let volume = ground.open(1, Some(cache)).await;
    check(&volume, 5).await;
    check(&volume, 700).await;
    let calls = ground.store.calls();
    for at in ALL_OVER {
        check(&volume, at).await;
    }
    assert_eq!(ground.store.calls(), calls, "all of it was there");
    check(&volume, 7 * WRITE + 5).await;
    assert_eq!(ground.store.calls(), calls + 1, "of another one, a frame");
}

#[tokio::test]
async fn without_a_cache_or_room_in_it_a_read_fetches_its_frame() {
    let ground = Ground::new(None).written().await;
    let small = ground.cache("small", 32 << 20).await;
    let mut filler = 0_u64;
    while small.has_room(8 << 20) {
        let key = std::array::from_fn(|at| filler.to_le_bytes().get(at).copied().unwrap_or(7));
        small.put(&key, &[0; 32 << 10]);
        filler += 1;
        if small.is_behind() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for cache in [None, Some(small)] {
        let volume = ground.open(1, cache).await;
        check(&volume, 5).await;
        let calls = ground.store.calls();
        for (count, at) in (1..).zip(ALL_OVER) {
            check(&volume, at).await;
            assert_eq!(ground.store.calls(), calls + count);
        }
    }
}

#[tokio::test]
async fn pages_that_lie_side_by_side_are_read_together() {
    let ground = Ground::new(None).written().await;
    let volume = ground.open(1, None).await;
    let calls = ground.store.calls();
    let spans = volume.spans(0, (BLOCKS * BLOCK) as u64).await.unwrap();
    assert!(spans.iter().all(|span| !span.is_hole));
    let at_once = ground.store.calls() - calls;
    assert!(
        at_once <= 8,
        "64 pages and their root, of a few segments, and where these are: {at_once}"
    );
    volume.stop().await.unwrap();

    let volume = ground.open(1, None).await;
    let calls = ground.store.calls();
    for at in (0..BLOCKS).step_by(128) {
        let spans = volume.spans((at * BLOCK) as u64, BLOCK as u64).await.unwrap();
        assert!(!spans[0].is_hole);
    }
    let by_one = ground.store.calls() - calls;
    assert!(by_one <= 8, "the neighbours come by the same request: {by_one}");
    let id = volume.snapshot("s", "").await.unwrap();
    let view = volume.view(id).unwrap();
    let calls = ground.store.calls();
    for at in (0..BLOCKS).step_by(128) {
        let spans = view.spans((at * BLOCK) as u64, BLOCK as u64).await.unwrap();
        assert!(!spans[0].is_hole);
    }
    let of_view = ground.store.calls() - calls;
    assert!(of_view <= 8, "of a snapshot, too: {of_view}");
}

#[tokio::test]
async fn moved_and_inherited_segments_are_read_whole_too() {
    let ground = Ground::new(Some(DataKey::random())).written().await;
    let volume = ground.open(1, None).await;
    // Most of what was written first is dead, and what lives is moved.
    for first in (0..BLOCKS).step_by(8) {
        write(&volume, first..first + 5).await;
    }
    volume.checkpoint().await.unwrap();
    assert!(volume.collect().await.unwrap() > 0);
    let id = volume.snapshot("s", "").await.unwrap();
    let child = writer(ground.key.as_ref());
    volume.clone_snapshot(id, self::id(2), &child).await.unwrap();
    volume.stop().await.unwrap();
    for (name, number) in [("own", 1), ("clone", 2)] {
        let cache = ground.cache(name, 256 << 20).await;
        let volume = ground.open(number, Some(cache.clone())).await;
        let calls = ground.store.calls();
        for at in (0..BLOCKS).step_by(5) {
            check(&volume, at).await;
        }
        let calls = ground.store.calls() - calls;
        assert!(calls < 60, "{calls} requests of {name} for {} reads", BLOCKS / 5);
        assert!(cache.figures().puts > 1000);
    }
}

/// A parent's collector puts what it wrote before and after a clone was made into one object, and the clone has the numbers of what came
/// after for segments of its own.
#[tokio::test]
async fn what_an_ancestor_wrote_later_is_not_taken_for_the_clones_own() {
    for key in [None, Some(DataKey::random())] {
        let ground = Ground::new(key).written().await;
        let parent = ground.open(1, None).await;
        // Of each eight blocks two of the first segments live, and one of those after the clone.
        for first in (0..BLOCKS).step_by(8) {
            write(&parent, first..first + 6).await;
        }
        parent.checkpoint().await.unwrap();
        let id = parent.snapshot("s", "").await.unwrap();
        let child = writer(ground.key.as_ref());
        parent.clone_snapshot(id, self::id(2), &child).await.unwrap();
        for blocks in [6, 5] {
            for first in (0..BLOCKS).step_by(8) {
                write_tagged(&parent, 8, first..first + blocks).await;
            }
        }
        parent.checkpoint().await.unwrap();
        assert!(parent.collect().await.unwrap() > 0);
        parent.stop().await.unwrap();
        let cut = cut_of(&ground.store).await;
        assert!(has_both_sides(&ground.store, cut).await, "an object with both");

        let cache = ground.cache("cache", 256 << 20).await;
        let volume = ground.open(2, Some(cache.clone())).await;
        for at in (0..BLOCKS).step_by(3) {
            check(&volume, at).await;
        }
        // In the places of what the parent wrote.
        for first in (0..BLOCKS).step_by(8) {
            write_tagged(&volume, 9, first..first + 6).await;
        }
        volume.stop().await.unwrap();
        drop(volume);
        let volume = ground.open(2, Some(cache)).await;
        let mut found = vec![0; BLOCK];
        for at in (0..BLOCKS).step_by(8) {
            volume.read((at * BLOCK) as u64, &mut found).await.unwrap();
            assert!(found == tagged(9, at), "block {at} of the clone");
        }
    }
}

/// The first number of the clone's own segments.
async fn cut_of(store: &Arc<Faulty>) -> u32 {
    let shelf = Shelf::new(store.clone(), id(2));
    let (_, head) = crate::look::newest(&shelf, None).await.unwrap().unwrap();
    let own = head.epochs.iter().find(|span| span.volume == 0).unwrap();
    own.first(Kind::Log)
}

/// Whether an object of moved frames has some that were born before a number, and some that were not.
async fn has_both_sides(store: &Arc<Faulty>, cut: u32) -> bool {
    let shelf = Shelf::new(store.clone(), id(1));
    for (epoch, sequence) in (1..4).flat_map(|epoch| (0..9).map(move |sequence| (epoch, sequence))) {
        let key = shelf.key(Series::Segments(Kind::Gc, epoch), sequence);
        let Some(bytes) = shelf.whole(&key).await.unwrap() else {
            continue;
        };
        let Ok(head) = SegmentHead::decode(&bytes) else {
            continue;
        };
        let origins = head.entries.iter().filter_map(|entry| entry.pointer(0));
        let later: Vec<bool> = origins.map(|origin| origin.segment().number() >= cut).collect();
        if later.contains(&true) && later.contains(&false) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn what_is_damaged_is_told_to_who_reads_it_and_to_nobody_else() {
    for (kind, first, good, bad) in [
        (Kind::Log, 40, [5, 700, 32, 48], 40),
        // The page of the blocks from 384 on.
        (Kind::Map, 3, [5, 700, 383, 512], 400),
    ] {
        let ground = Ground::new(None).written().await;
        damage(&ground.store, kind, first).await;
        let cache = ground.cache("cache", 256 << 20).await;
        let volume = ground.open(1, Some(cache)).await;
        for at in good {
            check(&volume, at).await;
        }
        let mut found = vec![0; BLOCK];
        let read = volume.read((bad * BLOCK) as u64, &mut found).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "{kind:?}");
    }
}

/// Changes a bit of every frame that has this number.
async fn damage(store: &Arc<Faulty>, kind: Kind, first: u64) {
    let shelf = Shelf::new(store.clone(), id(1));
    let mut damaged = 0;
    for (epoch, sequence) in (1..4).flat_map(|epoch| (0..9).map(move |sequence| (epoch, sequence))) {
        let key = shelf.key(Series::Segments(kind, epoch), sequence);
        let Some(bytes) = shelf.whole(&key).await.unwrap() else {
            continue;
        };
        let Ok(head) = SegmentHead::decode(&bytes) else {
            continue;
        };
        let mut bytes = bytes.to_vec();
        let frames = head.entries.iter().filter(|entry| entry.first == first);
        for entry in frames {
            if let EntryKind::Frame { offset, .. } = entry.kind {
                bytes[offset as usize + 50] ^= 1;
                damaged += 1;
            }
        }
        store.delete(&key, Precondition::Always).await.unwrap();
        store.put(&key, bytes.into(), Precondition::Absent).await.unwrap();
    }
    assert!(damaged > 0);
}
