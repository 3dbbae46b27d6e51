//! Epochs, heads and tombstones: a header, and JSON that a person can read.

use super::seal::SealKey;
use super::{FEATURE_RECEIVING, Header, Kind, ObjectType, Pointer, SegmentNumber};
use crate::FormatError;
use crate::stream::{Moment, Origin, Receiving};
use restblk_types::VolumeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;

/// A right to write: one an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The host's name, for people.
    pub hostname: String,
    /// When it began, RFC 3339, UTC, by the writer's clock: for people.
    pub since: String,
}

/// The end of a series: nobody writes here any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The epoch that put it there: of the volume; in a clone that was given up, of its parent; 0 where the volume was deleted.
    pub by: u32,
}

/// Where the segments of one epoch are among all numbers of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Whose epoch: an index into [`Head::lineage`].
    pub volume: u16,
    /// The epoch.
    pub epoch: u32,
    /// Number of its first log segment, the one of sequence 0.
    pub log: u32,
    /// Number of its first map segment.
    pub map: u32,
    /// Number of its first segment of moved frames.
    pub gc: u32,
}

impl Span {
    /// The number of the first segment of this kind.
    #[must_use]
    pub fn first(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Log => self.log,
            Kind::Map => self.map,
            Kind::Gc => self.gc,
        }
    }
}

/// A volume whose segments can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// Its id.
    pub volume: VolumeId,
    /// The snapshot that pins them there; none for the volume itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
}

/// A tree of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The root page; none while the tree is empty.
    #[serde(with = "pointer")]
    pub root: Option<Pointer>,
    /// Levels of pages: a tree of one level has 128 numbers.
    pub levels: u8,
}

/// A snapshot: a state of the volume that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its number in the volume, never used again.
    pub id: u64,
    /// Its name; none once it is deleted for users and only held by clones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// The volume's size in bytes.
    pub size: u64,
    /// The first log number that is not in it.
    pub log: u32,
    /// The first map number that is not in it.
    pub map_cut: u32,
    /// Its map.
    pub map: Tree,
    /// Not to be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// Volumes that were cloned from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<VolumeId>,
    /// What it is a copy of; none where it was made of this volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Snapshot {
    /// The snapshot of a volume, as streams name it; none where it is deleted for users.
    #[must_use]
    pub fn moment(&self, volume: VolumeId) -> Option<Moment> {
        let own = Origin {
            volume,
            snapshot: self.id,
        };
        Some(Moment {
            origin: self.origin.unwrap_or(own),
            name: self.name.clone()?,
            created_at: self.created_at.clone(),
        })
    }
}

/// The state of a volume at one moment: all that a recovery starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Capacity in bytes.
    pub size: u64,
    /// Unit of addressing for users, 512 or 4096.
    pub block_size: u32,
    /// Whose segments there are; the first is the volume itself.
    pub lineage: Vec<Lineage>,
    /// The epochs whose segments can be reached, by number of their first segments; the last is this head's.
    pub epochs: Vec<Span>,
    /// The sequence, in this epoch, of the first log segment that is not in the map.
    pub log_next: u32,
    /// The position in the writer's journal after the last write that is in the map; 0 without a journal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub journal: u64,
    /// The first sequence of the map series that is not used.
    pub map_next: u32,
    /// The first sequence of the gc series that is not used.
    pub gc_next: u32,
    /// Block → where it is.
    pub map: Tree,
    /// Segment → how much of it lives, where it is now, what snapshots hold of it.
    pub segments: Tree,
    /// The map segments that hold the pages of `segments` and the lists, with how many frames of each are in use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub books: BTreeMap<u32, u32>,
    /// Oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// The next snapshot's id.
    #[serde(default)]
    pub snapshot_next: u64,
    /// The snapshot that the volume has a part of: it is not to be used meanwhile, and the header says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving: Option<Receiving>,
    /// What a reader must know of what this head leads to ([`super::FEATURE_SEALED`] …): the header says it, too.
    #[serde(default, skip_serializing_if = "is_none_of")]
    pub features: u32,
    /// Segments that nothing reaches any more since this head; to be deleted when it is known to be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "numbers")]
    pub deletions: Vec<SegmentNumber>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none_of(features: &u32) -> bool {
    *features == 0
}

