//! How much of the store a volume has, and for what: by its newest head, without attaching; and what an open one has moved.
//!
//! Blocks are counted by the segment table, of which all lines are read; bytes as the store lists the objects.

use crate::check::reader;
use crate::checkpoint::held;
use crate::core::Core;
use crate::look::existing;
use crate::shelf::{Series, Shelf};
use crate::table::is_held;
use crate::{LogError, LogVolume, children};
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::log::{BLOCK, DataKey, Kind, SegmentNumber};
use restblk_store::Store;
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Series that are listed at once.
const PARALLEL: usize = 8;
/// Times that it is counted anew because a writer went on.
const TRIES: usize = 3;

/// What a volume has on the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Capacity in bytes.
    pub size: u64,
    /// Bytes that were written, are the volume's now, and are in its own segments: not what a clone reads from others.
    pub allocated: u64,
    /// Bytes that only snapshots have.
    pub held: u64,
    /// Bytes of segments that nobody reaches, and that garbage collection finds again. Before packing, as the two above.
    pub garbage: u64,
    /// Bytes of all segments, as the store lists them; none where its listings do not tell sizes.
    pub stored: Option<u64>,
    /// Segments.
    pub objects: u64,
    /// Snapshots that users see.
    pub snapshots: u64,
    /// Volumes that are listed as cloned from them.
    pub clones: u64,
    /// The newest head's epoch.
    pub epoch: u32,
    /// Its number in that.
    pub head: u32,
}

/// Counts it; with the volume's key where it is encrypted. `NotFound` where there is no such volume.
pub async fn usage(store: Arc<dyn Store>, volume: VolumeId, key: Option<DataKey>) -> Result<Usage, LogError> {
    let shelf = Shelf::new(store, volume).with_key(key);
    let mut tries = 1;
    loop {
        match count(&shelf).await {
            // What the head names was removed by now.
            Err(error) if error.kind() == ErrorKind::Corrupt && tries < TRIES => tries += 1,
            counted => return counted,
        }
    }
}

async fn count(shelf: &Shelf) -> Result<Usage, LogError> {
    let (at, head) = existing(shelf).await?;
    let mut usage = Usage {
        size: head.size,
        snapshots: head
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.name.is_some())
            .count() as u64,
        clones: children::listed(&head).len() as u64,
        epoch: at.0,
        head: at.1,
        ..Usage::default()
    };
    let own: Vec<u32> = head
        .epochs
        .iter()
        .filter(|span| span.volume == 0)
        .map(|span| span.epoch)
        .collect();
    let core = reader(shelf, at, head);
    let (mut live, mut total, mut kept) = (0, 0, 0);
    for kind in Kind::ALL {
        for chunk in core.chunks(kind) {
            for (segment, line) in core.lines(chunk).await? {
                if line.moved.is_none() && kind != Kind::Map {
                    total += u64::from(line.total);
                }
                // What was moved is counted where it was born.
                if kind == Kind::Log {
                    live += u64::from(line.live);
                    kept += match line.held {
                        Some(at) => kept_of(&core, segment, at).await?,
                        None => 0,
                    };
                }
            }
        }
    }
    let bytes = |blocks: u64| blocks * BLOCK as u64;
    usage.held = bytes(kept);
    usage.allocated = bytes(live.saturating_sub(kept));
    usage.garbage = bytes(total.saturating_sub(live));
    let series: Vec<_> = own
        .into_iter()
        .flat_map(|epoch| Kind::ALL.map(|kind| Series::Segments(kind, epoch)))
        .collect();
    let sizes = stream::iter(series)
        .map(|series| size_of(shelf, series))
        .buffer_unordered(PARALLEL);
    usage.stored = Some(0);
    for (objects, bytes) in sizes.try_collect::<Vec<_>>().await? {
        usage.objects += objects;
        usage.stored = usage.stored.zip(bytes).map(|(sum, bytes)| sum + bytes);
    }
    Ok(usage)
}

/// Blocks of a segment that a snapshot has and the volume has not.
async fn kept_of(
    core: &Core,
    segment: SegmentNumber,
    at: restblk_format::log::Pointer,
) -> Result<u64, LogError> {
    let list = held(core, segment, at).await?;
    let cuts = core.state().cuts(segment.kind());
    let kept = list
        .iter()
        .filter(|held| is_held(&cuts, segment.number(), held.died));
    Ok(kept.count() as u64)
}

/// How many objects a series has, and their bytes.
async fn size_of(shelf: &Shelf, series: Series) -> Result<(u64, Option<u64>), LogError> {
    let (mut objects, mut bytes, mut start) = (0, Some(0), None);
    loop {
        let page = shelf.list(series, start.as_deref()).await?;
        objects += page.entries.len() as u64;
        for entry in &page.entries {
            bytes = bytes.zip(entry.size).map(|(sum, size)| sum + size);
        }
        start = page.next;
        if start.is_none() {
            return Ok((objects, bytes));
        }
    }
}

/// Bytes that went one way or the other since the volume was opened.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) written: AtomicU64,
    pub(crate) read: AtomicU64,
    pub(crate) put: AtomicU64,
    pub(crate) fetched: AtomicU64,
}

impl Traffic {
    pub(crate) fn count(counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What an open volume has done since it was opened, and what it has not done yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes that users wrote.
    pub written: u64,
    /// Bytes that users read.
    pub read: u64,
    /// Bytes of the objects that were made, heads and pages and what was collected included.
    pub put: u64,
    /// Bytes that were fetched from the store.
    pub fetched: u64,
    /// Bytes that users wrote and that are not on the store yet.
    pub unsent: u64,
    /// How long the oldest of them has been waiting.
    pub lag: Duration,
    /// Bytes of the journal that are in use, and all that it has; none without a journal.
    pub journal: Option<(u64, u64)>,
    /// The epoch, and the number of the last head in it.
    pub head: (u32, u32),
}

impl LogVolume {
    /// See [`Figures`]; costs nothing.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let core = &self.core;
        let journal = core.journal.as_ref().map(|journal| journal.ring().in_use());
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let traffic = core.shelf.traffic();
        let state = core.state();
        let sealed = state
            .sealed
            .iter()
            .map(|batch| &**batch)
            .filter(|batch| batch.stored.get().is_none());
        let waiting = || sealed.clone().chain(std::iter::once(&state.open));
        Figures {
            written: read(&traffic.written),
            read: read(&traffic.read),
            put: read(&traffic.put),
            fetched: read(&traffic.fetched),
            unsent: waiting().map(|batch| (batch.blocks() * BLOCK) as u64).sum(),
            lag: waiting()
                .filter_map(|batch| batch.begun)
                .map(|begun| begun.elapsed())
                .max()
                .unwrap_or_default(),
            journal,
            head: (core.epoch, state.head_next.saturating_sub(1)),
        }
    }
}
