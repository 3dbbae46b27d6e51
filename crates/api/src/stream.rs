//! What changed between snapshots, and the streams that carry it.

use crate::ErrorBody;
use restblk_types::{ByteCount, SnapshotName, VolumeRef};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What a volume or a snapshot is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DiffQuery {
    /// A snapshot of the same volume; without it all that was ever written is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub from: Option<SnapshotName>,
}

/// What is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SendQuery {
    /// An older snapshot of the same volume: what changed since alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub from: Option<SnapshotName>,
    /// Where an earlier stream broke: the token that the receiver tells. It says from which snapshot on, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// The bytes of an encrypted volume leave it in the clear.
    #[serde(default)]
    pub plaintext: bool,
}

/// How a stream is received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ReceiveQuery {
    /// Roll the volume back to the snapshot that the stream is told from, and give up a part of another one.
    #[serde(default)]
    pub force: bool,
    /// What is encrypted where it comes from may lie here in the clear.
    #[serde(default)]
    pub plaintext: bool,
}

/// One line of the answer that tells what changed: a beginning, extents in order, and an end or what went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiffLine {
    /// What is compared.
    Begin(DiffBegin),
    /// What changed.
    Extent(DiffExtent),
    /// All was told.
    End(DiffEnd),
    /// Not all was.
    Failed(ErrorBody),
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffBegin {
    /// The volume, or the snapshot of it.
    #[schema(value_type = String, example = "main/disk1@tuesday")]
    pub of: VolumeRef,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "main/disk1@monday")]
    pub from: Option<VolumeRef>,
    /// Its size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
}

/// Bytes that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffExtent {
    /// Where.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// What they are now.
    pub kind: ExtentKind,
}

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExtentKind {
    /// Written.
    Data,
    /// Discarded, or written with zeros by a command for that.
    Zero,
}

impl ExtentKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Zero => "zero",
        }
    }
}

/// All that changed, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffEnd {
    /// Extents.
    pub extents: u64,
    /// Bytes of data in them.
    #[schema(value_type = u64)]
    pub data: ByteCount,
    /// Bytes of zeros.
    #[schema(value_type = u64)]
    pub zero: ByteCount,
}

/// A snapshot that a volume has a part of: it cannot be used until it has all, or gives it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Receiving {
    /// What it will have.
    #[schema(value_type = String, example = "main/copy@tuesday")]
    pub snapshot: VolumeRef,
    /// The snapshot that it goes on from; none for a whole volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// All that is told before this byte is there.
    pub position: u64,
    /// Its size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// When it was begun, RFC 3339, UTC.
    pub since: String,
    /// What `restblk send --resume-from` goes on by.
    pub token: String,
}
