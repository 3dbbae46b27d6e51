//! The state of an attached volume, in memory: what a lock is held over, and never while anything is waited for.
//!
//! Order of truth for a block: the open batch, the sealed ones from the newest to the oldest, the map.

use crate::LogError;
use crate::batch::{Batch, Known};
use crate::defect::Defect;
use crate::table::Held;
use crate::tree::{NeedsPage, Radix};
use restblk_format::log::{
    Codec, Entry, EntryKind, FEATURE_ZSTD, Head, Kind, Pointer, SegmentNumber, Snapshot,
};
use restblk_types::VolumeId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    /// The last committed head; its lists are changed as the next one shall have them.
    pub(crate) head: Head,
    /// The number of the next head.
    pub(crate) head_next: u32,
    /// Block → pointer.
    pub(crate) map: Radix,
    /// Segment → its line.
    pub(crate) table: Radix,
    /// Where the last record that a batch has taken ends in the journal.
    pub(crate) journalled: u64,
    /// How data is packed.
    pub(crate) codec: Codec,
    /// What is being written.
    pub(crate) open: Batch,
    /// What is on its way, oldest first; the first has the sequence `applied`.
    pub(crate) sealed: VecDeque<Arc<Batch>>,
    /// The first sequence of this epoch that is not in the map.
    pub(crate) applied: u32,
    /// Where the map stops until the snapshot of this moment is made, in the order in which they are.
    pub(crate) holds: VecDeque<u32>,
    /// Blocks that nothing reaches any more since the last checkpoint.
    pub(crate) died: HashMap<SegmentNumber, u32>,
    /// Segments that are in the map since the last checkpoint, with their blocks.
    pub(crate) born: Vec<(SegmentNumber, u32)>,
    /// Blocks that snapshots alone reach since the last checkpoint.
    pub(crate) held: BTreeMap<SegmentNumber, Vec<Held>>,
    /// Objects whose frames were moved elsewhere since the last checkpoint.
    pub(crate) emptied: Vec<SegmentNumber>,
    /// Frames of the books that the next head does not use.
    pub(crate) retired_books: Vec<Pointer>,
    /// Children that are being created here.
    pub(crate) expected: Vec<VolumeId>,
    /// Rollbacks that were asked for, and those that were done.
    pub(crate) rollbacks_begun: u64,
    pub(crate) rollbacks_ended: u64,
}

/// Where a block's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Known(Known),
    Stored(Pointer),
}

impl State {
    pub(crate) fn new(head: Head, head_next: u32, codec: Codec) -> Self {
        let mut state = Self {
            codec,
            map: Radix::open(head.map),
            table: Radix::open(head.segments),
            applied: head.log_next,
            head,
            head_next,
            journalled: 0,
            open: Batch::default(),
            sealed: VecDeque::new(),
            holds: VecDeque::new(),
            died: HashMap::new(),
            born: Vec::new(),
            held: BTreeMap::new(),
            emptied: Vec::new(),
            retired_books: Vec::new(),
            expected: Vec::new(),
            rollbacks_begun: 0,
            rollbacks_ended: 0,
        };
        state.pack_by(codec);
        state
    }

    /// Has data packed so from now on; from the next head on, readers are told what they must know for it.
    pub(crate) fn pack_by(&mut self, codec: Codec) {
        self.codec = codec;
        if codec == Codec::Zstd {
            self.head.features |= FEATURE_ZSTD;
        }
    }

