//! Frames from the store: found where they are now, checked, and kept for the next reader.
//!
//! What a frame holds never changes, so what is in memory is right whatever happened to the object it came from.

use crate::LogError;
use crate::local::Birth;
use crate::memory::{Member, Memory};
use crate::shelf::Shelf;
use bytes::Bytes;
use lru::LruCache;
use restblk_cache::Cache;
use restblk_format::log::{
    Entry, EntryKind, Frame, HEADER_LEN, Header, ObjectType, Pointer, SealKey, SegmentHead, SegmentNumber,
};
use restblk_store::Key;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// Indexes of segments of moved frames that are kept.
const INDEXES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Where a frame is now.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The object.
    pub(crate) key: Key,
    /// The segment of moved frames that it is; none where the frame was born in it.
    pub(crate) moved: Option<SegmentNumber>,
    /// Whose object it is.
    pub(crate) shelf: Shelf,
    /// The epoch that the frame was born in.
    pub(crate) epoch: u32,
}

impl Place {
    /// The key of what was born in a segment that is in this place.
    pub(crate) fn seal_key(&self, segment: SegmentNumber) -> Option<SealKey> {
        self.shelf.segment_key(self.epoch, segment)
    }

    /// The frames at these addresses, all of one segment, from their stored bytes. Here, and nowhere else, what comes from the store is decrypted.
    pub(crate) fn open<'a>(
        &self,
        frames: impl IntoIterator<Item = (Pointer, &'a [u8])>,
    ) -> Result<Vec<Frame>, LogError> {
        let mut frames = frames.into_iter().peekable();
        let key = frames
            .peek()
            .and_then(|(first, _)| self.seal_key(first.segment()));
        let open = |(pointer, bytes)| {
            Frame::decode(bytes, pointer, key.as_ref())
                .map_err(|error| LogError::corrupt(format!("{pointer} in {}", self.key), error))
        };
        frames.map(open).collect()
    }
}

/// Offset and length of each frame of a segment of moved frames.
type Index = HashMap<Pointer, (u32, u32)>;

/// The frames of a volume.
#[derive(Debug)]
pub(crate) struct Frames {
    memory: Arc<Member>,
    indexes: Mutex<LruCache<Key, Arc<Index>>>,
    pub(crate) cache: Option<Arc<Cache>>,
}

impl Frames {
    pub(crate) fn new(cache: Option<Arc<Cache>>, memory: Arc<Memory>) -> Self {
        Self {
            memory: Arc::new(Member::new(memory)),
            indexes: Mutex::new(LruCache::new(INDEXES)),
            cache,
        }
    }

    /// What the volume has of the memory.
    pub(crate) fn member(&self) -> Arc<Member> {
        Arc::clone(&self.memory)
    }

    /// The frame, where the host's cache has it.
    pub(crate) async fn cached(&self, pointer: Pointer, birth: Option<&Birth>) -> Option<Arc<Frame>> {
        let (cache, birth) = (self.cache.as_ref()?, birth?);
        let bytes = cache.get(&birth.key(pointer)).await?;
        match birth.open(pointer, &bytes) {
            Ok(frame) => {
                let frame = Arc::new(frame);
                self.memory.keep(pointer, &frame);
                Some(frame)
            }
            Err(error) => {
                tracing::warn!(%pointer, %error, "the cache has something else: it is read from the store");
                None
            }
        }
    }

    fn cache(&self, pointer: Pointer, birth: Option<&Birth>, bytes: &[u8]) {
        if let (Some(cache), Some(birth)) = (&self.cache, birth) {
            cache.put(&birth.key(pointer), bytes);
        }
    }

    /// Puts the frames that were born in a segment into the host's cache.
    pub(crate) fn written(&self, birth: &Birth, segment: &Bytes, entries: &[Entry]) {
        if self.cache.is_none() {
            return;
        }
        for entry in entries {
            if let EntryKind::Frame {
                origin, offset, len, ..
            } = entry.kind
                && origin.segment() == birth.segment
                && let Some(bytes) = segment.get(offset as usize..offset as usize + len as usize)
            {
                self.cache(origin, Some(birth), bytes);
            }
        }
    }

