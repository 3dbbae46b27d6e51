//! What users wrote and is not in the map yet: the batch that is being filled, and those that are on their way to the store.
//!
//! A batch becomes one segment. Within it only the last write of a block counts, because a segment is recovered whole or
//! not at all: holes come first, and data that a later hole covers is dropped from it.

use bytes::{Bytes, BytesMut};
use restblk_format::log::{BLOCK, Entry, FrameKind, MAX_BLOCKS, SegmentBuilder};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;
use tokio::time::Instant;

/// Blocks after which a batch is sealed: with their headers they fit a segment, however badly they pack.
pub(crate) const BLOCKS_MAX: usize = 1984;
/// Holes after which a batch is sealed.
const HOLES_MAX: usize = 256;

/// Writes, on their way.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    holes: Vec<Range<u64>>,
    data: BTreeMap<u64, Bytes>,
    /// When it took something first.
    pub(crate) begun: Option<Instant>,
    /// Where its last record in the journal ends.
    pub(crate) journal_end: u64,
    /// What became of it: set when the segment is on the store.
    pub(crate) stored: OnceLock<Vec<Entry>>,
}

/// What a batch knows of a block.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Data(Bytes),
    Hole,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.holes.is_empty() && self.data.is_empty()
    }

    /// True where it should become a segment now.
    pub(crate) fn is_full(&self) -> bool {
        self.data.len() >= BLOCKS_MAX || self.holes.len() >= HOLES_MAX
    }

    /// Blocks that it can still take.
    pub(crate) fn room(&self) -> usize {
        BLOCKS_MAX.saturating_sub(self.data.len())
    }

    /// Blocks with data.
    pub(crate) fn blocks(&self) -> usize {
        self.data.len()
    }

    /// Takes whole blocks from `first` on.
    pub(crate) fn write(&mut self, first: u64, mut data: Bytes) {
        for block in first.. {
            if data.is_empty() {
                break;
            }
            self.data.insert(block, data.split_to(BLOCK));
        }
    }

    /// Takes a hole, which covers what is there.
    pub(crate) fn punch(&mut self, blocks: Range<u64>) {
        let mut covered = self.data.split_off(&blocks.start);
        let mut after = covered.split_off(&blocks.end);
        self.data.append(&mut after);
        self.holes.push(blocks);
    }

    pub(crate) fn look(&self, block: u64) -> Option<Known> {
        if let Some(data) = self.data.get(&block) {
            return Some(Known::Data(data.clone()));
        }
        let hole = self.holes.iter().any(|hole| hole.contains(&block));
        hole.then_some(Known::Hole)
    }

    /// Notes what it changes of blocks from `first` on: whether each holds data.
    pub(crate) fn mark(&self, first: u64, written: &mut [bool]) {
        let blocks = first..first + written.len() as u64;
        let at = |block: u64| usize::try_from(block - first).unwrap_or(usize::MAX);
        for hole in &self.holes {
            let (start, end) = (hole.start.max(blocks.start), hole.end.min(blocks.end));
            if start < end {
                written[at(start)..at(end)].fill(false);
            }
        }
        for (block, _) in self.data.range(blocks) {
            written[at(*block)] = true;
        }
    }

    /// The segment, `begin` of which gives one with room for so many lines.
    pub(crate) fn encode(&self, begin: impl FnOnce(usize) -> SegmentBuilder) -> SegmentBuilder {
        let mut holes = Vec::new();
        for hole in &self.holes {
            let mut first = hole.start;
            while first < hole.end {
                let count = u32::try_from(hole.end - first).unwrap_or(u32::MAX);
                holes.push((first, count));
                first += u64::from(count);
            }
        }
        let runs = self.runs();
        let mut builder = begin(holes.len() + runs.len());
        for (first, count) in holes {
            let fits = builder.push_hole(first, count);
            debug_assert!(fits);
        }
        for (first, run) in runs {
            // One at a time: all of them together would be the batch once more.
            let pointer = builder.push(FrameKind::Data, first, &joined(&run));
            debug_assert!(pointer.is_some(), "a batch fits a segment");
        }
        builder
    }

    /// The data in frames: runs of at most eight blocks.
    fn runs(&self) -> Vec<(u64, Vec<&Bytes>)> {
        let mut runs: Vec<(u64, Vec<&Bytes>)> = Vec::new();
        for (block, data) in &self.data {
            match runs.last_mut() {
                Some((first, run)) if *first + run.len() as u64 == *block && run.len() < MAX_BLOCKS => {
                    run.push(data)
                }
                _ => runs.push((*block, vec![data])),
            }
        }
        runs
    }
}

fn joined(run: &[&Bytes]) -> Bytes {
    match run {
        [one] => (*one).clone(),
        _ => {
            let mut plain = BytesMut::with_capacity(run.len() * BLOCK);
            run.iter().for_each(|data| plain.extend_from_slice(data));
            plain.freeze()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_format::log::{Codec, DataKey, EntryKind, Kind, SegmentNumber};
    use restblk_types::VolumeId;

    fn data(byte: u8, blocks: usize) -> Bytes {
        Bytes::from(vec![byte; blocks * BLOCK])
    }

    #[test]
    fn the_last_write_counts() {
        let mut batch = Batch::default();
        batch.write(10, data(1, 4));
        batch.write(12, data(2, 1));
        batch.punch(11..13);
        batch.write(11, data(3, 1));
        let look = |block| match batch.look(block) {
            Some(Known::Data(data)) => i32::from(data[0]),
            Some(Known::Hole) => 0,
            None => -1,
        };
        assert_eq!([9, 10, 11, 12, 13, 14].map(look), [-1, 1, 3, 0, 1, -1]);
        assert_eq!(batch.blocks(), 3);
        let number = SegmentNumber::new(Kind::Log, 1).unwrap();
        let builder = batch.encode(|lines| SegmentBuilder::new(number, lines, Codec::Lz4));
        let lines: Vec<_> = builder
            .entries()
            .iter()
            .map(|entry| (entry.first, entry.count, entry.kind == EntryKind::Hole))
            .collect();
        assert_eq!(lines, [(11, 2, true), (10, 2, false), (13, 1, false)]);
    }

    #[test]
    fn the_largest_batch_fits_a_segment() {
        let words = (0..BLOCK as u64 / 8).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
        let noise: Vec<u8> = words.flatten().collect();
        let mut batch = Batch::default();
        for block in 0..BLOCKS_MAX as u64 {
            batch.write(block * 2, Bytes::from(noise.clone()));
        }
        for hole in 0..HOLES_MAX as u64 {
            batch.punch(100_000 + hole * 2..100_001 + hole * 2);
        }
        let number = SegmentNumber::new(Kind::Log, 1).unwrap();
        for key in [
            None,
            Some(DataKey::random().segment(VolumeId::random(), 1, number)),
        ] {
            let builder = batch.encode(|lines| SegmentBuilder::new(number, lines, Codec::None).sealed(key));
            assert_eq!(builder.entries().len(), BLOCKS_MAX + HOLES_MAX);
        }
    }
}
