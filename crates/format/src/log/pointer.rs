//! Where a block is: eight bytes.
//!
//! ```text
//!  63      62 61                32 31       13 12     3 2     0
//! +----------+--------------------+-----------+--------+-------+
//! | kind 2   | segment 30         | place 19  | len 10 | index |
//! +----------+--------------------+-----------+--------+-------+
//!   log, map   number in its kind   frame's     frame's  block
//!                                   offset/16   len/64   within
//! ```
//! - 30 bits of 8 MiB segments are 8 PiB of writes in a volume's life.
//! - 19 bits of 16 bytes are a segment of 8 MiB; frames start at multiples of 16.
//! - 10 bits of 64 bytes are 65,472: a frame of eight blocks that did not compress, with its header.
//! - Three bits: a frame holds one to eight blocks.
//!
//! All zeros mean a hole: it reads as zeros.

use std::fmt;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// What users wrote, in order.
    Log,
    /// Pages of the trees.
    Map,
    /// Frames moved out of other segments.
    Gc,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Log, Self::Map, Self::Gc];

    const fn bits(self) -> u32 {
        match self {
            Self::Log => 0,
            Self::Map => 1,
            Self::Gc => 2,
        }
    }

    /// The series' name on the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Map => "map",
            Self::Gc => "gc",
        }
    }
}

/// A segment of a volume: its kind, and its number in that kind, counted over all epochs. The first one is 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentNumber(u32);

impl SegmentNumber {
    /// The largest number of a kind.
    pub const MAX: u32 = (1 << 30) - 1;

    /// The segment of this kind and number; `None` for 0 and beyond [`Self::MAX`].
    #[must_use]
    pub const fn new(kind: Kind, number: u32) -> Option<Self> {
        if number == 0 || number > Self::MAX {
            return None;
        }
        Some(Self(kind.bits() << 30 | number))
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self.0 >> 30 {
            0 => Kind::Log,
            1 => Kind::Map,
            _ => Kind::Gc,
        }
    }

    /// Its number in its kind.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 & Self::MAX
    }

    /// Kind and number in 32 bits, as stored.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// From 32 stored bits; `None` where they are no segment.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & Self::MAX == 0 || bits >> 30 == 3 {
            return None;
        }
        Some(Self(bits))
    }
}

impl fmt::Debug for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().name(), self.number())
    }
}

/// The address of one block, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer(u64);

impl Pointer {
    /// The unit of a frame's place, in bytes.
    pub const PLACE_UNIT: u32 = 16;
    /// The unit of a frame's length, in bytes.
    pub const LEN_UNIT: u32 = 64;
    /// The longest frame, in bytes.
    pub const LEN_MAX: u32 = 1023 * Self::LEN_UNIT;

    /// The block `index` of the frame of `len` bytes at `offset` of a segment's object; `None` where that cannot be told
    /// in eight bytes.
    #[must_use]
    pub const fn new(segment: SegmentNumber, offset: u32, len: u32, index: u8) -> Option<Self> {
        if !offset.is_multiple_of(Self::PLACE_UNIT)
            || offset >> 23 != 0
            || len == 0
            || len > Self::LEN_MAX
            || index > 7
        {
            return None;
        }
        let len = len.div_ceil(Self::LEN_UNIT) as u64;
        let place = (offset / Self::PLACE_UNIT) as u64;
        Some(Self(
            (segment.0 as u64) << 32 | place << 13 | len << 3 | index as u64,
        ))
    }

    /// The segment it was born in.
    #[must_use]
    pub const fn segment(self) -> SegmentNumber {
        SegmentNumber((self.0 >> 32) as u32)
    }

    /// The low half: what tells a block from the others of its segment.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The frame's offset in that segment's object, in bytes.
    #[must_use]
    pub const fn offset(self) -> u32 {
        (self.low() >> 13) * Self::PLACE_UNIT
    }

    /// The frame's length in bytes, rounded up to [`Self::LEN_UNIT`]: what to fetch, though the object may end before.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub const fn len(self) -> u32 {
        (self.low() >> 3 & 1023) * Self::LEN_UNIT
    }

    /// The block's place in the frame.
    #[must_use]
    pub const fn index(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// The same frame's first block: what tells one frame from another.
    #[must_use]
    pub const fn frame(self) -> Self {
        Self(self.0 & !7)
    }

    /// As stored.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From stored bits; `None` for a hole. Bits that no writer makes are refused by `Err`.
    #[allow(clippy::result_unit_err, reason = "there is one reason")]
    pub const fn from_bits(bits: u64) -> Result<Option<Self>, ()> {
        if bits == 0 {
            return Ok(None);
        }
        let pointer = Self(bits);
        if SegmentNumber::from_bits((bits >> 32) as u32).is_none() || pointer.len() == 0 {
            return Err(());
        }
        Ok(Some(pointer))
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}+{}[{}]",
            self.segment(),
            self.offset(),
            self.len(),
            self.index()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_is_refused() {
        let segment = SegmentNumber::new(Kind::Log, 1).unwrap();
        assert_eq!(SegmentNumber::new(Kind::Log, 0), None);
        assert_eq!(SegmentNumber::new(Kind::Gc, 1 << 30), None);
        assert_eq!(Pointer::new(segment, 8, 64, 0), None);
        assert_eq!(Pointer::new(segment, 8 << 20, 64, 0), None);
        assert_eq!(Pointer::new(segment, 0, 0, 0), None);
        assert_eq!(Pointer::new(segment, 0, Pointer::LEN_MAX + 1, 0), None);
        assert_eq!(Pointer::new(segment, 0, 64, 8), None);
        assert_eq!(Pointer::from_bits(0), Ok(None));
        assert_eq!(Pointer::from_bits(1), Err(()));
        assert_eq!(Pointer::from_bits(3 << 62 | 1 << 32 | 8), Err(()));
    }

    #[test]
    fn the_bits_never_change() {
        let segment = SegmentNumber::new(Kind::Map, 5).unwrap();
        let pointer = Pointer::new(segment, 4096, 100, 3).unwrap();
        assert_eq!(pointer.to_bits(), 0x4000_0005_0020_0013);
        assert_eq!(pointer.to_string(), "map 5 at 4096+128[3]");
    }

    proptest! {
        #[test]
        fn a_pointer_tells_what_it_was_made_of(
            kind in 0..3_u32, number in 1..=SegmentNumber::MAX, place in 0..1_u32 << 19, len in 1..=Pointer::LEN_MAX, index in 0..8_u8,
        ) {
            let kind = [Kind::Log, Kind::Map, Kind::Gc][kind as usize];
            let segment = SegmentNumber::new(kind, number).unwrap();
            let pointer = Pointer::new(segment, place * 16, len, index).unwrap();
            prop_assert_eq!(Pointer::from_bits(pointer.to_bits()), Ok(Some(pointer)));
            prop_assert_eq!((pointer.segment().kind(), pointer.segment().number()), (kind, number));
            prop_assert_eq!((pointer.offset(), pointer.index()), (place * 16, index));
            prop_assert!(pointer.len() >= len && pointer.len() < len + 64);
            prop_assert_eq!(pointer.frame().index(), 0);
        }
    }
}
