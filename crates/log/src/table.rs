//! The segment table: how much of each segment lives, where its frames are now, what only snapshots hold of it.
//!
//! Two numbers a segment, in a tree of their own:
//! ```text
//! 2 × segment       live blocks 16 | blocks 16 | gc segment that its frames were moved to, 0 while they are where they were born 32
//! 2 × segment + 1   pointer to its list of held blocks, 0 where snapshots hold nothing that the volume does not
//! ```
//! A block is *alive* while the volume or a snapshot can reach it. A segment of moved frames has a line too, of the
//! blocks that were moved into it.
//!
//! A **held** block is one that the volume overwrote while a snapshot had it: `(block, died)`. It is alive while there is a
//! snapshot whose cut is after its birth and not after its death, and both are numbers of segments: nothing needs to be
//! done to the blocks of a snapshot that is deleted but to count those that no other holds.

use crate::tree::{NeedsPage, Radix};
use restblk_format::log::{Kind, Pointer, SegmentNumber};
use std::ops::Range;

/// A segment's line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// Blocks (or pages) that can be reached.
    pub(crate) live: u16,
    /// Blocks that were written.
    pub(crate) total: u16,
    /// The segment of moved frames that has them now.
    pub(crate) moved: Option<SegmentNumber>,
    /// The list of held blocks.
    pub(crate) held: Option<Pointer>,
}

impl Line {
    fn bits(self) -> u64 {
        let moved = self.moved.map_or(0, SegmentNumber::number);
        u64::from(self.live) | u64::from(self.total) << 16 | u64::from(moved) << 32
    }

    #[expect(clippy::cast_possible_truncation, reason = "cut out of 64 bits")]
    fn from_bits(bits: u64, held: u64) -> Self {
        Self {
            live: bits as u16,
            total: (bits >> 16) as u16,
            moved: SegmentNumber::new(Kind::Gc, (bits >> 32) as u32),
            held: Pointer::from_bits(held).ok().flatten(),
        }
    }
}

fn index(segment: SegmentNumber) -> u64 {
    u64::from(segment.to_bits()) * 2
}

/// The line of a segment; all zeros where it has none.
pub(crate) fn line(table: &Radix, segment: SegmentNumber) -> Result<Line, NeedsPage> {
    let at = index(segment);
    Ok(Line::from_bits(table.get(at)?, table.get(at + 1)?))
}

/// Writes a segment's line.
pub(crate) fn set_line(table: &mut Radix, segment: SegmentNumber, line: Line) -> Result<(), NeedsPage> {
    let at = index(segment);
    // Both are on one page: what the first needs, the second has.
    table.set(at, line.bits())?;
    table.set(at + 1, line.held.map_or(0, Pointer::to_bits))?;
    Ok(())
}

/// The indexes of the lines of a kind's segments with these numbers.
pub(crate) fn indexes(kind: Kind, numbers: Range<u32>) -> Range<u64> {
    let at = |number: u32| SegmentNumber::new(kind, number.clamp(1, SegmentNumber::MAX)).map_or(0, index);
    at(numbers.start)..at(numbers.end)
}

/// The lines of a range of indexes that are in memory.
pub(crate) fn lines(table: &Radix, indexes: Range<u64>) -> Vec<(SegmentNumber, Line)> {
    let mut found: Vec<(SegmentNumber, u64, u64)> = Vec::new();
    table.numbers(indexes, &mut |index, bits| {
        let Some(segment) = u32::try_from(index / 2).ok().and_then(SegmentNumber::from_bits) else {
            return;
        };
        if index % 2 == 0 {
            found.push((segment, bits, 0));
        } else if let Some(last) = found.last_mut().filter(|last| last.0 == segment) {
            last.2 = bits;
        } else {
            found.push((segment, 0, bits));
        }
    });
    let line = |(segment, bits, held)| (segment, Line::from_bits(bits, held));
    found.into_iter().map(line).collect()
}

/// A block of a segment that the volume does not reach any more: the low half of its pointer, and the number of the segment
/// that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    pub(crate) block: u32,
    pub(crate) died: u32,
}

/// Whether a snapshot with one of these cuts, in order, has a block that was born and died then.
pub(crate) fn is_held(cuts: &[u32], born: u32, died: u32) -> bool {
    let first_after_birth = cuts.partition_point(|cut| *cut <= born);
    cuts.get(first_after_birth).is_some_and(|cut| *cut <= died)
}

/// The bytes of a list.
pub(crate) fn encode_held(list: &[Held]) -> Vec<u8> {
    let bytes = list
        .iter()
        .flat_map(|held| [held.block.to_le_bytes(), held.died.to_le_bytes()]);
    bytes.flatten().collect()
}

/// A list from its bytes.
pub(crate) fn decode_held(bytes: &[u8]) -> Vec<Held> {
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let held = |pair: &[u8; 8]| Held {
        block: number(&pair[..4]),
        died: number(&pair[4..]),
    };
    bytes.as_chunks().0.iter().map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_back() {
        let mut table = Radix::default();
        let segment = SegmentNumber::new(Kind::Map, 77).unwrap();
        let wanted = Line {
            live: 3,
            total: 4096,
            moved: SegmentNumber::new(Kind::Gc, 9),
            held: Pointer::new(segment, 96, 100, 0),
        };
        set_line(&mut table, segment, wanted).unwrap();
        assert_eq!(line(&table, segment).unwrap(), wanted);
        assert_eq!(lines(&table, indexes(Kind::Map, 1..100)), [(segment, wanted)]);
        assert_eq!(lines(&table, indexes(Kind::Map, 1..77)), []);
        let other = SegmentNumber::new(Kind::Log, 77).unwrap();
        assert_eq!(line(&table, other).unwrap(), Line::default());
    }

    #[test]
    fn a_block_is_held_between_its_birth_and_its_death() {
        // Born in segment 5; the snapshot cut at 6 has it, the one cut at 5 was before it.
        assert!(is_held(&[6], 5, 6));
        assert!(is_held(&[5, 9], 5, 9));
        assert!(!is_held(&[5], 5, 9));
        assert!(!is_held(&[9], 5, 8));
        assert!(!is_held(&[2, 4, 20], 5, 8));
        assert!(!is_held(&[], 5, 8));
    }

    #[test]
    fn a_list_comes_back() {
        let list = [
            Held { block: 1, died: 2 },
            Held {
                block: u32::MAX,
                died: 7,
            },
        ];
        assert_eq!(decode_held(&encode_held(&list)), list);
    }
}
