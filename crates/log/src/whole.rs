//! Segments that are read whole, because reads show that more of them will be wanted.
//!
//! A read that misses fetches its frames and no others: of a volume that is larger than the cache, read all over, anything more would be in
//! vain. Who reads again in a segment will read on in it, most probably, and one request for all of it costs a store little more than one
//! for a frame, and the reader much less than a round trip for each of its two hundred frames. So the second read that misses in one
//! of the last [`SEEN`] segments, or one that misses [`MUCH`] of it, has it read whole while the cache has room, where that pushes nothing out.
//! Once it is full, it takes [`VERY_MUCH`]. Segments that are mostly dead are left alone.
//!
//! Whoever misses a frame of a segment that is being read whole waits for it. No more than [`AT_ONCE`] are wanted at once, and each has its
//! place in the memory before it is asked for; readers for whom there is none fetch their frames as ever.

use crate::LogError;
use crate::ancestors;
use crate::core::Core;
use crate::frames::Place;
use bytes::Bytes;
use futures_util::future::join_all;
use lru::LruCache;
use restblk_cache::Cache;
use restblk_format::log::{
    Entry, EntryKind, FrameKind, HEADER_LEN, Kind, Pointer, SEGMENT_LEN_MAX, SegmentHead, SegmentNumber,
};
use restblk_store::Payload;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Segments whose misses are remembered: 2 GiB.
const SEEN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Bytes that are missed in a segment, after which it is read whole while the cache has room.
const MUCH: u32 = 256 << 10;
/// And when it has none.
const VERY_MUCH: u32 = 1 << 20;
/// Segments that are read whole, or wait for it.
const AT_ONCE: usize = 12;
/// Frames that are unpacked, or put into the cache, before others have their turn: 1 MiB of those that were written in order.
const TURN: usize = 32;
/// Between looks whether the cache's disk takes more.
const PAUSE: Duration = Duration::from_millis(2);

/// What was missed of a segment.
#[derive(Clone, Copy, Debug, Default)]
struct Missed {
    reads: u32,
    bytes: u32,
    /// It was read whole since it is remembered, or could not be.
    is_read: bool,
}

impl Missed {
    fn is_enough(self, has_room: bool) -> bool {
        let enough = if has_room {
            self.reads > 1 || self.bytes >= MUCH
        } else {
            self.bytes >= VERY_MUCH
        };
        enough && !self.is_read
    }
}

/// What a volume's readers missed.
#[derive(Debug)]
pub(crate) struct Whole {
    seen: Mutex<LruCache<SegmentNumber, Missed>>,
    under_way: AtomicUsize,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            seen: Mutex::new(LruCache::new(SEEN)),
            under_way: AtomicUsize::new(0),
        }
    }
}

impl Whole {
    fn seen(&self) -> MutexGuard<'_, LruCache<SegmentNumber, Missed>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a read that missed these frames; the segments that are to be read whole.
    fn note(&self, missing: &[Pointer], has_room: bool) -> Vec<SegmentNumber> {
        let mut seen = self.seen();
        let of_one = missing.chunk_by(|one, other| one.segment() == other.segment());
        let mut enough = Vec::new();
        for frames in of_one {
            let segment = frames[0].segment();
            if segment.kind() != Kind::Log {
                continue;
            }
            let missed = seen.get_or_insert_mut(segment, Missed::default);
            missed.reads += 1;
            missed.bytes = frames
                .iter()
                .fold(missed.bytes, |bytes, frame| bytes.saturating_add(frame.len()));
            if missed.is_enough(has_room) {
                enough.push(segment);
            }
        }
        enough
    }

    fn is_read(&self, segment: SegmentNumber) -> bool {
        self.seen().peek(&segment).is_some_and(|missed| missed.is_read)
    }

    fn read(&self, segment: SegmentNumber) {
        if let Some(missed) = self.seen().peek_mut(&segment) {
            missed.is_read = true;
        }
    }
}

/// One that is read whole, or waits for it.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let more = |count| (count < AT_ONCE).then_some(count + 1);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Self(count))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notes that these frames were missed. Has the segments read whole that it shows to be wanted: what is missed may be kept then.
pub(crate) async fn missed(core: &Core, missing: &[Pointer]) {
    let Some(cache) = &core.frames.cache else { return };
    let segments = core.whole.note(missing, cache.has_room(SEGMENT_LEN_MAX as u64));
    join_all(
        segments
            .into_iter()
            .map(|segment| read_once(core, cache, segment)),
    )
    .await;
}

