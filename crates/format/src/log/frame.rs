//! Frames: up to eight blocks of users, or one page of a tree, with all that it takes to believe them.
//!
//! ```text
//!  0  4  CRC of the rest of the header, with the blocks' CRCs
//!  4  1  kind: 1 data, 2 page, 3 list
//!  5  1  codec
//!  6  1  blocks, 1 to 8; 1 for pages and lists
//!  7  1  0
//!  8  8  first: the first block's number on the volume; the number of a page in its tree; the segment of a list
//! 16  8  origin: the pointer to the frame's first block, as it was born
//! 24  4  plain length in bytes
//! 28  4  payload length in bytes, as stored
//! 32  4  payload CRC, as stored: a frame can be moved and checked without unpacking
//! 36  4  CRC of each plain block of 4096 bytes (data), or of the whole (pages, lists)
//!        payload; zeros up to a multiple of 16
//! ```
//! `origin` and `first` tell a frame that is whole and good, but not the one that was asked for.

use super::{BLOCK, Codec, PAGE_LEN, Pointer};
use crate::record::crc32c;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Blocks in a frame at the most.
pub const MAX_BLOCKS: usize = 8;
/// Bytes of a header without the CRCs of the blocks.
const FIXED_LEN: usize = 36;
/// The longest list in bytes.
const LIST_LEN_MAX: usize = MAX_BLOCKS * BLOCK;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Blocks of users.
    Data = 1,
    /// A node of a tree.
    Page = 2,
    /// Pairs of numbers: the blocks of a segment that only snapshots hold.
    List = 3,
}

impl FrameKind {
    fn from_bits(bits: u8) -> Option<Self> {
        [Self::Data, Self::Page, Self::List]
            .into_iter()
            .find(|kind| *kind as u8 == bits)
    }

    /// Whether a frame of this kind can have so many plain bytes.
    pub(super) fn fits(self, len: usize) -> bool {
        match self {
            Self::Data => len > 0 && len.is_multiple_of(BLOCK) && len <= MAX_BLOCKS * BLOCK,
            Self::Page => len == PAGE_LEN,
            Self::List => len > 0 && len.is_multiple_of(8) && len <= LIST_LEN_MAX,
        }
    }

    fn blocks(self, plain_len: usize) -> usize {
        match self {
            Self::Data => plain_len / BLOCK,
            Self::Page | Self::List => 1,
        }
    }
}

/// Why bytes are not the frame that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Cut off.
    #[error("the frame is cut off")]
    Short,
    /// The header's checksum, or a field that no writer makes.
    #[error("the frame's header is damaged")]
    Header,
    /// Whole and good, but another one.
    #[error("another frame is in its place")]
    Another,
    /// The payload's checksum.
    #[error("the frame's payload is damaged")]
    Payload,
    /// The payload does not unpack.
    #[error("the frame's payload does not unpack")]
    Unpack,
    /// What it unpacks to is not what was written.
    #[error("block {0} of the frame is not what was written")]
    Block(u8),
}

/// A frame that was read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// The first block's number, or the page's, or the segment's.
    pub first: u64,
    /// Where it was born.
    pub origin: Pointer,
    /// The plain bytes.
    pub plain: Vec<u8>,
}

/// What a frame says of itself, whose payload was not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFrame {
    /// What it holds.
    pub kind: FrameKind,
    /// The first block's number, or the page's, or the segment's.
    pub first: u64,
    /// How many blocks; 1 for pages and lists.
    pub blocks: u32,
    /// Its length in bytes, without padding.
    pub len: usize,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    crc: U32,
    kind: u8,
    codec: u8,
    blocks: u8,
    zero: u8,
    first: U64,
    origin: U64,
    plain_len: U32,
    payload_len: U32,
    payload_crc: U32,
}

const _: () = assert!(size_of::<Raw>() == FIXED_LEN);

/// A frame's header, read and checked.
struct Head {
    kind: FrameKind,
    codec: Codec,
    first: u64,
    origin: Pointer,
    plain_len: usize,
    crcs: Vec<u32>,
    payload_crc: u32,
    payload_start: usize,
    payload_len: usize,
}

