//! The record of a volume: what it is, kept beside its data on the store.

use crate::{ENCRYPTION, Encryption, Record, Trash};
use restblk_types::{BlockSize, Compression, Durability, RateLimits, VolumeId, VolumeName};
use serde::{Deserialize, Serialize};

/// The word in [`VolumeRecord::incompat`] of a volume some of whose data may be packed by Zstandard.
pub const ZSTD: &str = "zstd";

/// The word in [`VolumeRecord::incompat`] of a volume whose layout is being changed, or was changed to `log`.
pub const CONVERTED: &str = "converted";

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

/// How far the change of a volume's layout has come: what may lie on the store beside the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversionStage {
    /// To `direct`: an empty object of the volume's name may be there; one that has bytes is foreign.
    Making,
    /// The new side, with anything in it.
    Copying,
    /// It was given up: what is left of the new side.
    Leaving,
    /// The volume has its new layout: what is left of the old side.
    Clearing,
}

impl ConversionStage {
    /// The name in the record, in listings and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Copying => "copying",
            Self::Leaving => "leaving",
            Self::Clearing => "clearing",
        }
    }
}

/// A change of layout that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// The layout that it leads to.
    pub to: LayoutKind,
    /// How far it has come.
    pub stage: ConversionStage,
    /// The id under which the objects of the log side lie, whichever side that is.
    pub log_id: VolumeId,
    /// What a flush of the volume waits for, once it is of the log layout.
    #[serde(default, skip_serializing_if = "Durability::is_default")]
    pub durability: Durability,
    /// How its data is packed then.
    #[serde(default, skip_serializing_if = "Compression::is_default")]
    pub compression: Compression,
    /// The dialect that its file is written by, where it becomes direct.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// When it was begun, RFC 3339, UTC.
    pub since: String,
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
    /// The id under which the objects of a log volume lie, where that is not its own: it was a direct volume once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_id: Option<VolumeId>,
    /// The change of its layout that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
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
    const FEATURES: &'static [&'static str] = &[ENCRYPTION, ZSTD, CONVERTED];
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

    /// The id under which the objects of a log volume lie.
    #[must_use]
    pub fn log_id(&self) -> VolumeId {
        self.log_id.unwrap_or(self.id)
    }

    /// The volume as it is once the change of its layout is done, while the old side is left to be cleared away; none where no
    /// change is under way.
    #[must_use]
    pub fn converted(&self) -> Option<Self> {
        let mut after = self.clone();
        let conversion = after.conversion.as_mut()?;
        conversion.stage = ConversionStage::Clearing;
        let Conversion {
            to,
            log_id,
            durability,
            compression,
            dialect,
            ..
        } = conversion.clone();
        after.layout = to;
        match to {
            LayoutKind::Direct => {
                (after.dialect, after.log_id) = (dialect, None);
                (after.durability, after.compression) = (Durability::default(), Compression::default());
                after.incompat.retain(|known| known != ZSTD);
            }
            LayoutKind::Log => {
                (after.dialect, after.log_id) = (None, Some(log_id));
                after.durability = durability;
                after.compress(compression);
            }
        }
        after.settle();
        Some(after)
    }

    /// Has the change of its layout stand there, or none.
    pub fn convert(&mut self, conversion: Option<Conversion>) {
        self.conversion = conversion;
        self.settle();
    }

    /// Says that it is what a version without conversions must not open, or no longer: that one would look for a log volume's objects under
    /// another id, serve it with other blocks, or change one side alone.
    pub fn settle(&mut self) {
        let small = self.layout == LayoutKind::Log && self.block_size != BlockSize::B4096;
        if small || self.conversion.is_some() || self.log_id.is_some() {
            self.needs(CONVERTED);
        } else {
            self.incompat.retain(|known| known != CONVERTED);
        }
    }

    /// What a reader must know of it.
    fn needs(&mut self, feature: &str) {
        if !self.incompat.iter().any(|known| known == feature) {
            self.incompat.push(feature.to_owned());
        }
    }
}
