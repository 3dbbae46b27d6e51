//! What all log volumes of a process have in memory together, and the bound of it.
//!
//! ```text
//! unsent   blocks that users wrote, until they are in the map     1/4   with a reserve for each volume
//! packed   segments on their way to the store                     1/8   with a reserve for each volume
//! fetched  bytes on their way from the store                      1/16  with a reserve for each volume
//! frames   what was read, for the next reader                     1/8   the oldest goes
//! pages    of the trees                                           1/8   who has more than its share lets some go; half of it waits for a checkpoint
//! ```
//! The rest is for what has a bound of its own: transports, connections, a go of garbage collection, the host's cache, malloc.
//!
//! A volume whose store is away holds what it has for as long as that takes. Therefore each has a reserve, and goes on with that alone where
//! others have all else. Reserves come on top of the bound: some 18 MiB for a volume that uses all of it.
//!
//! What is written is charged for as long as its bytes are there, whoever has them: a long write whose blocks were overwritten but for
//! one is one buffer all the same.

use crate::runs;
use crate::spare::Spare;
use crate::whole::Turns;
use bytes::Bytes;
use lru::LruCache;
use restblk_format::log::{BLOCK, Frame, PAGE_LEN, Pointer, SEGMENT_LEN_MAX};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of the bound, unless somebody says otherwise: 512 MiB.
pub const MEMORY: u64 = 512 << 20;
/// The least bound: 64 MiB.
pub const MEMORY_MIN: u64 = 64 << 20;

/// What a frame costs beside its bytes.
const FRAME_COST: usize = 256;

/// What each volume has for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    /// Blocks.
    pub(crate) unsent: usize,
    /// Segments.
    pub(crate) packed: usize,
    /// Bytes.
    pub(crate) fetched: usize,
}

/// What all have together, and each for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) reserve: Reserve,
    /// Blocks.
    pub(crate) unsent: usize,
    /// Segments.
    pub(crate) packed: usize,
    /// Bytes.
    pub(crate) fetched: usize,
    /// Bytes.
    pub(crate) frames: usize,
    /// Pages.
    pub(crate) pages: usize,
    /// Pages that may wait to be written.
    pub(crate) waiting: usize,
}

impl Parts {
    fn of(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes.max(MEMORY_MIN)).unwrap_or(usize::MAX);
        Self {
            // A batch, and a longest run.
            reserve: Reserve {
                unsent: 8 << 20 >> BLOCK.trailing_zeros(),
                packed: 1,
                fetched: runs::RUN_MAX as usize,
            },
            unsent: bytes / 4 / BLOCK,
            packed: bytes / 8 / SEGMENT_LEN_MAX,
            fetched: bytes / 16,
            frames: bytes / 8,
            pages: bytes / 8 / PAGE_LEN,
            waiting: bytes / 16 / PAGE_LEN,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Memory {
    parts: Parts,
    unsent: Arc<Semaphore>,
    packed: Arc<Semaphore>,
    fetched: Arc<Semaphore>,
    frames: Mutex<Frames>,
    /// Pages in memory, of all volumes.
    pages: AtomicUsize,
    volumes: AtomicUsize,
    /// Of segments.
    spare: Arc<Spare>,
    /// Of whole segments on their way from the store.
    turns: Arc<Turns>,
    /// The next member's number.
    next: AtomicU64,
}

#[derive(Debug)]
struct Frames {
    kept: LruCache<(u64, Pointer), Arc<Frame>>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(MEMORY)
    }
}

impl Memory {
    /// So many bytes, at least [`MEMORY_MIN`].
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self::with(Parts::of(bytes))
    }

    pub(crate) fn with(parts: Parts) -> Self {
        Self {
            unsent: Arc::new(Semaphore::new(parts.unsent)),
            packed: Arc::new(Semaphore::new(parts.packed)),
            fetched: Arc::new(Semaphore::new(parts.fetched)),
            frames: Mutex::new(Frames {
                kept: LruCache::unbounded(),
                bytes: 0,
            }),
            pages: AtomicUsize::new(0),
            volumes: AtomicUsize::new(0),
            spare: Arc::default(),
            turns: Arc::new(Turns::new(parts.fetched)),
            next: AtomicU64::new(0),
            parts,
        }
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a volume has of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    memory: Arc<Memory>,
    /// Its own, never given again.
    number: u64,
    /// Blocks of 4 KiB that were written.
    pub(crate) unsent: Share,
    /// Segments that are packed and uploaded.
    pub(crate) packed: Share,
    /// Bytes that are being read from the store.
    pub(crate) fetched: Share,
    /// Pages that it said it has.
    pages: AtomicUsize,
}

impl Member {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        let reserve = memory.parts.reserve;
        memory.volumes.fetch_add(1, Ordering::Relaxed);
        Self {
            number: memory.next.fetch_add(1, Ordering::Relaxed),
            unsent: Share::new(reserve.unsent, &memory.unsent),
            packed: Share::new(reserve.packed, &memory.packed),
            fetched: Share::new(reserve.fetched, &memory.fetched),
            pages: AtomicUsize::new(0),
            memory,
        }
    }