impl Head {
    fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| FrameError::Short)?;
        let blocks = usize::from(raw.blocks);
        if !(1..=MAX_BLOCKS).contains(&blocks) {
            return Err(FrameError::Header);
        }
        let payload_start = FIXED_LEN + 4 * blocks;
        let head = bytes.get(..payload_start).ok_or(FrameError::Short)?;
        if crc32c(&head[4..]) != raw.crc.get() {
            return Err(FrameError::Header);
        }
        let kind = FrameKind::from_bits(raw.kind).ok_or(FrameError::Header)?;
        let plain_len = usize::try_from(raw.plain_len.get()).map_err(|_| FrameError::Header)?;
        if !kind.fits(plain_len) || kind.blocks(plain_len) != blocks {
            return Err(FrameError::Header);
        }
        let crcs = head[FIXED_LEN..].as_chunks().0.iter();
        Ok(Self {
            kind,
            codec: Codec::from_bits(raw.codec).ok_or(FrameError::Header)?,
            first: raw.first.get(),
            origin: Pointer::from_bits(raw.origin.get())
                .ok()
                .flatten()
                .ok_or(FrameError::Header)?,
            plain_len,
            crcs: crcs.map(|crc| u32::from_le_bytes(*crc)).collect(),
            payload_crc: raw.payload_crc.get(),
            payload_start,
            payload_len: usize::try_from(raw.payload_len.get()).map_err(|_| FrameError::Header)?,
        })
    }

    fn payload<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let payload = bytes[self.payload_start..]
            .get(..self.payload_len)
            .ok_or(FrameError::Short)?;
        if crc32c(payload) != self.payload_crc {
            return Err(FrameError::Payload);
        }
        Ok(payload)
    }
}

impl Frame {
    /// Appends a frame; returns its length without padding. `origin` is told once the length is known, where the frame is
    /// born here; `None` where it cannot be told.
    pub(super) fn encode(
        kind: FrameKind,
        first: u64,
        plain: &[u8],
        codec: Codec,
        origin: impl FnOnce(usize) -> Option<Pointer>,
        out: &mut Vec<u8>,
    ) -> Option<Pointer> {
        assert!(kind.fits(plain.len()), "{} bytes of {kind:?}", plain.len());
        let (start, blocks) = (out.len(), kind.blocks(plain.len()));
        let payload_start = start + FIXED_LEN + 4 * blocks;
        out.resize(payload_start, 0);
        let codec = codec.pack(plain, out);
        let length = |len: usize| U32::new(u32::try_from(len).unwrap_or(u32::MAX));
        let Some(origin) = origin(out.len() - start) else {
            out.truncate(start);
            return None;
        };
        let raw = Raw {
            crc: U32::ZERO,
            kind: kind as u8,
            codec: codec as u8,
            blocks: u8::try_from(blocks).unwrap_or(0),
            zero: 0,
            first: first.into(),
            origin: origin.to_bits().into(),
            plain_len: length(plain.len()),
            payload_len: length(out.len() - payload_start),
            payload_crc: crc32c(&out[payload_start..]).into(),
        };
        out[start..start + FIXED_LEN].copy_from_slice(raw.as_bytes());
        let unit = if kind == FrameKind::Data {
            BLOCK
        } else {
            plain.len()
        };
        for (block, crc) in plain
            .chunks(unit)
            .zip(out[start + FIXED_LEN..payload_start].as_chunks_mut().0)
        {
            *crc = crc32c(block).to_le_bytes();
        }
        let crc = crc32c(&out[start + 4..payload_start]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        Some(origin)
    }

    /// Reads and checks the frame that was born at `origin` (any block of it); `bytes` begin with it.
    pub fn decode(bytes: &[u8], origin: Pointer) -> Result<Self, FrameError> {
        let head = Head::decode(bytes)?;
        if head.origin != origin.frame() {
            return Err(FrameError::Another);
        }
        let plain = head.codec.unpack(head.payload(bytes)?, head.plain_len)?;
        let unit = if head.kind == FrameKind::Data {
            BLOCK
        } else {
            plain.len()
        };
        for (index, (block, crc)) in (0..).zip(plain.chunks(unit).zip(&head.crcs)) {
            if crc32c(block) != *crc {
                return Err(FrameError::Block(index));
            }
        }
        Ok(Self {
            kind: head.kind,
            first: head.first,
            origin: head.origin,
            plain,
        })
    }

    /// Checks a frame that is to be moved as it is, without unpacking it; tells what it says that it holds.
    pub fn check_stored(bytes: &[u8], origin: Pointer) -> Result<StoredFrame, FrameError> {
        let head = Head::decode(bytes)?;
        if head.origin != origin.frame() {
            return Err(FrameError::Another);
        }
        head.payload(bytes)?;
        Ok(StoredFrame {
            kind: head.kind,
            first: head.first,
            blocks: u32::try_from(head.crcs.len()).unwrap_or(u32::MAX),
            len: head.payload_start + head.payload_len,
        })
    }
}
