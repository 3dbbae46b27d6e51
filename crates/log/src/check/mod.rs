//! What lies on the store of a volume is looked through, told, and put right.
//!
//! ```text
//! rights     epochs, heads, tombstones → the newest head that can be read
//! segments   what the segment table says to live: the object, its length, its header (light), each of its frames (deep); the log's tail
//! lost       the maps of the volume and its snapshots against that: which blocks cannot be read (deep, or where objects are bad)
//! family     clones and parents
//! garbage    what nothing reaches, by listing
//! repair     a new epoch, and the volume rebuilt from its segments (`survey`, `content`, `rebuild`)
//! ```
//! A check claims nothing and changes nothing, and may run beside a writer. What that one removes meanwhile would look lost: where something
//! is found and the newest head is another one by then, all is looked at again; a volume that is open in the same process is held
//! ([`crate::LogVolume::hold`]) and needs no second look.
//!
//! Requests are bounded and run in parallel; memory is bounded by pages, indexes and what is bad, whatever the volume's size.

mod content;
mod family;
mod finding;
mod garbage;
mod lost;
mod objects;
mod rebuild;
mod repair;
mod rights;
mod segments;
mod survey;
#[cfg(test)]
mod tests;
mod trees;

pub(crate) use finding::Findings;
pub use finding::{Finding, Lost, Problem, Report};
pub use garbage::Garbage;
pub use repair::{Repair, Repaired, repair};

use crate::core::Core;
use crate::frames::Frames;
use crate::look::{At, newest};
use crate::shelf::Shelf;
use crate::state::State;
use crate::{LogError, MEMORY_MIN, Memory, Options};
use restblk_format::log::{DataKey, Head, Tree};
use restblk_store::Store;
use restblk_types::{ErrorKind, VolumeId};
use rights::Rights;
use segments::Objects;
use std::fmt;
use std::sync::Arc;

/// Times that a volume is looked through, while a writer goes on.
const ROUNDS: usize = 3;

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Every frame is read, and every block that a map names looked up.
    pub deep: bool,
    /// What nothing reaches is looked for, by listing.
    pub garbage: bool,
}

/// What a check is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Epochs and heads.
    Heads,
    /// Segments.
    Segments,
    /// The maps of the volume and its snapshots.
    Maps,
    /// Garbage.
    Garbage,
    /// All segments are read anew, to rebuild what was lost.
    Rebuild,
}

impl Phase {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Segments => "segments",
            Self::Maps => "maps",
            Self::Garbage => "garbage",
            Self::Rebuild => "rebuild",
        }
    }
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// How much of it is done.
    pub done: u64,
    /// And of how much.
    pub of: u64,
    /// Bytes of segments that were read.
    pub bytes: u64,
}

/// Whom progress is told.
#[derive(Clone, Copy)]
pub struct Teller<'a>(&'a (dyn Fn(Progress) + Send + Sync));

impl<'a> Teller<'a> {
    /// Tells this one.
    #[must_use]
    pub fn new(told: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        Self(told)
    }

    pub(crate) fn tell(self, phase: Phase, done: u64, of: u64, bytes: u64) {
        (self.0)(Progress {
            phase,
            done,
            of,
            bytes,
        });
    }
}

impl fmt::Debug for Teller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

/// Looks a volume through, with its key where it is encrypted. Errors are those of the store's service; what is wrong with the volume is in the report. `NotFound` where there is
/// no such volume. Dropped, it stops.
pub async fn check(
    store: Arc<dyn Store>,
    volume: VolumeId,
    key: Option<DataKey>,
    how: How,
    teller: Teller<'_>,
) -> Result<Report, LogError> {
    let shelf = Shelf::new(store, volume).with_key(key);
    let mut rounds = 0;
    loop {
        rounds += 1;
        let (mut report, _) = once(&shelf, how, teller).await?;
        if report.is_clean() || !has_moved(&shelf, report.head).await? {
            return Ok(report);
        }
        if rounds == ROUNDS {
            report.findings.push(Finding {
                problem: Problem::Changing,
                object: format!("the volume {volume}"),
                detail: format!("it was written to each of the {ROUNDS} times that it was looked through"),
            });
            return Ok(report);
        }
    }
}

