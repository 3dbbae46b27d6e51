//! The daemon and its host.

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
