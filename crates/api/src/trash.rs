//! The trash of a pool: log volumes that were deleted and can be restored.

use restblk_types::{ByteCount, VolumeName, VolumeRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What becomes of a volume that is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// What the daemon's configuration says (`[trash] keep`); without it, it goes for good.
    #[default]
    AsConfigured,
    /// It goes for good, now.
    Now,
    /// It is in the trash for so many seconds, and then until no clone reads from it.
    Keep(u64),
}

/// A volume in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrashEntry {
    /// The id of its stay there.
    pub id: String,
    /// `pool/volume`, as it was; the name may be another volume's now.
    #[schema(value_type = String, example = "main/disk1")]
    pub volume: VolumeRef,
    /// The volume's own id.
    pub volume_id: String,
    /// Its size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// When it was deleted, RFC 3339, UTC.
    pub deleted_at: String,
    /// From when on it may go for good, RFC 3339, UTC.
    pub kept_until: String,
    /// Where it is between deletion and end.
    pub state: TrashState,
    /// The name under which its restore has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub restoring_as: Option<VolumeName>,
}

/// Where a volume in the trash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrashState {
    /// It can be restored.
    Kept,
    /// A restore did not finish: restore it again, under the same name.
    Restoring,
    /// Its bytes are being removed.
    Purging,
}

/// A volume of the trash that is to be a volume again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreVolume {
    /// Its name; without one, the one that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<VolumeName>,
}
