//! What a volume has on its host, and frames in the cache there.
//!
//! A cached frame is found by where it was born: volume, epoch, kind and sequence of the segment that it was written in, and its offset
//! there. That names the same bytes for ever, wherever collectors move the frame, and for clones too. Its pointer does not: the numbers of
//! segments that a dead epoch wrote after its first hole are given anew to its successor's.

use crate::journal::Disk;
use crate::memory::Memory;
use crate::shelf::Shelf;
use restblk_cache::{Cache, Key};
use restblk_format::log::{Frame, FrameError, Pointer, SealKey, SegmentNumber};
use std::sync::Arc;

/// What a volume has on its host.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The journal: its own.
    pub journal: Option<Arc<dyn Disk>>,
    /// The cache, which all volumes share.
    pub cache: Option<Arc<Cache>>,
    /// The memory, which all volumes share.
    pub memory: Arc<Memory>,
}

/// Where a segment was written first.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    /// Of the volume that wrote it.
    pub(crate) shelf: Shelf,
    pub(crate) epoch: u32,
    pub(crate) segment: SegmentNumber,
    pub(crate) sequence: u32,
}

impl Birth {
    /// The key of a frame of the segment.
    pub(crate) fn key(&self, pointer: Pointer) -> Key {
        let mut key = Key::default();
        let parts: [&[u8]; 5] = [
            self.shelf.volume.as_bytes(),
            &self.epoch.to_le_bytes(),
            &u32::from(self.segment.kind() as u8).to_le_bytes(),
            &self.sequence.to_le_bytes(),
            &pointer.offset().to_le_bytes(),
        ];
        for (to, from) in key.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        key
    }

    /// What seals its frames, where the volume is encrypted.
    pub(crate) fn seal_key(&self) -> Option<SealKey> {
        self.shelf.segment_key(self.epoch, self.segment)
    }

    /// A frame of the segment, from its bytes as they are stored.
    pub(crate) fn open(&self, pointer: Pointer, bytes: &[u8]) -> Result<Frame, FrameError> {
        Frame::decode(bytes, pointer, self.seal_key().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_format::log::Kind;
    use restblk_store::MemoryStore;
    use restblk_types::VolumeId;

    #[test]
    fn keys_differ_in_all_that_a_birth_has() {
        let number = |kind, number| SegmentNumber::new(kind, number).unwrap();
        let pointer = |offset| Pointer::new(number(Kind::Log, 9), offset, 640, 0).unwrap();
        let birth = |volume, epoch, segment, sequence| Birth {
            shelf: Shelf::new(Arc::new(MemoryStore::new()), VolumeId::from_bytes([volume; 16])),
            epoch,
            segment,
            sequence,
        };
        let log = number(Kind::Log, 9);
        let key = birth(1, 2, log, 3).key(pointer(1600));
        for other in [
            birth(2, 2, log, 3),
            birth(1, 3, log, 3),
            birth(1, 2, number(Kind::Map, 9), 3),
            birth(1, 2, log, 4),
        ] {
            assert_ne!(other.key(pointer(1600)), key, "{other:?}");
        }
        assert_ne!(birth(1, 2, log, 3).key(pointer(1616)), key);
        let renumbered = birth(1, 2, number(Kind::Log, 8), 3);
        assert_eq!(renumbered.key(pointer(1600)), key, "whatever its number is");
    }
}
