//! The record of a pool: the marker by which one repository is known behind all its mirrors.

use crate::Record;
use serde::{Deserialize, Serialize};

/// A pool, as the store keeps it under `.restblk/pool`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRecord {
    /// The repository's id: the same through every mirror, or it is another repository.
    pub id: String,
    /// When the repository was first used, RFC 3339, UTC.
    pub created_at: String,
    /// The version of restblk that did.
    pub created_by: String,
    /// Features without which nobody may use the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incompat: Vec<String>,
    /// Features without which nobody may write to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ro_compat: Vec<String>,
}

impl Record for PoolRecord {
    const TYPE: &'static str = "pool";
}
