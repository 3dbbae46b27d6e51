//! Segments: a header, an index, frames.
//!
//! ```text
//! 0            96                      96 + 32 × lines        object length ≤ 8 MiB
//! +------------+-----------------------+----------------------+
//! | header     | index, a line a frame | frames, each at      |
//! |            | (covered by body CRC) | a multiple of 16     |
//! +------------+-----------------------+----------------------+
//! ```
//! The index comes first, so that one ranged read of some tens of KiB is all that a recovery needs. Its room is set
//! aside when the segment is begun; lines that are not used stay zeros, and are not counted.
//!
//! Of an encrypted volume, frames are sealed each for itself, by the key of the segment that they were born in. The index says in the clear
//! what they are of, and ends with a seal over header and lines: what a store made up is not taken for what was written.

use super::frame::EXTRA_LEN_MAX;
use super::header::Extents;
use super::index::{seal_line, seal_of};
use super::seal::{Seal, SealKey};
use super::{
    Codec, Entry, EntryKind, FEATURE_SEALED, FEATURE_ZSTD, Frame, FrameError, FrameKind, HEADER_LEN, Header,
    INDEX_ENTRY_LEN, ObjectType, Pointer, SegmentNumber,
};
use crate::FormatError;
use crate::record::{crc32c, has_crc32c};
use restblk_types::VolumeId;

/// Bytes of a segment's object at the most.
pub const SEGMENT_LEN_MAX: usize = 8 << 20;
/// Blocks in a segment at the most; well-packed ones are shorter than [`SEGMENT_LEN_MAX`].
pub const SEGMENT_BLOCKS_MAX: usize = 4096;

/// After so many frames in a row that did not pack, one in so many is tried; the longer it goes on,
const MISSES_MAX: usize = 8;
/// the fewer: one in so many at last, 2 MiB.
const LOOK_EVERY_MAX: usize = 64;

/// What a frame takes beyond its plain bytes at the most: its header, and the room up to the unit of a pointer's length.
pub const FRAME_ROOM: usize = EXTRA_LEN_MAX + Pointer::LEN_UNIT as usize;

/// A segment that is being made.
#[derive(Debug)]
pub struct SegmentBuilder {
    number: SegmentNumber,
    codec: Codec,
    key: Option<SealKey>,
    bytes: Vec<u8>,
    lines: usize,
    entries: Vec<Entry>,
    /// Frames that did not pack, one after the other.
    misses: usize,
    features: u32,
    journal: u64,
}

impl SegmentBuilder {
    /// Begins a segment with room for so many lines.
    #[must_use]
    pub fn new(number: SegmentNumber, lines: usize, codec: Codec) -> Self {
        Self::in_buffer(number, lines, codec, Vec::new())
    }

