//! The journal: what was written and is not on the store yet, in a ring on the host's disk.
//!
//! ```text
//! 0       4096    8192                                    capacity
//! +-------+-------+---------------------------------------+
//! | label | label | records, round and round              |
//! +-------+-------+---------------------------------------+
//! ```
//! A **position** counts bytes of records since the journal was made, and never goes back; its place in the file is
//! `8192 + position % (capacity - 8192)`. A record says its own position, so one of an earlier round is told from this round's.
//!
//! Two labels are written in turn; the good one with the higher count holds. They say whose the journal is, where its records
//! begin, and which epochs may still take it up: a journal is replayed onto the state that its own writer left, never onto another host's.
//!
//! Record:
//! ```text
//!  0  4  CRC of the 60 bytes that follow
//!  4  4  "rbJ1"
//!  8  8  position
//! 16  8  first block
//! 24  4  blocks
//! 28  4  payload's length in bytes, 0 for a hole
//! 32  4  payload's CRC
//! 36  4  epoch: what an earlier life left beyond the end has a lower one (see `joined` in the label)
//! 40 24  0
//!        payload; zeros up to a multiple of 64
//! ```
//!
//! Of an encrypted volume, the payload is encrypted ([`super::seal`]), and the header, which is bound to it, differs in:
//! ```text
//!  4  4  "rbJ2"
//! 32  4  nonce, its first four bytes
//! 40  8  nonce, the rest
//! 48 16  tag
//! ```

use crate::FormatError;
use crate::log::BLOCK;
use crate::log::seal::{SEAL_LEN, Seal, SealKey};
use crate::record::{crc32c, has_crc32c};
use restblk_types::VolumeId;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a label.
pub const LABEL_LEN: usize = 4096;
/// Where the records begin.
pub const RECORDS_START: u64 = 2 * LABEL_LEN as u64;
/// Bytes of a record's header, and what its length is a multiple of.
pub const RECORD_UNIT: usize = 64;
/// Blocks in a record at the most: 2 MiB.
pub const RECORD_BLOCKS_MAX: usize = 512;

const LABEL_MAGIC: [u8; 8] = *b"rbjrnl1\n";
const RECORD_MAGIC: [u8; 4] = *b"rbJ1";
const SEALED_MAGIC: [u8; 4] = *b"rbJ2";

/// Whose a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Rises with every label.
    pub count: u64,
    /// The volume.
    pub volume: VolumeId,
    /// The file's length in bytes that is used.
    pub capacity: u64,
    /// The epoch whose writer wrote the records last, and the one that takes them up.
    pub epochs: [u32; 2],
    /// The position of the first record that may not be on the store.
    pub tail: u64,
    /// The position from which on records are of the second epoch: what an earlier life left there is told.
    pub joined: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLabel {
    magic: [u8; 8],
    crc: U32,
    zero: U32,
    count: U64,
    volume: [u8; 16],
    capacity: U64,
    epochs: [U32; 2],
    tail: U64,
    joined: U64,
}

impl Label {
    /// The place of this label in the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.count % 2 * LABEL_LEN as u64
    }

    /// The label's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; LABEL_LEN] {
        let mut raw = RawLabel {
            magic: LABEL_MAGIC,
            crc: U32::ZERO,
            zero: U32::ZERO,
            count: self.count.into(),
            volume: *self.volume.as_bytes(),
            capacity: self.capacity.into(),
            epochs: self.epochs.map(U32::new),
            tail: self.tail.into(),
            joined: self.joined.into(),
        };
        raw.crc = crc32c(raw.as_bytes()).into();
        let mut bytes = [0; LABEL_LEN];
        bytes[..size_of::<RawLabel>()].copy_from_slice(raw.as_bytes());
        bytes
    }

    /// Reads a label; `None` where there is none, or a torn one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (raw, _) = RawLabel::ref_from_prefix(bytes).ok()?;
        let mut unsigned = [0; size_of::<RawLabel>()];
        unsigned.copy_from_slice(raw.as_bytes());
        unsigned[8..12].fill(0);
        if raw.magic != LABEL_MAGIC || !has_crc32c(&unsigned, raw.crc.get()) {
            return None;
        }
        Some(Self {
            count: raw.count.get(),
            volume: VolumeId::from_bytes(raw.volume),
            capacity: raw.capacity.get(),
            epochs: raw.epochs.map(U32::get),
            tail: raw.tail.get(),
            joined: raw.joined.get(),
        })
    }

    /// The label that holds, of the two at a file's start.
    pub fn choose(start: &[u8]) -> Result<Self, FormatError> {
        let labels = start.chunks(LABEL_LEN).take(2).filter_map(Self::decode);
        labels
            .max_by_key(|label| label.count)
            .ok_or(FormatError::NotARecord)
    }
}

