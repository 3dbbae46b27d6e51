//! The first 96 bytes of every object of a log volume.
//!
//! ```text
//!  0  8  magic "restblk\n"
//!  8  1  type: 'E' epoch, 'H' head, 'S' segment, 'T' tombstone
//!  9  1  version of the header, 1
//! 10  2  0
//! 12  4  CRC of the 96 bytes with these four as zeros
//! 16  4  incompat     features without which the object is misread
//! 20  4  ro_compat    features without which the volume must not be changed
//! 24 16  volume       whose object it is: one copied to another volume's name is told
//! 40 16  nonce        the writer's: whose create won, when the answer was lost
//! 56  4  epoch
//! 60  4  sequence     in the series of this epoch; with epoch and type the object's name, should it be moved
//! 64  4  segment      kind and number of a segment; else 0
//! 68  4  body length  JSON, or a segment's index
//! 72  4  body CRC
//! 76  4  object length in bytes: a shorter one was cut off
//! 80  8  journal      in its writer's journal, the position after the last write that is in it; 0 without a journal
//! 88  8  0
//! ```

use crate::FormatError;
use crate::log::SegmentNumber;
use crate::log::seal::{SEAL_LEN, Seal, SealKey};
use crate::record::{crc32c, has_crc32c};
use restblk_types::VolumeId;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a header.
pub const HEADER_LEN: usize = 96;

/// A seal in hexadecimal digits, and a newline.
const SEAL_LINE_LEN: usize = 2 * SEAL_LEN + 1;

const MAGIC: [u8; 8] = *b"restblk\n";
const VERSION: u8 = 1;
/// In `incompat`: what is in it, or what it leads to, is encrypted.
pub const FEATURE_SEALED: u32 = 1;
/// In `incompat`: so is some of it packed by Zstandard.
pub const FEATURE_ZSTD: u32 = 2;
/// In `incompat` of a head: the volume is a part of a snapshot that is being received, and of no use until it is whole.
pub const FEATURE_RECEIVING: u32 = 4;
/// Features that this version knows.
const INCOMPAT: u32 = FEATURE_SEALED | FEATURE_ZSTD | FEATURE_RECEIVING;
const RO_COMPAT: u32 = 0;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectType {
    /// Who may write.
    Epoch,
    /// The volume's state at one moment.
    Head,
    /// Frames.
    Segment,
    /// Nobody writes here any more.
    Tombstone,
}

impl ObjectType {
    const fn letter(self) -> u8 {
        match self {
            Self::Epoch => b'E',
            Self::Head => b'H',
            Self::Segment => b'S',
            Self::Tombstone => b'T',
        }
    }

    fn from_letter(letter: u8) -> Option<Self> {
        [Self::Epoch, Self::Head, Self::Segment, Self::Tombstone]
            .into_iter()
            .find(|one| one.letter() == letter)
    }
}

/// What every object says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub object: ObjectType,
    /// Features without which it is misread, of those that this version knows.
    pub incompat: u32,
    /// Features that forbid this version to change the volume; 0 is the normal case.
    pub read_only_because: u32,
    /// Whose it is.
    pub volume: VolumeId,
    /// Its writer's.
    pub nonce: [u8; 16],
    /// The epoch it was written in.
    pub epoch: u32,
    /// Its number in its series.
    pub sequence: u32,
    /// For a segment, which one.
    pub segment: Option<SegmentNumber>,
    /// For a segment, the position in its writer's journal after the last write that is in it; 0 without a journal.
    pub journal: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    object: u8,
    version: u8,
    zero: U16,
    crc: U32,
    incompat: U32,
    ro_compat: U32,
    volume: [u8; 16],
    nonce: [u8; 16],
    epoch: U32,
    sequence: U32,
    segment: U32,
    body_len: U32,
    body_crc: U32,
    object_len: U32,
    journal: U64,
    reserved: [u8; 8],
}

const _: () = assert!(size_of::<Raw>() == HEADER_LEN);

/// Where a header says that the rest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extents {
    /// Bytes after the header, covered by `body_crc`.
    pub(super) body_len: u32,
    pub(super) body_crc: u32,
    pub(super) object_len: u32,
}

