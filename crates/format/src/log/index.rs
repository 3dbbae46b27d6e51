//! The index of a segment: what its frames are of, without the frames. A recovery reads nothing else of a segment.
//!
//! ```text
//!  0  8  first   the first block's number; the page's; the list's segment
//!  8  8  origin  the pointer to the frame's first block as it was born; 0 for a hole
//! 16  4  offset  of the frame in this object, in bytes; 0 for a hole
//! 20  4  length  of the frame in bytes
//! 24  4  count   of blocks; 1 for pages and lists
//! 28  1  kind: 1 data, 2 page, 3 list, 4 hole, 5 seal
//! 29  3  0
//! ```
//! Of an encrypted volume, the last line is a seal: its first 28 bytes are nonce and tag, over the header and the lines before it.

use super::seal::{SEAL_LEN, Seal};
use super::{FrameKind, HEADER_LEN, MAX_BLOCKS, Pointer, SEGMENT_LEN_MAX};
use crate::FormatError;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of one line of the index.
pub const INDEX_ENTRY_LEN: usize = 32;
const HOLE: u8 = 4;
const SEAL: u8 = 5;

/// What a line of the index stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A frame.
    Frame {
        /// What it holds.
        kind: FrameKind,
        /// Where it was born: here, unless this segment is of moved frames.
        origin: Pointer,
        /// Its place in this object, in bytes.
        offset: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// Blocks that read as zeros from here on.
    Hole,
}

/// A line of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first block's number on the volume, or the page's in its tree, or the list's segment.
    pub first: u64,
    /// How many blocks.
    pub count: u32,
    /// What it is.
    pub kind: EntryKind,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    first: U64,
    origin: U64,
    offset: U32,
    len: U32,
    count: U32,
    kind: u8,
    zero: [u8; 3],
}

const _: () = assert!(size_of::<Raw>() == INDEX_ENTRY_LEN);

impl Entry {
    /// The pointer to the block `index` of it; `None` for a hole.
    #[must_use]
    pub fn pointer(&self, index: u32) -> Option<Pointer> {
        let EntryKind::Frame { origin, .. } = self.kind else {
            return None;
        };
        let index = u64::from(index.min(7));
        Pointer::from_bits(origin.to_bits() | index).ok().flatten()
    }

    pub(super) fn encode(&self, out: &mut [u8]) {
        let (kind, origin, offset, len) = match self.kind {
            EntryKind::Frame {
                kind,
                origin,
                offset,
                len,
            } => (kind as u8, origin.to_bits(), offset, len),
            EntryKind::Hole => (HOLE, 0, 0, 0),
        };
        let raw = Raw {
            first: self.first.into(),
            origin: origin.into(),
            offset: offset.into(),
            len: len.into(),
            count: self.count.into(),
            kind,
            zero: [0; 3],
        };
        out.copy_from_slice(raw.as_bytes());
    }

    pub(super) fn decode(bytes: &[u8; INDEX_ENTRY_LEN]) -> Result<Self, FormatError> {
        let raw: &Raw = zerocopy::transmute_ref!(bytes);
        let damaged = || FormatError::Damaged("its index has a line that no writer makes".to_owned());
        let (count, offset, len) = (raw.count.get(), raw.offset.get(), raw.len.get());
        let kind = match raw.kind {
            HOLE if raw.origin == U64::ZERO && offset == 0 && len == 0 && count > 0 => EntryKind::Hole,
            bits => {
                let kind = [FrameKind::Data, FrameKind::Page, FrameKind::List]
                    .into_iter()
                    .find(|kind| *kind as u8 == bits)
                    .ok_or_else(damaged)?;
                let origin = Pointer::from_bits(raw.origin.get())
                    .ok()
                    .flatten()
                    .ok_or_else(damaged)?;
                let end = u64::from(offset) + u64::from(len);
                let most = if kind == FrameKind::Data { MAX_BLOCKS } else { 1 };
                let placed = offset as usize >= HEADER_LEN && len > 0 && end <= SEGMENT_LEN_MAX as u64;
                if !placed || origin.index() != 0 || count == 0 || count as usize > most {
                    return Err(damaged());
                }
                EntryKind::Frame {
                    kind,
                    origin,
                    offset,
                    len,
                }
            }
        };
        Ok(Self {
            first: raw.first.get(),
            count,
            kind,
        })
    }
}

/// The line of a seal.
pub(super) fn seal_line(seal: Seal) -> [u8; INDEX_ENTRY_LEN] {
    let mut line = [0; INDEX_ENTRY_LEN];
    line[..SEAL_LEN].copy_from_slice(&seal.to_bytes());
    line[SEAL_LEN] = SEAL;
    line
}

/// The seal that is on a line, if one is.
pub(super) fn seal_of(line: &[u8; INDEX_ENTRY_LEN]) -> Option<Seal> {
    let seal = line.first_chunk::<SEAL_LEN>()?;
    (line[SEAL_LEN..] == [SEAL, 0, 0, 0]).then(|| Seal::from_bytes(seal))
}
