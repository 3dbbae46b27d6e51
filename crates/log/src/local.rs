//! What a volume has on the host's own disks, and frames in the cache there.
//!
//! A cached frame is found by where it was born: volume, epoch, kind and sequence of the segment that it was written in, and its offset
//! there. That names the same bytes for ever, wherever collectors move the frame, and for clones too. Its pointer does not: the numbers of
//! segments that a dead epoch wrote after its first hole are given anew to its successor's.

use crate::journal::Disk;
use restblk_cache::{Cache, Key};
use restblk_format::log::{Kind, Pointer};
use restblk_types::VolumeId;
use std::sync::Arc;

/// What a volume has on the host's own disks.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The journal: its own.
    pub journal: Option<Arc<dyn Disk>>,
    /// The cache, which all volumes share.
    pub cache: Option<Arc<Cache>>,
}

/// Where a segment was written first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) volume: VolumeId,
    pub(crate) epoch: u32,
    pub(crate) kind: Kind,
    pub(crate) sequence: u32,
}

impl Birth {
    /// The key of a frame of the segment.
    pub(crate) fn key(&self, pointer: Pointer) -> Key {
        let mut key = Key::default();
        let parts: [&[u8]; 5] = [
            self.volume.as_bytes(),
            &self.epoch.to_le_bytes(),
            &u32::from(self.kind as u8).to_le_bytes(),
            &self.sequence.to_le_bytes(),
            &pointer.offset().to_le_bytes(),
        ];
        for (to, from) in key.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_format::log::SegmentNumber;

    #[test]
    fn keys_differ_in_all_that_a_birth_has() {
        let pointer = |segment, offset| {
            let segment = SegmentNumber::new(Kind::Log, segment).unwrap();
            Pointer::new(segment, offset, 640, 0).unwrap()
        };
        let birth = Birth {
            volume: VolumeId::from_bytes([1; 16]),
            epoch: 2,
            kind: Kind::Log,
            sequence: 3,
        };
        let others = [
            Birth {
                volume: VolumeId::from_bytes([2; 16]),
                ..birth
            },
            Birth { epoch: 3, ..birth },
            Birth {
                kind: Kind::Map,
                ..birth
            },
            Birth { sequence: 4, ..birth },
        ];
        let key = birth.key(pointer(9, 1600));
        assert!(others.iter().all(|other| other.key(pointer(9, 1600)) != key));
        assert_ne!(birth.key(pointer(9, 1616)), key);
        assert_eq!(birth.key(pointer(8, 1600)), key, "whatever its number is");
    }
}
