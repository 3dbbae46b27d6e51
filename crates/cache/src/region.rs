//! The bytes of a region.
//!
//! ```text
//! 0       8  magic "restblkC"          16  4  entries
//! 8       8  sequence of the region    20  4  CRC32C of the header without this, and of the entries
//! 24      8  0
//! 32         entries, 16 bytes each: 8 hash of the key, 4 offset of the blob in the region, 4 its length
//! 32 KiB     blobs, each at a multiple of 16: 32 key, 4 length, 4 CRC32C of key, length and bytes, 8 zero; then the bytes
//! ```
//! Numbers are little-endian. A region lies where its sequence says (`sequence % regions`): a table that is not in its place, from when the
//! file had another size say, is none.

use crate::file::{Block, blocks};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest, checksum};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a region.
pub const REGION_LEN: usize = if cfg!(feature = "shuttle") {
    128 << 10
} else {
    4 << 20
};
/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of the longest blob.
pub const BLOB_LEN_MAX: usize = 60 << 10;

/// Bytes before the blobs.
pub(crate) const TABLE_LEN: usize = 32 << 10;
const ENTRIES_MAX: usize = (TABLE_LEN - HEADER_LEN) / ENTRY_LEN;
const HEADER_LEN: usize = size_of::<RawHeader>();
const ENTRY_LEN: usize = size_of::<RawEntry>();
/// Bytes before each blob.
const PREFIX_LEN: usize = size_of::<RawPrefix>();
/// Blobs begin at multiples of this.
pub(crate) const ALIGN: usize = 16;
const MAGIC: [u8; 8] = *b"restblkC";

const _: () = assert!(HEADER_LEN == 32 && ENTRY_LEN == 16 && PREFIX_LEN == 48);

/// What a blob is found by: it names the same bytes for ever.
pub type Key = [u8; KEY_LEN];

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    sequence: U64,
    entries: U32,
    crc: U32,
    zero: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    hash: U64,
    offset: U32,
    len: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPrefix {
    key: Key,
    len: U32,
    crc: U32,
    zero: U64,
}

/// A blob in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: u64,
    pub(crate) offset: u32,
    /// Of prefix and bytes.
    pub(crate) len: u32,
}

/// The hash of a key.
pub(crate) fn hash(key: &Key) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, key)
}

fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    u32::try_from(digest.finalize()).unwrap_or_default()
}

fn prefix_crc(key: &Key, len: U32, bytes: &[u8]) -> u32 {
    crc32c(&[key, len.as_bytes(), bytes])
}

fn table_crc(header: &RawHeader, entries: &[u8]) -> u32 {
    crc32c(&[
        &header.magic,
        header.sequence.as_bytes(),
        header.entries.as_bytes(),
        entries,
    ])
}

/// A region that is being filled.
pub(crate) struct Filling {
    pub(crate) sequence: u64,
    bytes: Vec<Block>,
    entries: Vec<Entry>,
    end: usize,
}

impl std::fmt::Debug for Filling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filling")
            .field("sequence", &self.sequence)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Filling {
    /// In the memory of an older one, where there is one: a new one is a thousand pages that the kernel finds and clears.
    pub(crate) fn new(sequence: u64, older: Option<Self>) -> Self {
        Self {
            sequence,
            bytes: older.map_or_else(|| blocks(REGION_LEN), |older| older.bytes),
            entries: Vec::new(),
            end: TABLE_LEN,
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Puts a blob into it; `None` where there is no room.
    #[expect(clippy::cast_possible_truncation, reason = "a region has 4 MiB")]
    pub(crate) fn put(&mut self, key: &Key, blob: &[u8]) -> Option<Entry> {
        let len = PREFIX_LEN + blob.len();
        let end = (self.end + len).next_multiple_of(ALIGN);
        if end > REGION_LEN || self.entries.len() == ENTRIES_MAX {
            return None;
        }
        let blob_len = U32::new(blob.len() as u32);
        let prefix = RawPrefix {
            key: *key,
            len: blob_len,
            crc: prefix_crc(key, blob_len, blob).into(),
            zero: U64::ZERO,
        };
        let entry = Entry {
            hash: hash(key),
            offset: self.end as u32,
            len: len as u32,
        };
        let room = &mut self.bytes.as_mut_bytes()[self.end..][..len];
        room[..PREFIX_LEN].copy_from_slice(prefix.as_bytes());
        room[PREFIX_LEN..].copy_from_slice(blob);
        self.entries.push(entry);
        self.end = end;
        Some(entry)
    }

    /// The bytes of an entry, with its prefix.
    pub(crate) fn get(&self, offset: u32, len: u32) -> Option<&[u8]> {
        self.bytes.as_bytes().get(offset as usize..)?.get(..len as usize)
    }

    /// Writes the table in front of the blobs: no more are put.
    #[expect(clippy::cast_possible_truncation, reason = "a region has 4 MiB")]
    pub(crate) fn seal(&mut self) {
        let entries: Vec<RawEntry> = self.entries.iter().map(RawEntry::from).collect();
        let mut header = RawHeader {
            magic: MAGIC,
            sequence: self.sequence.into(),
            entries: U32::new(entries.len() as u32),
            crc: U32::ZERO,
            zero: U64::ZERO,
        };
        header.crc = table_crc(&header, entries.as_bytes()).into();
        let bytes = self.bytes.as_mut_bytes();
        bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
        bytes[HEADER_LEN..][..entries.len() * ENTRY_LEN].copy_from_slice(entries.as_bytes());
    }

    /// What of a sealed region is written: whole blocks of the disk.
    pub(crate) fn sealed(&self) -> &[u8] {
        &self.bytes.as_bytes()[..self.end.next_multiple_of(size_of::<Block>())]
    }
}

impl From<&Entry> for RawEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            hash: entry.hash.into(),
            offset: entry.offset.into(),
            len: entry.len.into(),
        }
    }
}

