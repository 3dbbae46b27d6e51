//! The daemon and its host.

use restblk_types::ByteCount;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The daemon that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostInfo {
    /// The daemon's version.
    pub version: String,
    /// This host's id, by which attachments are known on the store.
    pub host_id: String,
    /// The host's name.
    pub hostname: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When the daemon started, RFC 3339, UTC.
    pub started_at: String,
    /// Where persistent state lies.
    pub state_dir: String,
    /// The cache of log volumes, where the host has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheInfo>,
}

/// The cache of log volumes: what it is, and what it did since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheInfo {
    /// Its file.
    pub path: String,
    /// Bytes of it.
    #[schema(value_type = u64)]
    pub size: ByteCount,
    /// Pieces that it has now.
    pub entries: u64,
    /// Pieces that were asked for and there.
    pub hits: u64,
    /// Their bytes, as they are stored.
    pub hit_bytes: u64,
    /// Pieces that were asked for and read from the store.
    pub misses: u64,
    /// Of these, pieces that the disk had damaged.
    pub damaged: u64,
    /// Pieces that were put.
    pub puts: u64,
    /// Of these, those that were left out because the disk was behind.
    pub dropped: u64,
    /// Reads and writes of the disk that failed.
    pub failed: u64,
}

/// What a cache was filled with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warmed {
    /// Bytes of the volume that were read from the store.
    #[schema(value_type = u64)]
    pub read: ByteCount,
}

/// The verdict of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Works, with a limit.
    Warn,
    /// Does not work.
    Fail,
}

/// One line of `restblk doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at: `transport/ublk`, `daemon/socket`, `pool/main`, …
    pub name: String,
    /// The verdict.
    pub state: CheckState,
    /// What was found, and what to do where it is not well.
    pub detail: String,
}

/// What the host can do and what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostReport {
    /// The checks, most basic first.
    pub checks: Vec<Check>,
    /// The transport that `attach` would take.
    pub best_transport: Option<String>,
}
