//! Segments that are read whole, because reads show that more of them will be wanted.
//!
//! A read that misses fetches its frames and no others: of a volume that is larger than the cache, read all over, anything more would be in
//! vain. Who reads again in a segment will read on in it, most probably, and one request for all of it costs a store little more than one
//! for a frame, and the reader much less than a round trip for each of its two hundred frames. So the second read that misses in one
//! of the last [`SEEN`] segments, or one that misses [`MUCH`] of it, has it read whole while the cache has room, where that pushes nothing out.
//! Once it is full, it takes [`VERY_MUCH`]. Segments of the volume's own that are mostly dead are left alone.
//!
//! Whoever misses a frame of a segment that is being read whole waits for it. They are read a few at a time, and no more than [`AT_ONCE`] are
//! wanted at once; readers for whom there is no turn, or no memory, fetch their frames as ever. What was read keeps its turn until the cache
//! has taken it. Nothing may depend on the cache: where its disk takes nothing for [`PATIENCE`], what is left is dropped, and no segment is read
//! whole for a while.

use crate::LogError;
use crate::ancestors;
use crate::core::Core;
use crate::frames::Place;
use crate::runs::Reading;
use bytes::Bytes;
use futures_util::future::join_all;
use lru::LruCache;
use restblk_cache::Cache;
use restblk_format::log::{
    Entry, EntryKind, FrameKind, HEADER_LEN, Kind, Pointer, SEGMENT_LEN_MAX, SegmentHead, SegmentNumber,
};
use restblk_store::{Key, Payload};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Segments whose misses are remembered: 2 GiB.
const SEEN: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Bytes that are missed in a segment, after which it is read whole while the cache has room.
const MUCH: u32 = 256 << 10;
/// And when it has none.
const VERY_MUCH: u32 = 1 << 20;
/// Segments that wait for their turn to be read whole.
const AT_ONCE: usize = 12;
/// Frames that are unpacked, or put into the cache, before others have their turn: 1 MiB of those that were written in order.
const TURN: usize = 32;
/// Between looks whether the cache's disk takes more.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a disk may take nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long no segment is read whole after that.
const REST: Duration = Duration::from_secs(30);

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
    /// Objects that are being read: one can have what was born in many segments.
    reading: Reading<Key>,
    /// Objects that were read lately.
    read: Mutex<LruCache<Key, ()>>,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            seen: Mutex::new(LruCache::new(SEEN)),
            reading: Reading::default(),
            read: Mutex::new(LruCache::new(SEEN)),
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

    /// The segment is not read whole again while it is remembered.
    fn end(&self, segment: SegmentNumber) {
        if let Some(missed) = self.seen().peek_mut(&segment) {
            missed.is_read = true;
        }
    }

    fn read(&self) -> MutexGuard<'_, LruCache<Key, ()>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turns of whole segments, which all volumes of a process share: their memory, and the cache's disk.
#[derive(Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    most: usize,
    wanted: AtomicUsize,
    /// The cache's disk took nothing: nobody has a turn until then.
    rest_until: Mutex<Option<Instant>>,
}

impl Turns {
    /// Of so many bytes that may be on their way from the store; a segment's length of them is left to others.
    pub(crate) fn new(fetched: usize) -> Self {
        let most = (fetched / SEGMENT_LEN_MAX).saturating_sub(1);
        Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            wanted: AtomicUsize::new(0),
            rest_until: Mutex::default(),
        }
    }

    /// A turn, after those who came before; none where too many wait, or nobody has one.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if self.most == 0 {
            return None;
        }
        let _wanted = Wanted::begin(&self.wanted)?;
        let turn = Arc::clone(&self.free).acquire_owned().await.ok()?;
        (!self.rest()).then_some(turn)
    }

    fn rest_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rest_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) -> bool {
        self.rest_until().is_some_and(|until| Instant::now() < until)
    }

    fn begin_rest(&self) {
        *self.rest_until() = Some(Instant::now() + REST);
    }
}

/// One who wants a turn.
struct Wanted<'a>(&'a AtomicUsize);

impl<'a> Wanted<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let more = |count| (count < AT_ONCE).then_some(count + 1);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(Self(count))
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Notes that these frames were missed. Has the segments read whole that it shows to be wanted: what is missed may be kept then.
pub(crate) async fn missed(core: &Core, missing: &[Pointer]) {
    let Some(cache) = &core.frames.cache else { return };
    let segments = core.whole.note(missing, cache.has_room(SEGMENT_LEN_MAX as u64));
    if segments.is_empty() || core.memory.turns().rest() {
        return;
    }
    let read = |segment| read_once(core, cache, segment);
    join_all(segments.into_iter().map(read)).await;
}

async fn read_once(core: &Core, cache: &Arc<Cache>, segment: SegmentNumber) {
    let ended = read(core, cache, segment).await.unwrap_or_else(|error| {
        // Whoever misses a frame of it is told what is wrong with it.
        tracing::debug!(%segment, %error, "a segment cannot be read whole");
        true
    });
    if ended {
        core.whole.end(segment);
    }
}

/// Reads the object that a segment is in; false where that may be tried again.
async fn read(core: &Core, cache: &Arc<Cache>, segment: SegmentNumber) -> Result<bool, LogError> {
    let Some(place) = place(core, segment).await? else {
        return Ok(true);
    };
    let claim = core.whole.reading.claim(std::slice::from_ref(&place.key));
    if claim.frames.is_empty() {
        core.whole.reading.wait(&place.key).await;
        return Ok(core.whole.read().contains(&place.key));
    }
    if core.whole.read().contains(&place.key) {
        return Ok(true);
    }
    let Some(turn) = core.memory.turns().turn().await else {
        return Ok(false);
    };
    let Some(taken) = core.memory.fetched.try_take_shared(SEGMENT_LEN_MAX) else {
        return Ok(false);
    };
    let Some(object) = place.shelf.all_pieces(&place.key).await? else {
        return Ok(true);
    };
    let head = head_of(&place, &object)?;
    let frames: Vec<(Pointer, Range<usize>)> = head.entries.iter().filter_map(frame_of).collect();
    let mut good = Vec::with_capacity(frames.len());
    for born_together in frames.chunk_by(|(one, _), (other, _)| one.segment() == other.segment()) {
        // A clone has the numbers of what its ancestor wrote after its snapshot for segments of its own.
        let birth = core.birth(born_together[0].0.segment());
        let Some(birth) = birth.filter(|birth| birth.shelf.volume == place.shelf.volume) else {
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
    core.whole.read().put(place.key, ());
    let (cache, turns) = (Arc::clone(cache), Arc::clone(core.memory.turns()));
    core.tasks().spawn(async move {
        if !put(&cache, &good).await {
            tracing::warn!(
                cache = cache.path(),
                "the cache's disk takes nothing: no segment is read whole for a while"
            );
            turns.begin_rest();
        }
        drop((turn, taken));
    });
    Ok(true)
}

/// Puts frames into the cache, no faster than its disk takes them; false where that takes nothing.
async fn put(cache: &Cache, frames: &[(restblk_cache::Key, Bytes)]) -> bool {
    for some in frames.chunks(TURN) {
        let begun = Instant::now();
        while cache.is_full() {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        for (key, stored) in some {
            cache.put(key, stored);
        }
    }
    true
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
