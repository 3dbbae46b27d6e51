//! Byte ranges and block sizes.

use serde::{Deserialize, Serialize};

/// A range of bytes: `len` bytes from `offset`. The end never overflows: construction checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    offset: u64,
    len: u64,
}

impl Extent {
    /// `len` bytes from `offset`; `None` where the end is past 2^64-1.
    #[must_use]
    pub fn new(offset: u64, len: u64) -> Option<Self> {
        offset.checked_add(len).map(|_| Self { offset, len })
    }

    /// First byte.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.len
    }

    /// True for a range of no bytes.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// One past the last byte.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.offset + self.len
    }

    /// True where the two share a byte.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }

    /// True where every byte of `other` is in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.offset <= other.offset && other.end() <= self.end()
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{}", self.offset, self.len)
    }
}

/// The logical block size of a volume: the unit in which its users address it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum BlockSize {
    /// 512 bytes: what every program expects.
    B512,
    /// 4096 bytes: less work for the store, not bootable by old firmware.
    B4096,
}

impl BlockSize {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

impl TryFrom<u32> for BlockSize {
    type Error = String;
    fn try_from(bytes: u32) -> Result<Self, String> {
        match bytes {
            512 => Ok(Self::B512),
            4096 => Ok(Self::B4096),
            other => Err(format!(
                "a block size of {other} is not offered: choose 512 or 4096"
            )),
        }
    }
}

impl From<BlockSize> for u32 {
    fn from(size: BlockSize) -> u32 {
        size.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_cannot_wrap() {
        assert!(Extent::new(u64::MAX, 1).is_none());
        assert_eq!(Extent::new(u64::MAX, 0).unwrap().end(), u64::MAX);
    }

    #[test]
    fn neighbours_do_not_overlap() {
        let (a, b) = (Extent::new(0, 512).unwrap(), Extent::new(512, 512).unwrap());
        assert!(!a.overlaps(b) && a.overlaps(a) && a.contains(a) && !a.contains(b));
    }

    #[test]
    fn odd_block_sizes_are_refused() {
        assert!(BlockSize::try_from(1024).is_err());
        assert_eq!(
            serde_json::from_str::<BlockSize>("4096").unwrap(),
            BlockSize::B4096
        );
    }
}