/// A write, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord<'a> {
    /// Where it begins.
    pub position: u64,
    /// The epoch of its writer.
    pub epoch: u32,
    /// The first block.
    pub first: u64,
    /// How many blocks.
    pub blocks: u32,
    /// The bytes of the blocks; none for a hole.
    pub data: &'a [u8],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    crc: U32,
    magic: [u8; 4],
    position: U64,
    first: U64,
    blocks: U32,
    len: U32,
    /// The payload's CRC, or the first bytes of a seal.
    check: [u8; 4],
    epoch: U32,
    /// Zeros, or the rest of a seal.
    rest: [u8; 24],
}

const _: () = assert!(size_of::<RawRecord>() == RECORD_UNIT);

impl RawRecord {
    fn new(magic: [u8; 4], record: &JournalRecord<'_>) -> Self {
        Self {
            crc: U32::ZERO,
            magic,
            position: record.position.into(),
            first: record.first.into(),
            blocks: record.blocks.into(),
            len: u32::try_from(record.data.len()).unwrap_or(u32::MAX).into(),
            check: [0; 4],
            epoch: record.epoch.into(),
            rest: [0; 24],
        }
    }

    fn finish(mut self) -> [u8; RECORD_UNIT] {
        self.crc = crc32c(&self.as_bytes()[4..]).into();
        zerocopy::transmute!(self)
    }

    /// A record of this header and payload.
    fn with<'a>(&self, data: &'a [u8]) -> JournalRecord<'a> {
        JournalRecord {
            position: self.position.get(),
            epoch: self.epoch.get(),
            first: self.first.get(),
            blocks: self.blocks.get(),
            data,
        }
    }
}

impl<'a> JournalRecord<'a> {
    /// Bytes that a record of so many bytes of data takes.
    #[must_use]
    pub fn stored_len(data: usize) -> usize {
        RECORD_UNIT + data.next_multiple_of(RECORD_UNIT)
    }

    /// The record's header; its data and their padding follow it in the file.
    #[must_use]
    pub fn header(&self) -> [u8; RECORD_UNIT] {
        let mut raw = RawRecord::new(RECORD_MAGIC, self);
        raw.check = crc32c(self.data).to_le_bytes();
        raw.finish()
    }

    /// The record, encrypted: header and data, whose padding follows in the file.
    #[must_use]
    pub fn seal(&self, key: &SealKey) -> Vec<u8> {
        let mut raw = RawRecord::new(SEALED_MAGIC, self);
        let mut bytes = Vec::with_capacity(RECORD_UNIT + self.data.len());
        bytes.resize(RECORD_UNIT, 0);
        bytes.extend_from_slice(self.data);
        let seal = key.seal(raw.as_bytes(), &mut bytes[RECORD_UNIT..]).to_bytes();
        let (check, rest) = seal.split_at(raw.check.len());
        raw.check.copy_from_slice(check);
        raw.rest.copy_from_slice(rest);
        bytes[..RECORD_UNIT].copy_from_slice(&raw.finish());
        bytes
    }

    /// Bytes of the record whose header this is, should it be the one of this position; `None` where it is not.
    #[must_use]
    pub fn len_at(header: &[u8], position: u64) -> Option<usize> {
        let (raw, _) = RawRecord::ref_from_prefix(header).ok()?;
        let good = [RECORD_MAGIC, SEALED_MAGIC].contains(&raw.magic)
            && raw.position.get() == position
            && has_crc32c(&raw.as_bytes()[4..], raw.crc.get());
        let len = usize::try_from(raw.len.get()).ok()?;
        let whole = len == 0
            || (raw.blocks.get() as usize <= RECORD_BLOCKS_MAX && len == raw.blocks.get() as usize * BLOCK);
        (good && whole && raw.blocks.get() > 0).then(|| Self::stored_len(len))
    }