impl Header {
    pub(super) fn encode(&self, extents: Extents) -> [u8; HEADER_LEN] {
        let mut raw = Raw {
            magic: MAGIC,
            object: self.object.letter(),
            version: VERSION,
            zero: U16::ZERO,
            crc: U32::ZERO,
            incompat: self.incompat.into(),
            ro_compat: self.read_only_because.into(),
            volume: *self.volume.as_bytes(),
            nonce: self.nonce,
            epoch: self.epoch.into(),
            sequence: self.sequence.into(),
            segment: self.segment.map_or(0, SegmentNumber::to_bits).into(),
            body_len: extents.body_len.into(),
            body_crc: extents.body_crc.into(),
            object_len: extents.object_len.into(),
            journal: self.journal.into(),
            reserved: [0; 8],
        };
        raw.crc = crc32c(raw.as_bytes()).into();
        zerocopy::transmute!(raw)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, Extents), FormatError> {
        let damaged = |what: &str| FormatError::Damaged(what.to_owned());
        let Ok((raw, _)) = Raw::ref_from_prefix(bytes) else {
            return Err(damaged("it is shorter than its header"));
        };
        if raw.magic != MAGIC {
            return Err(FormatError::NotARecord);
        }
        let mut unsigned = [0; HEADER_LEN];
        unsigned.copy_from_slice(raw.as_bytes());
        unsigned[12..16].fill(0);
        if !has_crc32c(&unsigned, raw.crc.get()) {
            return Err(damaged("the header's checksum is wrong"));
        }
        let unknown = raw.incompat.get() & !INCOMPAT;
        if raw.version != VERSION || unknown != 0 {
            let mut names = vec![format!("version {}", raw.version)];
            names.retain(|_| raw.version != VERSION);
            names.extend(
                (0..32)
                    .filter(|bit| unknown >> bit & 1 == 1)
                    .map(|bit| format!("bit {bit}")),
            );
            return Err(FormatError::Incompatible(names));
        }
        let object = ObjectType::from_letter(raw.object)
            .ok_or_else(|| FormatError::Incompatible(vec![format!("object type {}", raw.object)]))?;
        let segment = SegmentNumber::from_bits(raw.segment.get());
        if segment.is_some() != (object == ObjectType::Segment) {
            return Err(damaged("a segment has a number and nothing else has"));
        }
        let header = Self {
            object,
            incompat: raw.incompat.get(),
            read_only_because: raw.ro_compat.get() & !RO_COMPAT,
            volume: VolumeId::from_bytes(raw.volume),
            nonce: raw.nonce,
            epoch: raw.epoch.get(),
            sequence: raw.sequence.get(),
            segment,
            journal: raw.journal.get(),
        };
        let extents = Extents {
            body_len: raw.body_len.get(),
            body_crc: raw.body_crc.get(),
            object_len: raw.object_len.get(),
        };
        Ok((header, extents))
    }

    /// Reads the header alone, of any object: whose it is, and by whose nonce.
    pub fn peek(bytes: &[u8]) -> Result<Self, FormatError> {
        Ok(Self::decode(bytes)?.0)
    }

    /// The same, with the length in bytes that the object says it has.
    pub fn peek_with_len(bytes: &[u8]) -> Result<(Self, u64), FormatError> {
        let (header, extents) = Self::decode(bytes)?;
        Ok((header, extents.object_len.into()))
    }

    /// An object of this header and a JSON body; with a key, a line follows that says that a holder of the key wrote it.
    pub(super) fn with_json(&self, json: &[u8], key: Option<&SealKey>) -> Vec<u8> {
        let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let line = if key.is_some() { SEAL_LINE_LEN } else { 0 };
        let extents = Extents {
            body_len: length(json.len()),
            body_crc: crc32c(json),
            object_len: length(HEADER_LEN + json.len() + 1 + line),
        };
        let mut bytes = self.encode(extents).to_vec();
        bytes.extend_from_slice(json);
        bytes.push(b'\n');
        if let Some(key) = key {
            let seal = key.seal(&bytes, &mut []);
            for byte in seal.to_bytes() {
                bytes.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
            bytes.push(b'\n');
        }
        bytes
    }

    /// Whether a holder of the key wrote this object of a JSON body, and nobody changed it since.
    #[must_use]
    pub(super) fn is_sealed(bytes: &[u8], key: &SealKey) -> bool {
        let Ok((_, extents)) = Self::decode(bytes) else {
            return false;
        };
        let Some((bound, line)) = usize::try_from(extents.object_len)
            .ok()
            .and_then(|len| bytes.get(..len)?.split_last_chunk::<SEAL_LINE_LEN>())
        else {
            return false;
        };
        let mut seal = [0; SEAL_LEN];
        for (byte, digits) in seal.iter_mut().zip(line.as_chunks::<2>().0) {
            let digits = std::str::from_utf8(digits).ok();
            match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(read) => *byte = read,
                None => return false,
            }
        }
        key.open(&Seal::from_bytes(&seal), bound, &mut [])
    }

    /// The header and the JSON of a whole object of this type.
    pub(super) fn json(object: ObjectType, bytes: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let (header, extents) = Self::decode(bytes)?;
        if header.object != object {
            return Err(FormatError::WrongType {
                expected: name(object),
                found: name(header.object).to_owned(),
            });
        }
        let json = usize::try_from(extents.body_len)
            .ok()
            .and_then(|len| bytes[HEADER_LEN..].get(..len))
            .ok_or_else(|| {
                FormatError::Damaged(format!(
                    "{} bytes are there of {}",
                    bytes.len(),
                    extents.object_len
                ))
            })?;
        if !has_crc32c(json, extents.body_crc) {
            return Err(FormatError::Damaged("its checksum is wrong".to_owned()));
        }
        Ok((header, json))
    }
}

fn name(object: ObjectType) -> &'static str {
    match object {
        ObjectType::Epoch => "epoch",
        ObjectType::Head => "head",
        ObjectType::Segment => "segment",
        ObjectType::Tombstone => "tombstone",
    }
}