/// Whether there is a newer head by now.
async fn has_moved(shelf: &Shelf, at: Option<At>) -> Result<bool, LogError> {
    match newest(shelf, at).await {
        Ok(found) => Ok(found.map(|(at, _)| at) != at),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
        Err(error) => Err(error),
    }
}

/// The volume as one look at it shows it.
struct Looked {
    rights: Rights,
    /// None where no head can be read.
    core: Option<Core>,
    log_end: u32,
}

async fn once(shelf: &Shelf, how: How, teller: Teller<'_>) -> Result<(Report, Looked), LogError> {
    let mut findings = Findings::default();
    teller.tell(Phase::Heads, 0, 1, 0);
    let rights = rights::look(shelf, &mut findings).await?;
    if rights.is_gone {
        return Err(LogError::new(
            ErrorKind::NotFound,
            format!(
                "check the volume {}: there is none, it was deleted, or its creation was cut off",
                shelf.volume
            ),
        ));
    }
    let mut report = Report {
        volume: shelf.volume,
        deep: how.deep,
        head: None,
        snapshots: 0,
        clones: 0,
        objects: 0,
        bytes: 0,
        findings: Vec::new(),
        more: 0,
        damage: 0,
        lost: Vec::new(),
        garbage: None,
    };
    let Some((at, head)) = rights.newest.clone() else {
        report.take(findings);
        let looked = Looked {
            rights,
            core: None,
            log_end: 0,
        };
        return Ok((report, looked));
    };
    report.head = Some(at);
    report.snapshots = head.snapshots.len();
    let core = reader(shelf, at, head.clone());
    let mut objects = Objects::new(how.deep);
    segments::check(&core, at, &mut objects, &mut findings, teller).await?;
    roots(&core, &head, &mut findings).await?;
    if how.deep || !objects.bad.is_empty() {
        report.lost = lost::find(&core, &mut objects, &mut findings, teller).await?;
    }
    report.clones = family::check(&core, &mut findings).await?;
    if how.garbage {
        let found = garbage::find(&core, at, rights.free, &objects, false, &mut findings, teller).await?;
        report.garbage = Some(found);
    }
    report.objects = objects.looked_at;
    report.bytes = objects.bytes;
    report.take(findings);
    let looked = Looked {
        rights,
        core: Some(core),
        log_end: objects.log_end,
    };
    Ok((report, looked))
}

/// A volume by one of its heads, to be read; nothing of it is ever written.
pub(crate) fn reader(shelf: &Shelf, at: At, head: Head) -> Core {
    let options = Options::default();
    Core::new(
        shelf.clone(),
        at.0,
        [0; 16],
        options,
        State::new(head, at.1 + 1, options.codec),
        None,
        Frames::new(None, Arc::new(Memory::new(MEMORY_MIN))),
    )
}

/// The root pages of all maps.
async fn roots(core: &Core, head: &Head, findings: &mut Findings) -> Result<(), LogError> {
    let of_volume = std::iter::once(("the map of the volume".to_owned(), head.map));
    let of_snapshots = head.snapshots.iter().map(|snapshot| {
        (
            format!("the map of snapshot {}", crate::snapshot::title(snapshot)),
            snapshot.map,
        )
    });
    for (whose, tree) in of_volume.chain(of_snapshots) {
        if let Err(error) = root(core, tree).await? {
            findings.add(Problem::Page, whose, error);
        }
    }
    Ok(())
}

async fn root(core: &Core, tree: Tree) -> Result<Result<(), LogError>, LogError> {
    let (Some(pointer), Some(level)) = (tree.root, tree.levels.checked_sub(1)) else {
        return Ok(Ok(()));
    };
    let page = crate::tree::NeedsPage {
        pointer,
        level,
        first: 0,
    };
    let read = trees::read_one(core, pointer).await?;
    Ok(read.and_then(|frame| crate::core::page_numbers(&frame, page).map(drop)))
}
