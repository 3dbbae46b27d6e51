//! Checks of volumes, and how much of the store they have.

use crate::Receiving;
use restblk_types::{ByteCount, KeySecret, VolumeRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a volume is to be looked through, and what may be done about what is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckVolume {
    /// Every frame is read, and every block that a map names looked up.
    pub deep: bool,
    /// What can be put right is.
    pub repair: bool,
    /// With `repair`: nothing is done; what would be is told.
    pub dry_run: bool,
    /// With `repair`: objects that nothing reaches are removed.
    pub remove_garbage: bool,
    /// With `repair`: also of a volume that another host holds, which is fenced by it.
    pub force: bool,
    /// What opens an encrypted volume; else what it is open by here, or what the daemon's configuration names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySecret>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// Nothing is damaged.
    Clean,
    /// Something is.
    Damaged,
    /// Something was, and nothing is any more.
    Repaired,
}

impl CheckResult {
    /// The name in listings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Damaged => "damaged",
            Self::Repaired => "repaired",
        }
    }
}

/// One thing that was found; docs/check.md tells each problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What is wrong: `missing`, `length`, `damaged`, `foreign`, `misplaced`, `frame`, `page`, `table`, `accounts`, `head-lost`, `tail`, `hole`, `unfenced`,
    /// `unpinned`, `record`, `left-over`, `changing`.
    pub problem: String,
    /// False for what harms nothing.
    pub damage: bool,
    /// Where: an object's key on the store, or what else it is of.
    pub object: String,
    /// More of it.
    pub detail: String,
}

/// Bytes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostBytes {
    /// The volume, or a snapshot of it.
    pub of: String,
    /// How many.
    #[schema(value_type = u64)]
    pub bytes: ByteCount,
    /// Where: from, and up to, in bytes; the first thousand ranges.
    pub ranges: Vec<(u64, u64)>,
}

/// Objects that nothing reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GarbageFound {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    #[schema(value_type = u64)]
    pub bytes: ByteCount,
    /// The first hundred.
    pub keys: Vec<String>,
    /// Objects that go with the next head.
    pub waiting: u64,
    /// Objects of a writer that is at it, or was cut off.
    pub unfinished: u64,
    /// Objects that were removed.
    pub removed: u64,
}

/// What a check has found, and what was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeCheck {
    /// `pool/volume`.
    #[schema(value_type = String, example = "main/disk1")]
    pub volume: VolumeRef,
    /// How it ended.
    pub result: CheckResult,
    /// Every frame was read.
    pub deep: bool,
    /// The head that was gone by, `EPOCH/NUMBER`, of a log volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// Snapshots, those included that only clones hold.
    pub snapshots: u64,
    /// Volumes that are listed as cloned from them.
    pub clones: u64,
    /// Objects that were looked at.
    pub objects: u64,
    /// Bytes that were read of them.
    #[schema(value_type = u64)]
    pub bytes: ByteCount,
    /// Seconds that it took.
    pub seconds: f64,
    /// What was found; after a repair, what is left.
    pub findings: Vec<Finding>,
    /// How many more there are than are listed.
    pub more_findings: u64,
    /// What cannot be read.
    pub lost: Vec<LostBytes>,
    /// What nothing reaches, of a log volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub garbage: Option<GarbageFound>,
    /// What was done, or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
}

/// How far a check has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckProgress {
    /// What it is at: `heads`, `segments`, `maps`, `garbage`, `rebuild`.
    pub phase: String,
    /// How much of it is done.
    pub done: u64,
    /// And of how much.
    pub of: u64,
    /// Bytes that were read.
    #[schema(value_type = u64)]
    pub bytes: ByteCount,
    /// Seconds since it began.
    pub seconds: f64,
}

/// What a log volume has on its store, and what it has not sent there yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeUsage {
    /// Bytes that were written and are the volume's now; of a clone, without what it reads from others.
    #[schema(value_type = u64)]
    pub allocated: ByteCount,
    /// Bytes that only snapshots have.
    #[schema(value_type = u64)]
    pub held: ByteCount,
    /// Bytes that nobody reaches, and that garbage collection finds again.
    #[schema(value_type = u64)]
    pub garbage: ByteCount,
    /// Bytes of all segments on the store, packed, as it lists them; none where its listings do not tell sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub stored: Option<ByteCount>,
    /// Segments.
    pub objects: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Volumes that are listed as cloned from them.
    pub clones: u64,
    /// The newest head, `EPOCH/NUMBER`.
    pub head: String,
    /// The snapshot that it has a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving: Option<Receiving>,
    /// What it has done while it is open on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenUsage>,
}

/// What an open log volume has done since it was opened, and what it has not done yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OpenUsage {
    /// Bytes that were written.
    #[schema(value_type = u64)]
    pub written: ByteCount,
    /// Bytes that were read.
    #[schema(value_type = u64)]
    pub read: ByteCount,
    /// Bytes that went to the store.
    #[schema(value_type = u64)]
    pub put: ByteCount,
    /// Bytes that came from there.
    #[schema(value_type = u64)]
    pub fetched: ByteCount,
    /// Bytes that are not on the store yet.
    #[schema(value_type = u64)]
    pub unsent: ByteCount,
    /// Seconds that the oldest of them has been waiting.
    pub lag_s: f64,
    /// Bytes of the journal in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub journal_used: Option<ByteCount>,
    /// Bytes that the journal has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub journal_size: Option<ByteCount>,
}
