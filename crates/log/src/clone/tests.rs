//! Clones, one property at a time; the simulation has them all at once.

use super::first_head;
use crate::children::{Child, Keeper};
use crate::core::Which;
use crate::look::look;
use crate::shelf::{Series, Shelf};
use crate::{Local, LogVolume, Options, Progress, Writer, create, destroy, table};
use proptest::prelude::*;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_format::log::{Head, Kind, Lineage, SegmentNumber, Snapshot, Span, Tree};
use restblk_store::faulty::{Fault, Faulty, Operation, Rate};
use restblk_store::{MemoryStore, Store};
use restblk_types::{ErrorKind, VolumeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

fn id(id: u8) -> VolumeId {
    VolumeId::from_bytes([id; 16])
}

fn writer(nonce: u8) -> Writer {
    Writer {
        nonce: [nonce; 16],
        hostname: "host".to_owned(),
        since: String::new(),
        key: None,
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn open(store: &Arc<dyn Store>, volume: u8) -> LogVolume {
    let options = Options {
        segments_per_checkpoint: 1 << 20,
        ..Options::default()
    };
    let nonce: u8 = rand::random();
    LogVolume::open(
        store.clone(),
        id(volume),
        writer(nonce),
        options,
        Local::default(),
    )
    .await
    .unwrap()
}

/// A volume of so many blocks, attached.
async fn volume(store: &Arc<dyn Store>, blocks: usize) -> LogVolume {
    create(store.clone(), id(1), (blocks * BLOCK) as u64, &writer(1))
        .await
        .unwrap();
    open(store, 1).await
}

fn data(tag: u8, block: usize) -> Vec<u8> {
    let word = (block as u64) << 8 | u64::from(tag);
    word.to_le_bytes().repeat(BLOCK / 8)
}

async fn write(volume: &LogVolume, blocks: std::ops::Range<usize>, tag: u8) {
    let bytes: Vec<u8> = blocks.clone().flat_map(|block| data(tag, block)).collect();
    let flags = WriteFlags::default();
    volume
        .write((blocks.start * BLOCK) as u64, &bytes, flags)
        .await
        .unwrap();
}

/// That each block has what this tag wrote to it.
async fn holds(device: &dyn BlockDevice, blocks: std::ops::Range<usize>, tag: u8) {
    let mut found = vec![0; blocks.len() * BLOCK];
    device
        .read((blocks.start * BLOCK) as u64, &mut found)
        .await
        .unwrap();
    for (block, found) in blocks.zip(found.chunks(BLOCK)) {
        assert!(found == data(tag, block), "block {block}: not what {tag} wrote");
    }
}

/// Overwrites most of every segment and collects, until what stays of the first one is elsewhere.
async fn move_all(volume: &LogVolume, blocks: std::ops::Range<usize>, tag: u8) {
    write(volume, blocks, tag).await;
    for _ in 0..3 {
        volume.collect().await.unwrap();
        volume.checkpoint().await.unwrap();
    }
    let first = SegmentNumber::new(Kind::Log, 1).unwrap();
    assert!(volume.core.line(first).await.unwrap().moved.is_some());
    let born = volume.core.born_at(first).unwrap();
    assert!(
        volume.core.shelf.header(&born.key).await.unwrap().is_none(),
        "it was not moved"
    );
}

/// A volume most of whose first segment died before its snapshot, which has volume 2 as a clone: what lives of the segment can be moved.
async fn mostly_dead_and_cloned(store: &Arc<dyn Store>) -> (LogVolume, u64) {
    let parent = volume(store, 1000).await;
    write(&parent, 0..1000, 1).await;
    parent.flush().await.unwrap();
    write(&parent, 0..800, 2).await;
    let snapshot = parent.snapshot("s", "").await.unwrap();
    parent.clone_snapshot(snapshot, id(2), &writer(2)).await.unwrap();
    (parent, snapshot)
}

#[tokio::test]
async fn each_generation_reads_what_it_began_with() {
    let store = memory();
    let parent = volume(&store, 1000).await;
    write(&parent, 0..1000, 1).await;
    let snapshot = parent.snapshot("s", "").await.unwrap();
    parent.clone_snapshot(snapshot, id(2), &writer(2)).await.unwrap();
    write(&parent, 0..400, 3).await;
    let child = open(&store, 2).await;
    write(&child, 50..60, 4).await;
    let snapshot = child.snapshot("s", "").await.unwrap();
    child.clone_snapshot(snapshot, id(3), &writer(3)).await.unwrap();
    write(&child, 0..1000, 5).await;
    let grandchild = open(&store, 3).await;
    assert_eq!(grandchild.ancestors(), [id(2), id(1)]);
    holds(&grandchild, 0..50, 1).await;
    holds(&grandchild, 50..60, 4).await;
    holds(&grandchild, 60..1000, 1).await;
    holds(&child, 0..1000, 5).await;
    holds(&parent, 0..400, 3).await;
}

#[tokio::test]
async fn a_moved_segment_is_looked_up_in_its_own_volume() {
    let store = memory();
    let (parent, snapshot) = mostly_dead_and_cloned(&store).await;
    let child = open(&store, 2).await;
    let of = child.snapshot("u", "").await.unwrap();
    child.clone_snapshot(of, id(3), &writer(3)).await.unwrap();
    let grandchild = open(&store, 3).await;
    move_all(&parent, 0..1, 3).await;
    for device in [&child, &grandchild] {
        holds(device, 800..1000, 1).await;
        holds(device, 0..800, 2).await;
    }
    // The head that was looked up is not the newest any more, and its table is gone.
    write(&parent, 0..1000, 6).await;
    parent.delete_snapshot(snapshot).await.unwrap();
    for _ in 0..3 {
        parent.collect().await.unwrap();
    }
    let again = open(&store, 3).await;
    holds(&again, 800..1000, 1).await;
    holds(&again, 0..800, 2).await;
}

#[tokio::test]
async fn what_lies_side_by_side_is_read_at_once_wherever_it_is() {
    let counted = Arc::new(Faulty::scripted(memory()));
    let store: Arc<dyn Store> = counted.clone();
    let (parent, _) = mostly_dead_and_cloned(&store).await;
    let requests = async |device: &LogVolume| {
        // The pages of the map, first.
        holds(device, 800..801, 1).await;
        holds(device, 999..1000, 1).await;
        let before = counted.calls();
        holds(device, 808..992, 1).await;
        counted.calls() - before
    };
    // 23 frames that were born elsewhere, and are there still.
    assert_eq!(requests(&open(&store, 2).await).await, 1);
    move_all(&parent, 0..1, 3).await;
    // The place was looked up for the block before.
    assert_eq!(requests(&open(&store, 2).await).await, 1, "moved, in an ancestor");
    parent.stop().await.unwrap();
    assert_eq!(requests(&open(&store, 1).await).await, 1, "moved, of its own");
}

#[tokio::test]
async fn a_deleted_snapshot_stays_for_its_clones() {
    let store = memory();
    let parent = volume(&store, 100).await;
    write(&parent, 0..100, 1).await;
    let snapshot = parent.snapshot("s", "").await.unwrap();
    parent.clone_snapshot(snapshot, id(2), &writer(2)).await.unwrap();
    let child = open(&store, 2).await;
    parent.delete_snapshot(snapshot).await.unwrap();
    assert_eq!(parent.snapshots(), []);
    let is_gone = |error: crate::LogError| error.kind() == ErrorKind::NotFound;
    assert!(parent.view(snapshot).is_err_and(is_gone));
    assert!(parent.rollback(snapshot).await.is_err_and(is_gone));
    assert!(parent.delete_snapshot(snapshot).await.is_err_and(is_gone));
    let again = parent.clone_snapshot(snapshot, id(4), &writer(4)).await;
    assert!(again.is_err_and(is_gone));
    // Its name is free.
    parent.snapshot("s", "").await.unwrap();
    write(&parent, 0..100, 2).await;
    parent.collect().await.unwrap();
    holds(&child, 0..100, 1).await;
    assert_eq!(
        parent.children(),
        [Child {
            snapshot,
            volume: id(2)
        }]
    );
    assert_eq!(parent.reap().await.unwrap(), 0);
    parent.stop().await.unwrap();
    let error = destroy(store.clone(), id(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&id(2).to_string()), "{error}");
    child.stop().await.unwrap();
    destroy(store.clone(), id(2)).await.unwrap();
    let parent = open(&store, 1).await;
    assert_eq!(parent.reap().await.unwrap(), 1);
    assert_eq!(parent.core.state().head.snapshots.len(), 1);
    parent.stop().await.unwrap();
    destroy(store.clone(), id(1)).await.unwrap();
    assert!(look(store, id(1)).await.is_err_and(is_gone));
}

#[tokio::test]
async fn a_deleted_volume_does_not_come_back() {
    let store = memory();
    let parent = volume(&store, 100).await;
    write(&parent, 0..100, 1).await;
    let snapshot = parent.snapshot("s", "").await.unwrap();
    parent.clone_snapshot(snapshot, id(2), &writer(2)).await.unwrap();
    let shelf = Shelf::new(store.clone(), id(2));
    let first = shelf.key(Series::Heads(1), 0);
    let late = shelf.whole(&first).await.unwrap().unwrap();
    destroy(store.clone(), id(2)).await.unwrap();
    // A create whose answer was lost, and that lands once more.
    shelf.create(&first, late, &writer(2).nonce).await.unwrap();
    let options = Options::default();
    let opened = LogVolume::open(store.clone(), id(2), writer(5), options, Local::default()).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        look(store.clone(), id(2)).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let again = parent.clone_snapshot(snapshot, id(2), &writer(2)).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(parent.reap().await.unwrap(), 1);
}

#[tokio::test]
async fn a_creation_that_was_cut_off_is_given_up_for_ever() {
    let store = memory();
    let parent = volume(&store, 100).await;
    write(&parent, 0..100, 1).await;
    let snapshot = parent.snapshot("s", "").await.unwrap();
    let keeper = Keeper {
        shelf: &parent.core.shelf,
        epoch: parent.core.epoch,
        nonce: &parent.core.nonce,
    };
    // Cut off before the epoch, and after it.
    for (child, has_epoch) in [(2, false), (3, true)] {
        let child = Child {
            snapshot,
            volume: id(child),
        };
        if has_epoch {
            let shelf = parent.core.shelf.of(child.volume);
            let body = restblk_format::log::Epoch {
                hostname: "host".to_owned(),
                since: String::new(),
            };
            let bytes = body.encode(child.volume, 1, 0, writer(9).nonce);
            let key = shelf.key(Series::Epochs, 1);
            shelf.create(&key, bytes.into(), &writer(9).nonce).await.unwrap();
        }
        assert!(!keeper.lives(child).await.unwrap());
        let late = parent.clone_snapshot(snapshot, child.volume, &writer(9)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    }
    parent.clone_snapshot(snapshot, id(4), &writer(4)).await.unwrap();
    parent.clone_snapshot(snapshot, id(4), &writer(4)).await.unwrap();
    let other = parent.clone_snapshot(snapshot, id(4), &writer(5)).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(parent.reap().await.unwrap(), 2);
    assert_eq!(parent.children().len(), 1);
}

#[tokio::test]
async fn a_flatten_goes_on_where_it_was_stopped() {
    let store = memory();
    let parent = volume(&store, 8000).await;
    for first in (0..8000).step_by(1000) {
        write(&parent, first..first + 500, 1).await;
    }
    let snapshot = parent.snapshot("s", "").await.unwrap();
    parent.clone_snapshot(snapshot, id(2), &writer(2)).await.unwrap();
    // So slow that it can be stopped.
    let delay = Rate {
        operation: Some(Operation::Get),
        fault: Fault::Delay(Duration::from_millis(1)),
        probability: 1.0,
    };
    let slow: Arc<dyn Store> = Arc::new(Faulty::new(store.clone(), 0, vec![delay]));
    let child = open(&slow, 2).await;
    let own = child.snapshot("own", "").await.unwrap();
    let error = child.flatten(&mut |_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("own"), "{error}");
    child.delete_snapshot(own).await.unwrap();
    let (stop, mut stopped) = tokio::sync::mpsc::unbounded_channel();
    {
        let mut told = |progress: Progress| {
            let _ = stop.send(progress);
        };
        let flatten = child.flatten(&mut told);
        tokio::select! {
            biased;
            progress = stopped.recv() => assert!(progress.unwrap().copied > 0),
            _ = flatten => panic!("it was not stopped"),
        }
    }
    child.flush().await.unwrap();
    let mut last = None;
    child
        .flatten(&mut |progress| last = Some(progress))
        .await
        .unwrap();
    let last = last.unwrap();
    assert_eq!((last.done, last.blocks), (8000, 8000));
    assert!(last.copied > 0 && last.copied < 4000, "{last:?}");
    assert_eq!(child.ancestors(), []);
    assert_eq!(parent.reap().await.unwrap(), 1);
    parent.stop().await.unwrap();
    destroy(store.clone(), id(1)).await.unwrap();
    child.stop().await.unwrap();
    let child = open(&store, 2).await;
    for first in (0..8000).step_by(1000) {
        holds(&child, first..first + 500, 1).await;
    }
    let range = table::indexes(Kind::Log, 1..100);
    child
        .core
        .load_ranges(Which::Table, std::slice::from_ref(&range))
        .await
        .unwrap();
    let lines = table::lines(&child.core.state().table, range);
    let live: u32 = lines.iter().map(|(_, line)| u32::from(line.live)).sum();
    assert_eq!(live, 4000);
}

/// Blocks scattered over a TiB, each with a page of the map of its own.
#[tokio::test]
async fn a_clone_costs_three_creates_whatever_the_map() {
    let written = std::env::var("CLONE_BLOCKS").map_or(2000, |text| text.parse::<usize>().unwrap());
    let counted = Arc::new(Faulty::scripted(memory()));
    let store: Arc<dyn Store> = counted.clone();
    let blocks = 1 << 28;
    let parent = volume(&store, blocks).await;
    for block in (0..blocks).step_by(blocks / written) {
        write(&parent, block..block + 1, 1).await;
    }
    let snapshot = parent.snapshot("s", "").await.unwrap();
    let (before, begun) = (counted.calls(), Instant::now());
    parent.clone_snapshot(snapshot, id(2), &writer(2)).await.unwrap();
    let (calls, took) = (counted.calls() - before, begun.elapsed());
    println!("a clone of 1 TiB with {written} pages of map: {calls} requests, {took:?}");
    // The memory store has a volatile cache: each create has a flush.
    assert_eq!(calls, 6);
    let child = open(&store, 2).await;
    assert_eq!(child.geometry().size, 1 << 40);
    for block in (0..blocks).step_by(blocks / written).step_by(97) {
        holds(&child, block..block + 1, 1).await;
    }
}

fn a_head(spans: &[(u32, u32, u32)]) -> Head {
    let (mut epochs, mut log, mut map, mut gc) = (Vec::new(), 1, 1, 1);
    for (epoch, (logs, maps, gcs)) in (1..).zip(spans) {
        epochs.push(Span {
            volume: 0,
            epoch,
            log,
            map,
            gc,
        });
        (log, map, gc) = (log + logs, map + maps, gc + gcs);
    }
    Head {
        size: 4096,
        block_size: 4096,
        lineage: vec![Lineage {
            volume: id(1),
            snapshot: None,
        }],
        epochs,
        log_next: 0,
        journal: 0,
        map_next: 0,
        gc_next: 0,
        map: Tree::default(),
        segments: Tree::default(),
        books: BTreeMap::new(),
        snapshots: Vec::new(),
        snapshot_next: 1,
        receiving: None,
        features: 0,
        deletions: Vec::new(),
    }
}

proptest! {
    /// Over generations: below a snapshot's cut a number means what it meant in the parent, from there on the child's own segment.
    #[test]
    fn a_number_means_the_same_in_a_clone(
        spans in proptest::collection::vec((0..5_u32, 0..5_u32, 0..3_u32), 1..6),
        cuts in proptest::collection::vec((0..100_u32, 0..100_u32, 0..9_u32), 1..4),
    ) {
        let mut parent = a_head(&spans);
        for (generation, (log, map, written)) in (2..).zip(cuts) {
            let last = *parent.epochs.last().unwrap();
            let snapshot = Snapshot {
                id: 7,
                name: Some("s".to_owned()),
                created_at: String::new(),
                size: 4096,
                // A snapshot is made in an epoch: not before its own first numbers.
                log: last.log + log % (written + 1),
                map_cut: last.map + map % (written + 1),
                map: Tree::default(),
                protected: false,
                children: Vec::new(),
                origin: None,
            };
            let child = first_head(&parent, id(generation - 1), &snapshot, id(generation)).unwrap();
            for (kind, cut) in [(Kind::Log, snapshot.log), (Kind::Map, snapshot.map_cut)] {
                for number in 1..cut + 5 {
                    let segment = SegmentNumber::new(kind, number).unwrap();
                    let found = child.place(segment).map(|(span, at)| (span.volume, span.epoch, at));
                    let wanted = if number < cut {
                        parent.place(segment).map(|(span, at)| (span.volume + 1, span.epoch, at))
                    } else {
                        Some((0, 1, number - cut))
                    };
                    prop_assert_eq!(found, wanted, "{}", segment);
                }
            }
            prop_assert!(child.epochs.is_sorted_by_key(|span| span.log));
            prop_assert!(child.epochs.is_sorted_by_key(|span| span.map));
            prop_assert_eq!(child.lineage.len(), usize::from(generation));
            parent = child;
        }
    }
}
