//! Snapshots of log volumes.

use restblk_types::{ByteCount, Durability, KeySecret, SnapshotName, VolumeRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A snapshot: a state of a volume that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// `pool/volume@snapshot`.
    #[schema(value_type = String, example = "main/disk1@monday")]
    pub snapshot: VolumeRef,
    /// The volume's size in bytes when it was made.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// When it was made, RFC 3339, UTC.
    pub created_at: String,
    /// It is not deleted.
    pub protected: bool,
    /// How many volumes were cloned from it.
    pub clones: usize,
    /// What it is, here and wherever it was received: the id of the volume that it was made of, and its number there.
    #[serde(default)]
    pub origin: String,
    /// It was received, and not made here.
    #[serde(default)]
    pub received: bool,
}

/// A new snapshot of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshot {
    /// Its name, unique among the volume's snapshots.
    #[schema(value_type = String, example = "monday")]
    pub name: SnapshotName,
}

/// New snapshots of several volumes, all of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshots {
    /// Each `pool/volume@snapshot`; the pools may differ.
    #[schema(value_type = Vec<String>, example = json!(["main/data@monday", "main/log@monday"]))]
    pub snapshots: Vec<VolumeRef>,
}

/// Whether a snapshot may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Protection {
    /// It may not.
    pub protected: bool,
}

/// A volume that begins as a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneSnapshot {
    /// The new volume, of the same pool.
    #[schema(value_type = String, example = "main/disk2")]
    pub volume: VolumeRef,
    /// What its flushes wait for.
    #[serde(default)]
    pub durability: Durability,
    /// By what it is opened, where its snapshot's volume is encrypted; without it, by what opens that one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySecret>,
}
