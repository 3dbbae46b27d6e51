//! Where each blob is: from the hash of its key to a place, 16 bytes each and what the table takes.
//!
//! Two keys of one hash share a place; the one that was put last has it, and for the other what is there is a miss.

use crate::region::{ALIGN, BLOB_LEN_MAX, REGION_LEN};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};

/// Locks, so that readers seldom meet.
const SHARDS: usize = 16;

/// Where a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Sequence of its region.
    pub(crate) region: u64,
    pub(crate) offset: u32,
    /// Rounded up to a multiple of 16.
    pub(crate) len: u32,
}

/// region 33 | offset/16 18 | length/16 12 | was read 1
#[derive(Clone, Copy)]
struct Packed(u64);

const OFFSET_BITS: u32 = 18;
const LEN_BITS: u32 = 12;

const _: () = assert!(REGION_LEN / ALIGN <= 1 << OFFSET_BITS && (BLOB_LEN_MAX + 64) / ALIGN < 1 << LEN_BITS);

impl Packed {
    fn new(place: Place) -> Self {
        let (offset, len) = (
            u64::from(place.offset) / ALIGN as u64,
            u64::from(place.len).div_ceil(ALIGN as u64),
        );
        Self(((place.region << OFFSET_BITS | offset) << LEN_BITS | len) << 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "18 and 12 bits")]
    fn place(self) -> Place {
        let bits = self.0 >> 1;
        let part = |bits: u64, of: u32| (bits & ((1 << of) - 1)) as u32 * ALIGN as u32;
        Place {
            region: bits >> (OFFSET_BITS + LEN_BITS),
            offset: part(bits >> LEN_BITS, OFFSET_BITS),
            len: part(bits, LEN_BITS),
        }
    }

    fn is_at(self, region: u64, offset: u32) -> bool {
        let place = self.place();
        place.region == region && place.offset == offset
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("hashes are whole numbers");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Shard = HashMap<u64, Packed, BuildHasherDefault<AsIs>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Index([Mutex<Shard>; SHARDS]);

impl Index {
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Not the bits that the map goes by first.
        let at = (hash >> 40) as usize % SHARDS;
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is; notes that it was asked for.
    pub(crate) fn find(&self, hash: u64) -> Option<Place> {
        let mut shard = self.shard(hash);
        let packed = shard.get_mut(&hash)?;
        packed.0 |= 1;
        Some(packed.place())
    }

    pub(crate) fn has(&self, hash: u64) -> bool {
        self.shard(hash).contains_key(&hash)
    }

    pub(crate) fn put(&self, hash: u64, place: Place) {
        self.shard(hash).insert(hash, Packed::new(place));
    }

    /// Whether it is there, and was asked for since it was put there.
    pub(crate) fn was_read(&self, hash: u64, region: u64, offset: u32) -> bool {
        let shard = self.shard(hash);
        shard
            .get(&hash)
            .is_some_and(|found| found.is_at(region, offset) && found.0 & 1 == 1)
    }

    /// Forgets it, where it is there still.
    pub(crate) fn forget(&self, hash: u64, region: u64, offset: u32) {
        if let Slot::Occupied(found) = self.shard(hash).entry(hash)
            && found.get().is_at(region, offset)
        {
            found.remove();
        }
    }

    pub(crate) fn len(&self) -> usize {
        let lens = self
            .0
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len());
        lens.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_as_they_are() {
        let index = Index::default();
        for region in [0, 1, (1 << 33) - 1] {
            for (offset, len) in [(0, 16), (32 << 10, 4160), ((4 << 20) - 16, 61_488)] {
                let place = Place { region, offset, len };
                index.put(5, place);
                assert_eq!(index.find(5), Some(place));
            }
        }
        assert_eq!((index.find(6), index.len()), (None, 1));
    }

    #[test]
    fn only_what_is_there_still_is_forgotten() {
        let index = Index::default();
        let place = |region| Place {
            region,
            offset: 64,
            len: 32,
        };
        index.put(5, place(1));
        assert!(index.find(5).is_some());
        index.put(5, place(2));
        index.forget(5, 1, 64);
        assert!(index.has(5), "it has moved on");
        assert!(!index.was_read(5, 2, 64) && !index.was_read(5, 1, 64));
        index.find(5);
        assert!(index.was_read(5, 2, 64));
        index.forget(5, 2, 64);
        assert!(!index.has(5));
    }
}