    /// Reads the record of this position, decrypting it where it lies if there are keys, of epochs; `None` where the bytes are not that,
    /// whole, and encrypted or not as it should be.
    #[must_use]
    pub fn decode(bytes: &'a mut [u8], position: u64, keys: Option<&dyn Fn(u32) -> SealKey>) -> Option<Self> {
        let stored = Self::len_at(bytes, position)?;
        let (raw, rest) = RawRecord::mut_from_prefix(bytes.get_mut(..stored)?).ok()?;
        let data = rest.get_mut(..raw.len.get() as usize)?;
        let good = match keys {
            None => raw.magic == RECORD_MAGIC && has_crc32c(data, u32::from_le_bytes(raw.check)),
            Some(keys) => {
                let mut seal = [0; SEAL_LEN];
                let (check, rest) = seal.split_at_mut(raw.check.len());
                check.copy_from_slice(&raw.check);
                rest.copy_from_slice(&raw.rest);
                let bound = RawRecord::new(SEALED_MAGIC, &raw.with(data));
                raw.magic == SEALED_MAGIC
                    && keys(raw.epoch.get()).open(&Seal::from_bytes(&seal), bound.as_bytes(), data)
            }
        };
        good.then(|| raw.with(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::DataKey;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn other_keys(epoch: u32) -> SealKey {
        DataKey::new(Zeroizing::new([6; 32])).journal(VolumeId::from_bytes([7; 16]), epoch)
    }

    fn a_label(count: u64) -> Label {
        Label {
            count,
            volume: VolumeId::from_bytes([7; 16]),
            capacity: 1 << 30,
            epochs: [3, 4],
            tail: 640,
            joined: 1280,
        }
    }

    #[test]
    fn the_newer_good_label_holds() {
        let mut start = [a_label(8).encode(), a_label(9).encode()].concat();
        assert_eq!(Label::choose(&start).unwrap(), a_label(9));
        start[LABEL_LEN + 30] ^= 1;
        assert_eq!(Label::choose(&start).unwrap(), a_label(8));
        start[30] ^= 1;
        assert!(Label::choose(&start).is_err());
        assert!(Label::choose(&[]).is_err());
    }

    proptest! {
        #[test]
        fn a_record_comes_back_whole_or_not_at_all(
            position in any::<u64>(), epoch in any::<u32>(), first in any::<u64>(), blocks in 1..5_u32, hole in any::<bool>(), bit in any::<usize>(),
        ) {
            let data: Vec<u8> = (0..=250).cycle().take(blocks as usize * BLOCK).collect();
            let data = if hole { &[][..] } else { &data };
            let record = JournalRecord { position, epoch, first, blocks, data };
            let mut bytes = record.header().to_vec();
            bytes.extend_from_slice(data);
            bytes.resize(JournalRecord::stored_len(data.len()), 0);
            prop_assert_eq!(JournalRecord::len_at(&bytes, position), Some(bytes.len()));
            let keys = |epoch| DataKey::new(Zeroizing::new([5; 32])).journal(VolumeId::from_bytes([7; 16]), epoch);
            let mut sealed = record.seal(&keys(epoch));
            sealed.resize(bytes.len(), 0);
            prop_assert!(!sealed.windows(64).any(|some| data.starts_with(some)), "the data is there as it is");
            for (bytes, keys) in [(bytes, None), (sealed, Some(&keys as &dyn Fn(u32) -> SealKey))] {
                let decoded = |bytes: &[u8], position| {
                    JournalRecord::decode(&mut bytes.to_vec(), position, keys).map(|found| {
                        (found.position, found.epoch, found.first, found.blocks, found.data.to_vec())
                    })
                };
                prop_assert_eq!(decoded(&bytes, position), Some((position, epoch, first, blocks, data.to_vec())));
                prop_assert_eq!(decoded(&bytes, position.wrapping_add(64)), None);
                prop_assert_eq!(decoded(&bytes[..bytes.len() - 1], position), None);
                let mut bad = bytes.clone();
                let bit = bit % ((RECORD_UNIT + data.len()) * 8);
                bad[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(decoded(&bad, position), None);
                let other_way = keys.map_or(Some(&other_keys as &dyn Fn(u32) -> SealKey), |_| None);
                prop_assert!(JournalRecord::decode(&mut bytes.clone(), position, other_way).is_none());
                prop_assert!(JournalRecord::decode(&mut bytes.clone(), position, Some(&other_keys)).is_none());
            }
        }
    }
}
