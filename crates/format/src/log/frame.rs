//! Frames: up to eight blocks of users, or one page of a tree, with all that it takes to believe them.
//!
//! ```text
//!  0  4  CRC of the rest of the header, with the blocks' CRCs
//!  4  1  kind: 1 data, 2 page, 3 list
//!  5  1  codec; 128 more where it is sealed
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
//!
//! Sealed ([`super::seal`]), a frame has in the place of the blocks' CRCs:
//! ```text
//! 36 12  nonce
//! 48 16  tag, over bytes 4 to 28 and the payload
//!        payload: encrypted, the blocks' CRCs and what they are packed to
//! ```
//! The CRCs of the plain blocks would tell which blocks are equal, so they are within; that of the payload is over what is stored, so a
//! frame is moved and checked by whoever has no key.

use super::seal::{SEAL_LEN, Seal, SealKey};
use super::{BLOCK, Codec, PAGE_LEN, Pointer};
use crate::record::{crc32c, has_crc32c};
use std::borrow::Cow;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Blocks in a frame at the most.
pub const MAX_BLOCKS: usize = 8;
/// Bytes of a header without the CRCs of the blocks.
const FIXED_LEN: usize = 36;
/// Bytes of a frame beyond its plain ones at the most.
pub(super) const EXTRA_LEN_MAX: usize = FIXED_LEN + SEAL_LEN + 4 * MAX_BLOCKS;
/// The bytes of the header that a seal is bound to: all that is known before the payload is encrypted.
const BOUND: std::ops::Range<usize> = 4..28;
/// In the byte of the codec.
const SEALED: u8 = 0x80;
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

    /// The CRC of each block of plain bytes.
    fn crcs(self, plain: &[u8]) -> impl Iterator<Item = u32> {
        let unit = if self == Self::Data { BLOCK } else { plain.len() };
        plain.chunks(unit.max(1)).map(crc32c)
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
    /// It is encrypted.
    #[error("the frame is encrypted, and no key is at hand")]
    Sealed,
    /// It should be encrypted: whoever has no key may have put it there.
    #[error("the frame is not encrypted, and the volume is")]
    NotSealed,
    /// What it is sealed with is not its volume's key for this segment, or a bit was changed.
    #[error("the frame is not what was sealed with the volume's key")]
    Seal,
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
    /// How it is packed.
    pub codec: Codec,
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
    seal: Option<Seal>,
    /// Of a sealed frame they are in the payload.
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
        let sealed = raw.codec & SEALED != 0;
        let payload_start = FIXED_LEN + if sealed { SEAL_LEN } else { 4 * blocks };
        let head = bytes.get(..payload_start).ok_or(FrameError::Short)?;
        if !has_crc32c(&head[4..], raw.crc.get()) {
            return Err(FrameError::Header);
        }
        let kind = FrameKind::from_bits(raw.kind).ok_or(FrameError::Header)?;
        let plain_len = usize::try_from(raw.plain_len.get()).map_err(|_| FrameError::Header)?;
        if !kind.fits(plain_len) || kind.blocks(plain_len) != blocks {
            return Err(FrameError::Header);
        }
        let rest = &head[FIXED_LEN..];
        let (seal, crcs) = match rest.first_chunk::<SEAL_LEN>().filter(|_| sealed) {
            Some(seal) => (Some(Seal::from_bytes(seal)), Vec::new()),
            None => (None, crcs_of(rest)),
        };
        Ok(Self {
            kind,
            codec: Codec::from_bits(raw.codec & !SEALED).ok_or(FrameError::Header)?,
            first: raw.first.get(),
            origin: Pointer::from_bits(raw.origin.get())
                .ok()
                .flatten()
                .ok_or(FrameError::Header)?,
            plain_len,
            seal,
            crcs,
            payload_crc: raw.payload_crc.get(),
            payload_start,
            payload_len: usize::try_from(raw.payload_len.get()).map_err(|_| FrameError::Header)?,
        })
    }

    fn payload<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let payload = bytes[self.payload_start..]
            .get(..self.payload_len)
            .ok_or(FrameError::Short)?;
        if !has_crc32c(payload, self.payload_crc) {
            return Err(FrameError::Payload);
        }
        Ok(payload)
    }

    /// The CRCs of the plain blocks, and what they are packed to. Here, and nowhere else, a frame is opened.
    fn open<'a>(
        &self,
        bytes: &'a [u8],
        key: Option<&SealKey>,
    ) -> Result<(Vec<u32>, Cow<'a, [u8]>), FrameError> {
        let payload = self.payload(bytes)?;
        let (seal, key) = match (&self.seal, key) {
            (None, None) => return Ok((self.crcs.clone(), Cow::Borrowed(payload))),
            (Some(seal), Some(key)) => (seal, key),
            (Some(_), None) => return Err(FrameError::Sealed),
            (None, Some(_)) => return Err(FrameError::NotSealed),
        };
        let mut opened = payload.to_vec();
        if !key.open(seal, &bytes[BOUND], &mut opened) {
            return Err(FrameError::Seal);
        }
        let crcs_len = 4 * self.kind.blocks(self.plain_len);
        let crcs = crcs_of(opened.get(..crcs_len).ok_or(FrameError::Unpack)?);
        opened.drain(..crcs_len);
        Ok((crcs, Cow::Owned(opened)))
    }
}

