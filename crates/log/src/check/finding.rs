//! What a check has found, in words that a program can tell apart. docs/check.md says of each what it means and what to do.

use super::Garbage;
use crate::look::At;
use restblk_types::VolumeId;
use std::fmt::Display;

/// Findings that are kept one by one; beyond, they are counted.
const FINDINGS_MAX: usize = 1000;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Problem {
    /// An object that is needed is not on the store.
    Missing,
    /// An object is shorter or longer than it says.
    Length,
    /// A checksum, or a field that no writer makes.
    Damaged,
    /// In its place is an object of another volume.
    Foreign,
    /// In its place is another object of the volume.
    Misplaced,
    /// Frames of a segment are damaged.
    Frame,
    /// A page of a map cannot be read, or names what is not there.
    Page,
    /// A page of the segment table, or a list of held blocks, cannot be read.
    Table,
    /// The segment table contradicts itself or the store.
    Accounts,
    /// The newest head cannot be used; an older one can, or none.
    HeadLost,
    /// The log after the newest head cannot be read: the volume does not attach.
    Tail,
    /// A series has a hole, and goes on behind it.
    Hole,
    /// A tombstone is missing that keeps a former writer out.
    Unfenced,
    /// The snapshot that a clone reads from does not list it: what the clone reads may be removed.
    Unpinned,
    /// The volume is not in the state that its record tells.
    Record,
    /// What an operation left that was cut off.
    LeftOver,
    /// The volume was written to all the time: what was found may be of the moment alone.
    Changing,
}

impl Problem {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Missing,
        Self::Length,
        Self::Damaged,
        Self::Foreign,
        Self::Misplaced,
        Self::Frame,
        Self::Page,
        Self::Table,
        Self::Accounts,
        Self::HeadLost,
        Self::Tail,
        Self::Hole,
        Self::Unfenced,
        Self::Unpinned,
        Self::Record,
        Self::LeftOver,
        Self::Changing,
    ];

    /// Its name in listings and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Length => "length",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
            Self::Misplaced => "misplaced",
            Self::Frame => "frame",
            Self::Page => "page",
            Self::Table => "table",
            Self::Accounts => "accounts",
            Self::HeadLost => "head-lost",
            Self::Tail => "tail",
            Self::Hole => "hole",
            Self::Unfenced => "unfenced",
            Self::Unpinned => "unpinned",
            Self::Record => "record",
            Self::LeftOver => "left-over",
            Self::Changing => "changing",
        }
    }

    /// False for what harms nothing.
    #[must_use]
    pub fn is_damage(self) -> bool {
        !matches!(self, Self::LeftOver | Self::Changing)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// Where: an object's key, a tree, a volume.
    pub object: String,
    /// More of it.
    pub detail: String,
}

/// Bytes of the volume, or of a snapshot, that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The snapshot's id and name; none for the volume itself.
    pub snapshot: Option<(u64, Option<String>)>,
    /// How many bytes.
    pub bytes: u64,
    /// Which, in order; the first thousand ranges.
    pub ranges: Vec<std::ops::Range<u64>>,
}

/// What a check has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The volume.
    pub volume: VolumeId,
    /// Every frame was read.
    pub deep: bool,
    /// The head that was gone by: its epoch and number. None where there is none that can be read.
    pub head: Option<At>,
    /// Snapshots of it.
    pub snapshots: usize,
    /// Volumes that its snapshots list as cloned from them.
    pub clones: usize,
    /// Objects that were looked at.
    pub objects: u64,
    /// Bytes that were read of them, where all of them were.
    pub bytes: u64,
    /// What was found.
    pub findings: Vec<Finding>,
    /// How many more there are than are listed.
    pub more: u64,
    /// How many of all are damage.
    pub damage: u64,
    /// What cannot be read of the volume and its snapshots.
    pub lost: Vec<Lost>,
    /// Objects that nothing reaches, where they were looked for.
    pub garbage: Option<Garbage>,
}

impl Report {
    /// Whether nothing is damaged; garbage and what was cut off are no damage.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.damage == 0
    }

    pub(super) fn take(&mut self, findings: Findings) {
        self.findings = findings.list;
        self.more = findings.more;
        self.damage = findings.damage;
    }
}

/// Findings, as they come.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    more: u64,
    damage: u64,
}

impl Findings {
    pub(crate) fn add(&mut self, problem: Problem, object: impl Display, detail: impl Display) {
        let finding = Finding {
            problem,
            object: object.to_string(),
            detail: detail.to_string(),
        };
        // The same page is missed by many who look for what is below it.
        if self.list.contains(&finding) {
            return;
        }
        self.damage += u64::from(problem.is_damage());
        if self.list.len() < FINDINGS_MAX {
            self.list.push(finding);
        } else {
            self.more += 1;
        }
    }
}
