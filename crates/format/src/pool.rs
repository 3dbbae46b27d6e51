//! The record of a pool: the marker by which one repository is known behind all its mirrors.

use crate::Record;
use crate::volume::OtherFields;
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
    /// What the store was proved to do when the repository was last proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Proved>,
    /// Features without which nobody may use the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incompat: Vec<String>,
    /// Features without which nobody may write to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ro_compat: Vec<String>,
    /// Fields of later versions: kept when this version rewrites the record.
    #[serde(flatten)]
    pub other: OtherFields,
}

/// What a store was seen to do, for people and for other hosts; each host proves for itself what it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Proved {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The version of restblk that proved it.
    pub by: String,
    /// The protocol's dialect, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// What works, by name: `exclusive_create`, `compare_and_set`, `write_in_place`, `punch`, `flush`, `lock`.
    pub can: Vec<String>,
    /// Its mirrors beside one another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<ProvedMirror>,
    /// What was declared and does not work, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What was seen of one mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProvedMirror {
    /// Its URL, without credentials.
    pub url: String,
    /// Longest time until it showed what was written through another one, in milliseconds.
    pub lag_ms: u64,
    /// How far its clock was ahead of the proving host's, in milliseconds, where it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl PoolRecord {
    /// Keeps what was proved, or the most important of it that a record has room for.
    pub fn keep_proof(&mut self, proved: Proved) {
        let shorter: [fn(&mut Proved); 3] = [
            |_| {},
            |proved| proved.notes.clear(),
            |proved| proved.mirrors.clear(),
        ];
        let mut proved = proved;
        for shorten in shorter {
            shorten(&mut proved);
            self.proved = Some(proved.clone());
            if self.encode().is_ok() {
                return;
            }
        }
        self.proved = None;
    }
}

impl Record for PoolRecord {
    const TYPE: &'static str = "pool";
}