impl Head {
    /// That of a volume of so many bytes in which nothing was ever written, and that no epoch has yet.
    #[must_use]
    pub fn empty(volume: VolumeId, size: u64) -> Self {
        Self {
            size,
            block_size: 4096,
            lineage: vec![Lineage {
                volume,
                snapshot: None,
            }],
            epochs: Vec::new(),
            log_next: 0,
            journal: 0,
            map_next: 0,
            gc_next: 0,
            map: Tree::default(),
            segments: Tree::default(),
            books: BTreeMap::new(),
            snapshots: Vec::new(),
            snapshot_next: 1,
            receiving: None,
            features: 0,
            deletions: Vec::new(),
        }
    }

    /// The object's bytes; sealed, where the volume is encrypted.
    #[must_use]
    pub fn encode(
        &self,
        volume: VolumeId,
        epoch: u32,
        sequence: u32,
        nonce: [u8; 16],
        key: Option<&SealKey>,
    ) -> Vec<u8> {
        let header = Header {
            incompat: self.features | self.receiving.as_ref().map_or(0, |_| FEATURE_RECEIVING),
            ..header_of(ObjectType::Head, volume, epoch, sequence, nonce)
        };
        header.with_json(&json(self), key)
    }

    /// Reads a head. Whether a holder of the volume's key wrote it, [`Self::is_sealed`] tells.
    pub fn decode(bytes: &[u8]) -> Result<(Header, Self), FormatError> {
        read(ObjectType::Head, bytes)
    }

    /// Whether a holder of the key of the volume's heads wrote these bytes, and nobody changed them since.
    #[must_use]
    pub fn is_sealed(bytes: &[u8], key: &SealKey) -> bool {
        Header::is_sealed(bytes, key)
    }

    /// The epoch a segment was written in, and its sequence there.
    #[must_use]
    pub fn place(&self, segment: SegmentNumber) -> Option<(Span, u32)> {
        let (kind, number) = (segment.kind(), segment.number());
        let after = self.epochs.partition_point(|span| span.first(kind) <= number);
        let span = *self.epochs.get(after.checked_sub(1)?)?;
        Some((span, number - span.first(kind)))
    }
}

fn header_of(object: ObjectType, volume: VolumeId, epoch: u32, sequence: u32, nonce: [u8; 16]) -> Header {
    Header {
        object,
        incompat: 0,
        read_only_because: 0,
        volume,
        nonce,
        epoch,
        sequence,
        segment: None,
        journal: 0,
    }
}

/// Numbers, strings and lists of them always have a JSON.
fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

fn read<T: de::DeserializeOwned>(object: ObjectType, bytes: &[u8]) -> Result<(Header, T), FormatError> {
    let (header, json) = Header::json(object, bytes)?;
    let body = serde_json::from_slice(json).map_err(|error| FormatError::Damaged(error.to_string()))?;
    Ok((header, body))
}

macro_rules! json_object {
    ($type:ident) => {
        impl $type {
            /// The object's bytes.
            #[must_use]
            pub fn encode(&self, volume: VolumeId, epoch: u32, sequence: u32, nonce: [u8; 16]) -> Vec<u8> {
                let header = header_of(ObjectType::$type, volume, epoch, sequence, nonce);
                header.with_json(&json(self), None)
            }

            /// Reads an object of this type.
            pub fn decode(bytes: &[u8]) -> Result<(Header, Self), FormatError> {
                read(ObjectType::$type, bytes)
            }
        }
    };
}
json_object!(Epoch);
json_object!(Tombstone);

/// Pointers in JSON: 16 hexadecimal digits, because many readers of JSON cannot keep 64 bits.
mod pointer {
    use super::*;

    pub(super) fn serialize<S: Serializer>(pointer: &Option<Pointer>, to: S) -> Result<S::Ok, S::Error> {
        match pointer {
            Some(pointer) => to.serialize_some(&format!("{:016x}", pointer.to_bits())),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Pointer>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        let bits = u64::from_str_radix(&text, 16).map_err(de::Error::custom)?;
        Pointer::from_bits(bits).map_err(|()| de::Error::custom(format!("{text} is no pointer")))
    }
}

/// Segments in JSON: their 32 bits.
mod numbers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(numbers: &[SegmentNumber], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().map(|number| number.to_bits()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SegmentNumber>, D::Error> {
        let bits = Vec::<u32>::deserialize(from)?.into_iter();
        let segment = |bits| {
            SegmentNumber::from_bits(bits).ok_or_else(|| de::Error::custom(format!("{bits} is no segment")))
        };
        bits.map(segment).collect()
    }
}
