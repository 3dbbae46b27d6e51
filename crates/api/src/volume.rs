//! Volumes.

use restblk_types::{
    BlockSize, ByteCount, Compression, Durability, KeyKind, KeySecret, RateLimits, VolumeRef,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a volume lies on its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One remote file, byte for byte.
    #[default]
    Direct,
    /// Immutable segments and a map: snapshots, clones, thin, on any store.
    Log,
}

impl Layout {
    /// The name in commands, listings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Log => "log",
        }
    }
}

impl std::str::FromStr for Layout {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Direct, Self::Log]
            .into_iter()
            .find(|layout| layout.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is no layout: choose direct or log"))
    }
}

/// Another durability for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDurability {
    /// What a flush waits for from now on.
    pub durability: Durability,
}

/// Another compression for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCompression {
    /// How data is packed from now on.
    pub compression: Compression,
}

/// Other keys for an encrypted volume. Its data stays as it is: the key that it is encrypted by never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeKeys {
    /// One that opens the volume now; without it, the one that the daemon's configuration names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySecret>,
    /// What becomes of its slots.
    pub change: KeyChange,
}

/// A change of an encrypted volume's slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyChange {
    /// This one takes the place of the key that opens it now.
    Replace(KeySecret),
    /// This one opens it too.
    Add(KeySecret),
    /// The slot of this number opens it no more.
    Remove(u8),
}

/// How a volume is encrypted. Nothing here is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeEncryption {
    /// The cipher.
    pub cipher: String,
    /// What opens it: any of them.
    pub slots: Vec<KeySlot>,
}

/// One of the things that open an encrypted volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeySlot {
    /// Its number.
    pub slot: u8,
    /// A passphrase, or a key file.
    pub kind: KeyKind,
    /// Since when, RFC 3339, UTC.
    pub created_at: String,
}

/// A new volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVolume {
    /// `pool/volume`.
    #[schema(value_type = String, example = "main/disk1")]
    pub volume: VolumeRef,
    /// Size in bytes, a multiple of the block size.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// How it lies on the store.
    #[serde(default)]
    pub layout: Layout,
    /// 512 or 4096; by default the smallest that the store allows. A log volume has 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub block_size: Option<BlockSize>,
    /// What a flush of a log volume waits for.
    #[serde(default)]
    pub durability: Durability,
    /// How the data of a log volume is packed; by default with LZ4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// A log volume is encrypted, and opened by `key`, or by the one that the daemon's configuration names for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypt: bool,
    /// By what it is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySecret>,
}

/// A larger size for a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendVolume {
    /// The new size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
}

/// A smaller size for a log volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShrinkVolume {
    /// The new size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// What lies beyond it goes; else a volume that has data there is refused.
    #[serde(default)]
    pub discard_data: bool,
}

/// Another layout for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvertVolume {
    /// How it is to lie on its store.
    pub to: Layout,
    /// What a flush of a log volume waits for; by default the store, as that of a direct volume does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// How the data of a log volume is packed; by default with LZ4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Bytes a second that are copied at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub bytes_per_s: Option<ByteCount>,
}

/// A change of a volume's layout that is not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeConversion {
    /// The layout that it leads to.
    pub to: Layout,
    /// How far it is: `making` and `copying`, while the volume has its old layout; `leaving`, where it is taken back; `clearing`, where it has its
    /// new one and what is left of the old one is removed.
    pub stage: String,
    /// When it was begun, RFC 3339, UTC.
    pub since: String,
    /// Bytes of the volume that were looked at, where this host is at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub done: Option<ByteCount>,
    /// Bytes of them that had to be copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub copied: Option<ByteCount>,
    /// Seconds that this host has been at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Where a volume is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeState {
    /// A create did not finish: `volume create` with the same size goes on with it, `volume delete` clears it away.
    Creating,
    /// It can be attached.
    Ready,
    /// A delete did not finish: `volume delete` goes on with it.
    Deleting,
    /// Its move to the trash did not finish: `volume delete` goes on with it.
    Trashing,
}

/// Who holds a volume, as the store tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachedBy {
    /// The name of the host.
    pub hostname: String,
    /// Its id.
    pub host_id: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// True where it is the host that answers.
    pub this_host: bool,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    /// `pool/volume`.
    #[schema(value_type = String, example = "main/disk1")]
    pub volume: VolumeRef,
    /// Its id, for its whole life.
    pub id: String,
    /// Size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// Block size in bytes.
    #[schema(value_type = u32)]
    pub block_size: BlockSize,
    /// How it lies on the store.
    pub layout: Layout,
    /// What a flush waits for, in a log volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// How data is packed, in a log volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// How it is encrypted, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<VolumeEncryption>,
    /// The dialect it was made with, where the protocol has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// How much I/O it may do in a second.
    #[serde(default, skip_serializing_if = "RateLimits::is_none")]
    pub rate_limits: RateLimits,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
    /// The change of its layout that is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<VolumeConversion>,
    /// Where it is in its life.
    pub state: VolumeState,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached_by: Option<AttachedBy>,
}