fn crcs_of(bytes: &[u8]) -> Vec<u32> {
    let crcs = bytes.as_chunks().0.iter();
    crcs.map(|crc| u32::from_le_bytes(*crc)).collect()
}

impl Frame {
    /// Appends a frame, sealed where there is a key; returns its address. `origin` is told once the length is known, where the frame is
    /// born here; `None` where it cannot be told.
    pub(super) fn encode(
        kind: FrameKind,
        first: u64,
        plain: &[u8],
        codec: Codec,
        key: Option<&SealKey>,
        origin: impl FnOnce(usize) -> Option<Pointer>,
        out: &mut Vec<u8>,
    ) -> Option<Pointer> {
        assert!(kind.fits(plain.len()), "{} bytes of {kind:?}", plain.len());
        let (start, blocks) = (out.len(), kind.blocks(plain.len()));
        let seal_len = if key.is_some() { SEAL_LEN } else { 0 };
        let crcs_start = start + FIXED_LEN + seal_len;
        out.resize(crcs_start + 4 * blocks, 0);
        for (to, crc) in out[crcs_start..]
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(kind.crcs(plain))
        {
            *to = crc.to_le_bytes();
        }
        let codec = codec.pack(plain, out);
        let payload_start = crcs_start + if key.is_some() { 0 } else { 4 * blocks };
        let length = |len: usize| U32::new(u32::try_from(len).unwrap_or(u32::MAX));
        let Some(origin) = origin(out.len() - start) else {
            out.truncate(start);
            return None;
        };
        let mut raw = Raw {
            crc: U32::ZERO,
            kind: kind as u8,
            codec: codec as u8 | if key.is_some() { SEALED } else { 0 },
            blocks: u8::try_from(blocks).unwrap_or(0),
            zero: 0,
            first: first.into(),
            origin: origin.to_bits().into(),
            plain_len: length(plain.len()),
            payload_len: length(out.len() - payload_start),
            payload_crc: U32::ZERO,
        };
        if let Some(key) = key {
            let seal = key.seal(&raw.as_bytes()[BOUND], &mut out[payload_start..]);
            out[start + FIXED_LEN..payload_start].copy_from_slice(&seal.to_bytes());
        }
        raw.payload_crc = crc32c(&out[payload_start..]).into();
        out[start..start + FIXED_LEN].copy_from_slice(raw.as_bytes());
        let crc = crc32c(&out[start + 4..payload_start]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        Some(origin)
    }

    /// Reads and checks the frame that was born at `origin` (any block of it); `bytes` begin with it. With the key of the segment that
    /// it was born in where the volume is encrypted, and then nothing that is not sealed with it is believed.
    pub fn decode(bytes: &[u8], origin: Pointer, key: Option<&SealKey>) -> Result<Self, FrameError> {
        let head = Head::decode(bytes)?;
        if head.origin != origin.frame() {
            return Err(FrameError::Another);
        }
        let (crcs, packed) = head.open(bytes, key)?;
        let plain = head.codec.unpack(&packed, head.plain_len)?;
        for (index, (found, crc)) in (0..).zip(head.kind.crcs(&plain).zip(crcs)) {
            if found != crc {
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

    /// Checks a frame as it is stored, without unpacking it or having its key; tells what it says that it holds.
    pub fn check_stored(bytes: &[u8], origin: Pointer) -> Result<StoredFrame, FrameError> {
        let head = Head::decode(bytes)?;
        if head.origin != origin.frame() {
            return Err(FrameError::Another);
        }
        head.payload(bytes)?;
        Ok(StoredFrame {
            kind: head.kind,
            codec: head.codec,
            first: head.first,
            blocks: u32::try_from(head.kind.blocks(head.plain_len)).unwrap_or(u32::MAX),
            len: head.payload_start + head.payload_len,
        })
    }
}