async fn read_once(core: &Core, cache: &Arc<Cache>, segment: SegmentNumber) {
    // Its header's place stands for all of it: no frame is there.
    let Some(all) = Pointer::new(segment, 0, Pointer::LEN_UNIT, 0) else {
        return;
    };
    let claim = core.reading.claim(&[all]);
    if claim.frames.is_empty() {
        core.reading.wait(all).await;
        return;
    }
    let Some(_under_way) = UnderWay::begin(&core.whole.under_way) else {
        return;
    };
    if core.whole.is_read(segment) {
        return;
    }
    // Whoever misses a frame of it is told what is wrong.
    if let Err(error) = read(core, cache, segment).await {
        tracing::debug!(%segment, %error, "a segment cannot be read whole");
    }
    core.whole.read(segment);
}

async fn read(core: &Core, cache: &Arc<Cache>, segment: SegmentNumber) -> Result<(), LogError> {
    let Some(place) = place(core, segment).await? else {
        return Ok(());
    };
    let Some(taken) = core.memory.fetched.take_shared(SEGMENT_LEN_MAX).await else {
        return Ok(());
    };
    let Some(object) = place.shelf.all_pieces(&place.key).await? else {
        return Ok(());
    };
    let head = head_of(&place, &object)?;
    let frames: Vec<(Pointer, Range<usize>)> = head.entries.iter().filter_map(frame_of).collect();
    let mut good = Vec::with_capacity(frames.len());
    for born_together in frames.chunk_by(|(one, _), (other, _)| one.segment() == other.segment()) {
        let Some(birth) = core.birth(born_together[0].0.segment()) else {
            continue;
        };
        let place = Place {
            epoch: birth.epoch,
            ..place.clone()
        };
        for some in born_together.chunks(TURN) {
            let stored = some
                .iter()
                .map(|(pointer, range)| Some((*pointer, object.range(range.clone())?)));
            let stored: Vec<(Pointer, Bytes)> = stored.flatten().collect();
            // Of these, whoever reads what is damaged is told.
            let Ok(opened) = place.open(stored.iter().map(|(pointer, bytes)| (*pointer, bytes.as_ref())))
            else {
                continue;
            };
            for ((pointer, stored), frame) in stored.into_iter().zip(opened) {
                core.memory.keep(pointer, &Arc::new(frame));
                good.push((birth.key(pointer), stored));
            }
            tokio::task::yield_now().await;
        }
    }
    let cache = Arc::clone(cache);
    core.tasks().spawn(async move {
        for some in good.chunks(TURN) {
            while cache.is_full() {
                tokio::time::sleep(PAUSE).await;
            }
            for (key, stored) in some {
                cache.put(key, stored);
            }
        }
        drop(taken);
    });
    Ok(())
}

fn head_of(place: &Place, object: &Payload) -> Result<SegmentHead, LogError> {
    let bad = crate::error::format_error(&place.key);
    let start = object.range(0..HEADER_LEN.min(object.len())).unwrap_or_default();
    let len = SegmentHead::len(&start).map_err(bad)?;
    let start = object.range(0..len.min(object.len())).unwrap_or_default();
    place.shelf.read_index(&place.key, &start)
}

/// The object that a segment is in now; none where most of that is dead.
async fn place(core: &Core, segment: SegmentNumber) -> Result<Option<Place>, LogError> {
    if !core.state().is_own(segment) {
        return ancestors::place(core, segment).await;
    }
    let place = core.place(segment).await?;
    let line = core.line(place.moved.unwrap_or(segment)).await?;
    // A segment that is in no head yet has no line.
    Ok((line.live >= line.total / 2).then_some(place))
}

/// The frame of blocks that a line of an index tells, and its bytes in the object.
fn frame_of(entry: &Entry) -> Option<(Pointer, Range<usize>)> {
    match entry.kind {
        EntryKind::Frame {
            kind: FrameKind::Data,
            origin,
            offset,
            len,
        } => Some((origin, offset as usize..offset as usize + len as usize)),
        _ => None,
    }
}
