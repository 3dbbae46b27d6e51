//! The records of the trash: a volume's stay in it is told by the volume's own record, its end by one of its own.

use crate::Record;
use restblk_types::{TrashId, VolumeName};
use serde::{Deserialize, Serialize};

/// A stay in the trash, as a volume's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trash {
    /// Which stay: a volume may come here again and again.
    pub id: TrashId,
    /// When it was deleted, RFC 3339, UTC.
    pub since: String,
    /// From when on it may go for good, RFC 3339, UTC.
    pub until: String,
}

/// What ended a stay, as the store keeps it under `.restblk/trash-ends/TRASH-ID`; the first to make it decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashEnd {
    /// What ended it.
    pub by: TrashEndBy,
    /// Nothing is left to be done.
    pub done: bool,
    /// Features without which nobody may go on with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incompat: Vec<String>,
}

/// How a stay ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrashEndBy {
    /// It is a volume again, of this name.
    Restore(VolumeName),
    /// Its bytes are removed.
    Purge,
}

impl Record for TrashEnd {
    const TYPE: &'static str = "trash-end";
}