    /// The buffers of segments.
    pub(crate) fn spare(&self) -> &Arc<Spare> {
        &self.memory.spare
    }

    /// The turns of whole segments.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.memory.turns
    }

    /// Keeps a frame for the next reader.
    pub(crate) fn keep(&self, pointer: Pointer, frame: &Arc<Frame>) {
        let mut frames = self.memory.frames();
        let before = frames
            .kept
            .push((self.number, pointer.frame()), Arc::clone(frame));
        let gone = before.map_or(0, |(_, frame)| cost(&frame));
        frames.bytes = frames.bytes + cost(frame) - gone;
        while frames.bytes > self.memory.parts.frames
            && let Some((_, oldest)) = frames.kept.pop_lru()
        {
            frames.bytes -= cost(&oldest);
        }
    }

    /// The frame, where it is kept.
    pub(crate) fn kept(&self, pointer: Pointer) -> Option<Arc<Frame>> {
        let mut frames = self.memory.frames();
        frames.kept.get(&(self.number, pointer.frame())).cloned()
    }

    /// Says how many pages it has; answers how many it may have: its share, or what the others leave.
    pub(crate) fn pages(&self, now: usize) -> usize {
        let before = self.pages.swap(now, Ordering::Relaxed);
        let all = &self.memory.pages;
        let others = all
            .fetch_add(now.wrapping_sub(before), Ordering::Relaxed)
            .wrapping_sub(before);
        let most = self.memory.parts.pages;
        let share = most / self.memory.volumes.load(Ordering::Relaxed).max(1);
        share.max(most.saturating_sub(others))
    }

    /// How many of the pages that it may have may wait to be written.
    pub(crate) fn waiting(&self, pages: usize) -> usize {
        pages * self.memory.parts.waiting / self.memory.parts.pages
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.pages(0);
        self.memory.volumes.fetch_sub(1, Ordering::Relaxed);
        let mut frames = self.memory.frames();
        let own = frames.kept.iter().map(|(key, _)| *key);
        let own: Vec<_> = own.filter(|(number, _)| *number == self.number).collect();
        for key in own {
            if let Some(frame) = frames.kept.pop(&key) {
                frames.bytes -= cost(&frame);
            }
        }
    }
}

fn cost(frame: &Frame) -> usize {
    frame.plain.capacity() + FRAME_COST
}

/// A part of the memory: what a volume has for itself, and then what all share.
#[derive(Debug)]
pub(crate) struct Share {
    own: Arc<Semaphore>,
    /// Of `own`.
    reserve: usize,
    shared: Arc<Semaphore>,
}

/// What was taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _permit: OwnedSemaphorePermit,
}

impl Share {
    fn new(reserve: usize, shared: &Arc<Semaphore>) -> Self {
        Self {
            own: Arc::new(Semaphore::new(reserve)),
            reserve,
            shared: Arc::clone(shared),
        }
    }

    /// No more than the reserve can be taken at once: who needs more has that counted for it.
    fn count(&self, wanted: usize) -> u32 {
        u32::try_from(wanted.min(self.reserve)).unwrap_or(u32::MAX)
    }

    /// Takes some, where it is there now.
    pub(crate) fn try_take(&self, wanted: usize) -> Option<Taken> {
        if self.own.is_closed() {
            return None;
        }
        let count = self.count(wanted);
        let permit = Arc::clone(&self.own)
            .try_acquire_many_owned(count)
            .or_else(|_| Arc::clone(&self.shared).try_acquire_many_owned(count));
        Some(Taken {
            _permit: permit.ok()?,
        })
    }

    /// Takes some, and waits for it; `None` once [`Self::close`]d.
    pub(crate) async fn take(&self, wanted: usize) -> Option<Taken> {
        if let Some(taken) = self.try_take(wanted) {
            return Some(taken);
        }
        let count = self.count(wanted);
        let permit = tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_many_owned(count) => own,
            shared = Arc::clone(&self.shared).acquire_many_owned(count) => shared,
        };
        Some(Taken {
            _permit: permit.ok()?,
        })
    }

    /// Takes so much of what all share, where it is there now.
    pub(crate) fn try_take_shared(&self, wanted: usize) -> Option<Taken> {
        let permit = Arc::clone(&self.shared).try_acquire_many_owned(u32::try_from(wanted).ok()?);
        Some(Taken {
            _permit: permit.ok()?,
        })
    }

    /// Nobody gets anything any more.
    pub(crate) fn close(&self) {
        self.own.close();
    }
}

/// Bytes with what they were charged.
struct Charged {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Taken {
    /// Bytes that are charged until the last part of them is dropped.
    pub(crate) fn charge(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _taken: self })
    }
}

#[cfg(test)]
mod tests;