    /// The same in the memory of a buffer, whatever that holds.
    #[must_use]
    pub fn in_buffer(number: SegmentNumber, lines: usize, codec: Codec, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_LEN + lines * INDEX_ENTRY_LEN, 0);
        Self {
            number,
            codec,
            key: None,
            bytes: buffer,
            lines,
            entries: Vec::with_capacity(lines),
            misses: 0,
            features: 0,
            journal: 0,
        }
    }

    /// The same, empty, of an encrypted volume: with the segment's key.
    #[must_use]
    pub fn sealed(mut self, key: Option<SealKey>) -> Self {
        if key.is_some() {
            self.bytes.resize(self.bytes.len() + INDEX_ENTRY_LEN, 0);
            self.features |= FEATURE_SEALED;
        }
        self.key = key;
        self
    }

    /// The same, after so many frames that did not pack: those of the segment before, most likely.
    #[must_use]
    pub fn after_misses(mut self, misses: usize) -> Self {
        self.misses = misses;
        self
    }

    /// Frames that did not pack, one after the other, up to now.
    #[must_use]
    pub fn misses(&self) -> usize {
        self.misses
    }

    /// Which one it is.
    #[must_use]
    pub fn number(&self) -> SegmentNumber {
        self.number
    }

    /// What is in it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_full(&self, more: usize) -> bool {
        self.entries.len() == self.lines || self.bytes.len() + more > SEGMENT_LEN_MAX
    }

    /// Adds a frame that is born here; `None` where it does not fit any more.
    ///
    /// # Panics
    /// Where the bytes are not as many as a frame of this kind has.
    pub fn push(&mut self, kind: FrameKind, first: u64, plain: &[u8]) -> Option<Pointer> {
        // Packing never makes a frame longer than this: what does not get shorter is stored as it is.
        if self.is_full(plain.len() + FRAME_ROOM) {
            return None;
        }
        let offset = u32::try_from(self.bytes.len()).ok()?;
        let number = self.number;
        let born = |len: usize| Pointer::new(number, offset, u32::try_from(len).ok()?, 0);
        let (codec, key) = (self.worthwhile(), self.key.as_ref());
        let origin = Frame::encode(kind, first, plain, codec, key, born, &mut self.bytes)?;
        self.note(codec);
        if self.bytes.len() - (offset as usize) < plain.len() {
            self.misses = 0;
        } else {
            self.misses += 1;
        }
        let count = if kind == FrameKind::Data {
            plain.len() / super::BLOCK
        } else {
            1
        };
        self.list(first, u32::try_from(count).ok()?, kind, origin, offset)
            .then_some(origin)
    }

    /// The codec, but for most of what follows frames that did not pack: looking takes as long as packing.
    fn worthwhile(&self) -> Codec {
        let every = (self.misses / MISSES_MAX)
            .next_power_of_two()
            .clamp(MISSES_MAX, LOOK_EVERY_MAX);
        if self.misses >= MISSES_MAX && !self.misses.is_multiple_of(every) {
            Codec::None
        } else {
            self.codec
        }
    }

    fn note(&mut self, codec: Codec) {
        if codec == Codec::Zstd {
            self.features |= FEATURE_ZSTD;
        }
    }

    /// Adds the line of the frame that was appended at `offset`, and pads it.
    fn list(&mut self, first: u64, count: u32, kind: FrameKind, origin: Pointer, offset: u32) -> bool {
        let Ok(len) = u32::try_from(self.bytes.len() - offset as usize) else {
            return false;
        };
        self.entries.push(Entry {
            first,
            count,
            kind: EntryKind::Frame {
                kind,
                origin,
                offset,
                len,
            },
        });
        let unit = Pointer::PLACE_UNIT as usize;
        self.bytes.resize(self.bytes.len().next_multiple_of(unit), 0);
        true
    }

    /// Adds blocks that read as zeros from now on; false where the segment is full.
    #[must_use]
    pub fn push_hole(&mut self, first: u64, count: u32) -> bool {
        if self.is_full(0) {
            return false;
        }
        self.entries.push(Entry {
            first,
            count,
            kind: EntryKind::Hole,
        });
        true
    }

    /// Adds a frame of another segment as it is stored there, after checking it; false where the segment is full.
    pub fn push_moved(&mut self, entry: &Entry, stored: &[u8]) -> Result<bool, FrameError> {
        let EntryKind::Frame { kind, origin, .. } = entry.kind else {
            return Err(FrameError::Header);
        };
        if self.is_full(stored.len() + 16) {
            return Ok(false);
        }
        let codec = Frame::check_stored(stored, origin)?.codec;
        let Ok(offset) = u32::try_from(self.bytes.len()) else {
            return Ok(false);
        };
        self.bytes.extend_from_slice(stored);
        self.note(codec);
        Ok(self.list(entry.first, entry.count, kind, origin, offset))
    }

    /// Adds a frame of another segment, some blocks of which are zeros now because nobody reaches them; false where the
    /// segment is full. It keeps its address, and with it the key of the segment that it was born in. Whatever the volume chose, it is packed
    /// by LZ4: the zeros are what it is written for, and who has cloned the volume need not know another codec since.
    #[must_use]
    pub fn push_thinned(&mut self, entry: &Entry, plain: &[u8], born_in: Option<&SealKey>) -> bool {
        let EntryKind::Frame { kind, origin, .. } = entry.kind else {
            return false;
        };
        if self.is_full(plain.len() + FRAME_ROOM) {
            return false;
        }
        let Ok(offset) = u32::try_from(self.bytes.len()) else {
            return false;
        };
        let kept = |_| Some(origin);
        let out = &mut self.bytes;
        let encoded = Frame::encode(kind, entry.first, plain, Codec::Lz4, born_in, kept, out);
        encoded.is_some() && self.list(entry.first, entry.count, kind, origin, offset)
    }

    /// The same, with the position in the writer's journal after the last write that is in it.
    #[must_use]
    pub fn journalled(mut self, journal: u64) -> Self {
        self.journal = journal;
        self
    }

    /// The object's bytes, and its index.
    #[must_use]
    pub fn finish(
        mut self,
        volume: VolumeId,
        epoch: u32,
        sequence: u32,
        nonce: [u8; 16],
    ) -> (Vec<u8>, Vec<Entry>) {
        // A pointer's length is rounded up, and a read by it must not reach past the end.
        let end = self.entries.last().and_then(|entry| entry.pointer(0));
        if let Some(last) = end.filter(|last| last.segment() == self.number) {
            let end = last.offset() as usize + last.len() as usize;
            self.bytes.resize(self.bytes.len().max(end), 0);
        }
        let header = Header {
            object: ObjectType::Segment,
            incompat: self.features,
            read_only_because: 0,
            volume,
            nonce,
            epoch,
            sequence,
            segment: Some(self.number),
            journal: self.journal,
        };
        let mut index = lines(&self.entries);
        if let Some(key) = &self.key {
            let seal = key.seal(&bound(&header, &index, self.bytes.len()), &mut []);
            index.extend_from_slice(&seal_line(seal));
        }
        let extents = Extents {
            body_len: length(index.len()),
            body_crc: crc32c(&index),
            object_len: length(self.bytes.len()),
        };
        self.bytes[HEADER_LEN..][..index.len()].copy_from_slice(&index);
        self.bytes[..HEADER_LEN].copy_from_slice(&header.encode(extents));
        (self.bytes, self.entries)
    }
}

fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn lines(entries: &[Entry]) -> Vec<u8> {
    let mut lines = vec![0; entries.len() * INDEX_ENTRY_LEN];
    for (entry, line) in entries.iter().zip(lines.chunks_mut(INDEX_ENTRY_LEN)) {
        entry.encode(line);
    }
    lines
}

/// What the seal of a segment's index is over: the header, but for the checksum of an index that has the seal, and the lines.
fn bound(header: &Header, lines: &[u8], object_len: usize) -> Vec<u8> {
    let extents = Extents {
        body_len: length(lines.len() + INDEX_ENTRY_LEN),
        body_crc: 0,
        object_len: length(object_len),
    };
    let mut bound = header.encode(extents).to_vec();
    bound.extend_from_slice(lines);
    bound
}

/// The part of a segment before its frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// Whose it is, and which one.
    pub header: Header,
    /// What its frames are of.
    pub entries: Vec<Entry>,
    /// The object's length in bytes.
    pub object_len: u32,
    seal: Option<Seal>,
}

impl SegmentHead {
    /// How many bytes of the object's start [`Self::decode`] needs; `bytes` are at least the first [`HEADER_LEN`].
    pub fn len(bytes: &[u8]) -> Result<usize, FormatError> {
        let (_, extents) = Header::decode(bytes)?;
        Ok(HEADER_LEN + usize::try_from(extents.body_len).unwrap_or(usize::MAX / 2))
    }

    /// Reads header and index from the start of a segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (header, extents) = Header::decode(bytes)?;
        if header.object != ObjectType::Segment {
            return Err(FormatError::Damaged("it is no segment".to_owned()));
        }
        let index = usize::try_from(extents.body_len)
            .ok()
            .and_then(|len| bytes[HEADER_LEN..].get(..len))
            .ok_or_else(|| FormatError::Damaged("its index is cut off".to_owned()))?;
        if !has_crc32c(index, extents.body_crc) {
            return Err(FormatError::Damaged("its index's checksum is wrong".to_owned()));
        }
        let (mut lines, []) = index.as_chunks() else {
            return Err(FormatError::Damaged("its index has half a line".to_owned()));
        };
        let mut seal = None;
        if let [before @ .., last] = lines
            && header.incompat & FEATURE_SEALED != 0
        {
            seal = seal_of(last);
            lines = if seal.is_some() { before } else { lines };
        }
        let entries = lines.iter().map(Entry::decode).collect::<Result<_, _>>()?;
        Ok(Self {
            header,
            entries,
            object_len: extents.object_len,
            seal,
        })
    }

    /// Whether a holder of the segment's key wrote all of this, and nobody changed it since.
    #[must_use]
    pub fn is_sealed(&self, key: &SealKey) -> bool {
        let bound = bound(&self.header, &lines(&self.entries), self.object_len as usize);
        self.seal.is_some_and(|seal| key.open(&seal, &bound, &mut []))
    }
}