/// Sequence and entries of a region, from its first [`TABLE_LEN`] bytes; `None` where they are none.
pub(crate) fn table(bytes: &[u8]) -> Option<(u64, Vec<Entry>)> {
    let (header, rest) = RawHeader::read_from_prefix(bytes).ok()?;
    let len = header.entries.get() as usize;
    let raw = rest.get(..len.checked_mul(ENTRY_LEN)?)?;
    if header.magic != MAGIC || len > ENTRIES_MAX || header.crc != table_crc(&header, raw) {
        return None;
    }
    let entries = <[RawEntry]>::ref_from_bytes(raw).ok()?;
    let entries = entries.iter().map(|raw| Entry {
        hash: raw.hash.get(),
        offset: raw.offset.get(),
        len: raw.len.get(),
    });
    Some((header.sequence.get(), entries.collect()))
}

/// The blob of an entry's bytes; `None` where they are not those of this key.
pub(crate) fn blob(bytes: &Bytes, key: &Key) -> Option<Bytes> {
    let (found, len) = checked(bytes)?;
    (found == *key).then(|| bytes.slice(PREFIX_LEN..PREFIX_LEN + len))
}

/// Key and blob of an entry's bytes, whatever key it has.
pub(crate) fn any_blob(bytes: &[u8]) -> Option<(Key, &[u8])> {
    let (key, len) = checked(bytes)?;
    Some((key, &bytes[PREFIX_LEN..PREFIX_LEN + len]))
}

fn checked(bytes: &[u8]) -> Option<(Key, usize)> {
    let (prefix, rest) = RawPrefix::read_from_prefix(bytes).ok()?;
    let len = prefix.len.get() as usize;
    let plain = rest.get(..len)?;
    (prefix.crc == prefix_crc(&prefix.key, prefix.len, plain)).then_some((prefix.key, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_and_a_changed_bit_is_not_believed() {
        let mut filling = Filling::new(77, None);
        let one = filling.put(&[1; 32], b"one").unwrap();
        let two = filling.put(&[2; 32], &[9; BLOB_LEN_MAX]).unwrap();
        filling.seal();
        let mut bytes = filling.sealed().to_vec();
        let (sequence, entries) = table(&bytes).unwrap();
        assert_eq!((sequence, entries.as_slice()), (77, &[one, two][..]));
        let of = |bytes: &[u8], entry: Entry| {
            Bytes::copy_from_slice(&bytes[entry.offset as usize..][..entry.len as usize])
        };
        assert_eq!(blob(&of(&bytes, one), &[1; 32]).unwrap(), "one");
        assert_eq!(blob(&of(&bytes, two), &[2; 32]).unwrap(), vec![9; BLOB_LEN_MAX]);
        assert_eq!(blob(&of(&bytes, two), &[1; 32]), None, "another key");
        assert_eq!(any_blob(&of(&bytes, one)).unwrap(), ([1; 32], &b"one"[..]));
        for at in 0..one.len as usize {
            let mut bad = of(&bytes, one).to_vec();
            bad[at] ^= 4;
            // The zeros of a prefix mean nothing.
            if !(40..48).contains(&at) {
                assert_eq!(blob(&bad.into(), &[1; 32]), None, "byte {at}");
            }
        }
        for at in [0, 9, 17, 21, 40, 60] {
            bytes[at] ^= 1;
            assert!(table(&bytes).is_none(), "byte {at}");
            bytes[at] ^= 1;
        }
        assert!(table(&[0; TABLE_LEN]).is_none() && table(&[]).is_none());
    }

    #[test]
    fn a_region_ends_where_its_table_or_its_bytes_do() {
        let mut filling = Filling::new(0, None);
        let small = (0_u32..)
            .take_while(|n| filling.put(&key(*n), b"x").is_some())
            .count();
        assert_eq!(small, ENTRIES_MAX);
        let mut filling = Filling::new(0, None);
        let large = (0_u32..)
            .take_while(|n| filling.put(&key(*n), &[1; 60_000]).is_some())
            .count();
        assert_eq!(large, (REGION_LEN - TABLE_LEN) / 60_048);
        assert!(filling.sealed().len() <= REGION_LEN);
    }

    fn key(n: u32) -> Key {
        let mut key = [0; KEY_LEN];
        key[..4].copy_from_slice(&n.to_le_bytes());
        key
    }
}