    /// The first sequence of the log that is not sealed.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.applied + u32::try_from(self.sealed.len()).unwrap_or(u32::MAX)
    }

    /// Sequences whose segments are on the store without a hole before them.
    pub(crate) fn stored(&self) -> u32 {
        let is_there = |batch: &&Arc<Batch>| batch.stored.get().is_some();
        let there = if Defect::StoredOutOfOrder.is_made() {
            self.sealed.iter().filter(is_there).count()
        } else {
            self.sealed.iter().take_while(is_there).count()
        };
        self.applied + u32::try_from(there).unwrap_or(u32::MAX)
    }

    /// The number of a segment of this epoch.
    pub(crate) fn number(&self, kind: Kind, sequence: u32) -> Result<SegmentNumber, LogError> {
        let first = self.head.epochs.last().map_or(1, |span| span.first(kind));
        SegmentNumber::new(kind, first + sequence).ok_or_else(|| {
            LogError::bug(format!(
                "write segment {sequence}: the volume has used all its {} numbers",
                kind.name()
            ))
        })
    }

    /// Where a block's bytes are.
    pub(crate) fn look(&self, block: u64) -> Result<Source, NeedsPage> {
        let newest_first = std::iter::once(&self.open).chain(self.sealed.iter().rev().map(AsRef::as_ref));
        for batch in newest_first {
            if let Some(known) = batch.look(block) {
                return Ok(Source::Known(known));
            }
        }
        let bits = self.map.get(block)?;
        let pointer = Pointer::from_bits(bits).ok().flatten();
        Ok(pointer.map_or(Source::Known(Known::Hole), Source::Stored))
    }

    /// Which of the blocks hold data. All pages of the map for them must be in memory.
    pub(crate) fn written(&self, blocks: &Range<u64>) -> Vec<bool> {
        let mut written = written(&self.map, blocks);
        let oldest_first = self.sealed.iter().map(AsRef::as_ref).chain([&self.open]);
        oldest_first.for_each(|batch| batch.mark(blocks.start, &mut written));
        written
    }

    /// The blocks that a segment's entries change.
    pub(crate) fn blocks_of(entries: &[Entry]) -> impl Iterator<Item = Range<u64>> {
        entries
            .iter()
            .map(|entry| entry.first..entry.first + u64::from(entry.count))
    }

    /// Puts a segment of the log into the map. All pages of [`Self::blocks_of`] must be in memory.
    pub(crate) fn apply(&mut self, segment: SegmentNumber, entries: &[Entry]) -> Result<(), NeedsPage> {
        let mut blocks = 0;
        for (entry, range) in entries.iter().zip(Self::blocks_of(entries)) {
            if let EntryKind::Hole = entry.kind {
                let mut gone = Vec::new();
                self.map
                    .numbers(range, &mut |block, bits| gone.push((block, bits)));
                for (block, bits) in gone {
                    self.map.set(block, 0)?;
                    self.die(bits, segment.number());
                }
                continue;
            }
            blocks += entry.count;
            for (at, block) in (0..).zip(range) {
                let bits = entry.pointer(at).map_or(0, Pointer::to_bits);
                let before = self.map.set(block, bits)?;
                self.die(before, segment.number());
            }
        }
        self.born.push((segment, blocks));
        Ok(())
    }

    /// Notes that the volume does not reach a block (or a page) any more, since the segment of this number.
    pub(crate) fn die(&mut self, bits: u64, died: u32) {
        let Ok(Some(pointer)) = Pointer::from_bits(bits) else {
            return;
        };
        let segment = pointer.segment();
        if !self.is_own(segment) {
            return;
        }
        let newest = self
            .head
            .snapshots
            .last()
            .map_or(0, |snapshot| cut(snapshot, segment.kind()));
        if segment.number() < newest && !Defect::HeldForgotten.is_made() {
            let block = pointer.low();
            self.held.entry(segment).or_default().push(Held { block, died });
        } else {
            *self.died.entry(segment).or_default() += 1;
        }
    }

    /// Notes that a frame of the books is not in use any more; a checkpoint lets its segment go with the last one.
    pub(crate) fn retire_book(&mut self, frame: Pointer) {
        self.retired_books.push(frame);
    }

    /// False for a segment of a volume that this one was cloned from.
    pub(crate) fn is_own(&self, segment: SegmentNumber) -> bool {
        self.head.place(segment).is_some_and(|(span, _)| span.volume == 0)
    }

    /// The cuts of all snapshots in the numbers of a kind, in order.
    pub(crate) fn cuts(&self, kind: Kind) -> Vec<u32> {
        self.head
            .snapshots
            .iter()
            .map(|snapshot| cut(snapshot, kind))
            .collect()
    }
}

/// Which of the blocks a map has. All its pages for them must be in memory.
pub(crate) fn written(map: &Radix, blocks: &Range<u64>) -> Vec<bool> {
    let len = usize::try_from(blocks.end - blocks.start).unwrap_or(0);
    let mut written = vec![false; len];
    map.numbers(blocks.clone(), &mut |block, _| {
        if let Some(there) = usize::try_from(block - blocks.start)
            .ok()
            .and_then(|at| written.get_mut(at))
        {
            *there = true;
        }
    });
    written
}

/// The first number of a kind that is not in a snapshot.
pub(crate) fn cut(snapshot: &Snapshot, kind: Kind) -> u32 {
    match kind {
        Kind::Map => snapshot.map_cut,
        Kind::Log | Kind::Gc => snapshot.log,
    }
}