    /// The frame, where it is in memory.
    pub(crate) fn kept(&self, pointer: Pointer) -> Option<Arc<Frame>> {
        self.memory.kept(pointer)
    }

    /// Frames that were born side by side in one segment, in one read of where they are now: what was moved was moved together, in
    /// the same order. `None` where the object does not have them (any more): look again where they are.
    pub(crate) async fn fetch(
        &self,
        run: &[Pointer],
        place: &Place,
        birth: Option<&Birth>,
    ) -> Result<Option<Vec<Arc<Frame>>>, LogError> {
        let Some(spots) = self.spots(run, place).await? else {
            return Ok(None);
        };
        let from = spots.iter().map(|(offset, _)| *offset).min().unwrap_or(0);
        let to = spots.iter().map(|(offset, len)| offset + len).max().unwrap_or(0);
        let _taken = self.memory.fetched.take((to - from) as usize).await;
        let read = place.shelf.pieces(&place.key, from.into(), (to - from).into());
        let Some(payload) = read.await? else {
            return Ok(None);
        };
        let stored = spots.into_iter().map(|(offset, len)| {
            let at = (offset - from) as usize;
            payload.range(at..at + len as usize).unwrap_or_default()
        });
        let stored: Vec<(Pointer, Bytes)> = run.iter().copied().zip(stored).collect();
        let frames = place.open(stored.iter().map(|(pointer, bytes)| (*pointer, bytes.as_ref())));
        let frames = frames?.into_iter().map(Arc::new);
        let frames: Vec<_> = frames.collect();
        for ((pointer, stored), frame) in stored.into_iter().zip(&frames) {
            self.memory.keep(pointer, frame);
            self.cache(pointer, birth, &stored);
        }
        Ok(Some(frames))
    }

    /// Offset and length of each frame in its object; `None` where the object does not have them all. What was overwritten since
    /// its pointer was looked up was not moved.
    async fn spots(&self, run: &[Pointer], place: &Place) -> Result<Option<Vec<(u32, u32)>>, LogError> {
        if place.moved.is_none() {
            let spot = |pointer: &Pointer| (pointer.offset(), pointer.len());
            return Ok(Some(run.iter().map(spot).collect()));
        }
        let Some(index) = self.index(place).await? else {
            return Ok(None);
        };
        let spots = run.iter().map(|pointer| index.get(&pointer.frame()).copied());
        Ok(spots.collect())
    }

    async fn index(&self, place: &Place) -> Result<Option<Arc<Index>>, LogError> {
        let kept = {
            let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            indexes.get(&place.key).cloned()
        };
        if kept.is_some() {
            return Ok(kept);
        }
        let Some(head) = segment_head(&place.shelf, &place.key).await? else {
            return Ok(None);
        };
        let frames = head.entries.iter().filter_map(|entry| match entry.kind {
            EntryKind::Frame {
                origin, offset, len, ..
            } => Some((origin, (offset, len))),
            EntryKind::Hole => None,
        });
        let index = Arc::new(frames.collect::<Index>());
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.put(place.key.clone(), index.clone());
        Ok(Some(index))
    }
}

/// Reads a frame of the object that it was born in; `None` where there is no object.
pub(crate) async fn read_frame(place: &Place, pointer: Pointer) -> Result<Option<Frame>, LogError> {
    let read = place
        .shelf
        .range(&place.key, pointer.offset().into(), pointer.len().into());
    let Some(bytes) = read.await? else {
        return Ok(None);
    };
    Ok(place.open([(pointer, &bytes[..])])?.pop())
}

/// Header and index of a segment; `None` where there is no object, or a tombstone.
pub(crate) async fn segment_head(shelf: &Shelf, key: &Key) -> Result<Option<SegmentHead>, LogError> {
    let bad = |error| crate::error::format_error(key)(error);
    let Some(start) = shelf.range(key, 0, HEADER_LEN as u64).await? else {
        return Ok(None);
    };
    if Header::peek(&start).map_err(bad)?.object == ObjectType::Tombstone {
        return Ok(None);
    }
    let len = SegmentHead::len(&start).map_err(bad)?;
    let Some(bytes) = shelf.range(key, 0, len as u64).await? else {
        return Ok(None);
    };
    shelf.read_index(key, &bytes).map(Some)
}
