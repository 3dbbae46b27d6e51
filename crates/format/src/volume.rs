//! The record of a volume: what it is, kept beside its data on the store.

use crate::{ENCRYPTION, Encryption, Record, Trash};
use restblk_types::{BlockSize, Compression, Durability, RateLimits, VolumeId, VolumeName};
use serde::{Deserialize, Serialize};

/// The word in [`VolumeRecord::incompat`] of a volume some of whose data may be packed by Zstandard.
pub const ZSTD: &str = "zstd";

/// Fields that this version does not know, kept as they were read.
pub type OtherFields = serde_json::Map<String, serde_json::Value>;

/// How a volume lies on its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutKind {
    /// One object, byte for byte.
    Direct,
    /// Immutable segments and a map: `log`.
    Log,
}

/// Where a volume is in its life. A crash leaves any but `ready`, which whoever comes next finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifeState {
    /// Its object may not be there, or not have its size.
    Creating,
    /// Its object has at least its size.
    Ready,
    /// Its object may be gone.
    Deleting,
    /// It moves to the trash.
    Trashing,
}

/// A volume, as the store keeps it under `.restblk/volumes/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Its id, and the nonce by which a creator knows its own record again.
    pub id: VolumeId,
    /// Its name: a record that was moved or copied by hand is noticed.
    pub name: VolumeName,
    /// How it lies on the store.
    pub layout: LayoutKind,
    /// Size in bytes. The object may be larger for a moment (an extend that did not finish), never smaller.
    pub size: u64,
    /// Logical block size in bytes.
    pub block_size: BlockSize,
    /// The protocol's dialect that was proved when it was made; another one might place writes elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// What a flush waits for.
    #[serde(default, skip_serializing_if = "Durability::is_default")]
    pub durability: Durability,
    /// How its data is packed.
    #[serde(default, skip_serializing_if = "Compression::is_default")]
    pub compression: Compression,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// How much I/O it may do in a second, wherever it is attached.
    #[serde(default, skip_serializing_if = "RateLimits::is_none")]
    pub rate_limits: RateLimits,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
    /// Where it is in its life.
    pub state: LifeState,
    /// Its stay in the trash, there or on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash: Option<Trash>,
    /// Features without which a reader must not open it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incompat: Vec<String>,
    /// Features without which a reader must not write to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ro_compat: Vec<String>,
    /// Fields of later versions: kept when this version rewrites the record.
    #[serde(flatten)]
    pub other: OtherFields,
}

impl Record for VolumeRecord {
    const TYPE: &'static str = "volume";
    const FEATURES: &'static [&'static str] = &[ENCRYPTION, ZSTD];
}

impl VolumeRecord {
    /// Has its data packed so from now on.
    pub fn compress(&mut self, compression: Compression) {
        self.compression = compression;
        if compression == Compression::Zstd {
            self.needs(ZSTD);
        }
    }

    /// Has it encrypted.
    pub fn encrypt(&mut self, encryption: Encryption) {
        self.encryption = Some(encryption);
        self.needs(ENCRYPTION);
    }

    /// What a reader must know of it, and does for ever.
    fn needs(&mut self, feature: &str) {
        if !self.incompat.iter().any(|known| known == feature) {
            self.incompat.push(feature.to_owned());
        }
    }
}
