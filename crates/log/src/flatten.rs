//! A clone becomes a volume of its own: what it still reads from its ancestors is written into its own segments.
//!
//! Block by block in order, through the batch that users write to: under the state's lock a block is taken only where the map still says
//! what was read, and nobody has written to it since. So nothing of a user's is lost, the pages of the map follow by themselves, and memory is
//! bounded as that of writers is. Nothing else is changed until the end: it can be stopped at any moment, and what was copied is
//! not copied again.
//!
//! At the end the lineage is left, if no snapshot reads from it, by a head that says so; the parent then takes the volume off its list
//! when it looks ([`crate::children`]).

use crate::LogError;
use crate::checkpoint::{checkpoint, commit};
use crate::core::{Core, Which};
use crate::defect::Defect;
use crate::device::LogVolume;
use crate::diff::diff;
use crate::pieces::fill;
use crate::snapshot::title;
use crate::state::{Source, State};
use crate::upload::seal;
use bytes::Bytes;
use restblk_format::log::{BLOCK, Pointer, Tree};
use restblk_types::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Blocks looked at in one go: 16 pages of the map.
const LOOKED_AT: u64 = 2048;
/// Blocks copied in one go: 1 MiB.
const COPIED: usize = 256;

/// How far a flatten has come, or the warming of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Blocks of 4 KiB that are done with.
    pub done: u64,
    /// Blocks of the volume.
    pub blocks: u64,
    /// Blocks that were copied, or read into the cache.
    pub copied: u64,
}

/// The rollbacks so far; none may be under way.
pub(crate) fn rollbacks(state: &State) -> Result<u64, LogError> {
    if state.rollbacks_begun == state.rollbacks_ended {
        Ok(state.rollbacks_begun)
    } else {
        Err(rolled_back())
    }
}

/// Copies what is read from ancestors.
pub(crate) async fn copy(
    volume: &LogVolume,
    rollbacks: u64,
    told: &mut (dyn FnMut(Progress) + Send),
) -> Result<(), LogError> {
    let core = &volume.core;
    let blocks = core.state().head.size / BLOCK as u64;
    let mut copied = 0;
    for first in (0..blocks).step_by(LOOKED_AT.try_into().unwrap_or(usize::MAX)) {
        let range = first..blocks.min(first + LOOKED_AT);
        loop {
            let foreign = core
                .with_pages(&range, |state| foreign(state, range.clone()))
                .await?;
            if foreign.is_empty() {
                break;
            }
            for run in runs(&foreign) {
                copied += copy_run(volume, run, rollbacks).await?;
            }
        }
        told(Progress {
            done: range.end,
            blocks,
            copied,
        });
    }
    Ok(())
}

/// The blocks that are read from ancestors.
fn foreign(state: &State, range: Range<u64>) -> Vec<(u64, Pointer)> {
    let mut found = Vec::new();
    state.map.numbers(range, &mut |block, bits| {
        if let Ok(Some(pointer)) = Pointer::from_bits(bits)
            && !state.is_own(pointer.segment())
        {
            found.push((block, pointer));
        }
    });
    // What is written since and not in the map needs no copy.
    found.retain(|(block, _)| matches!(state.look(*block), Ok(Source::Stored(_))));
    found
}

/// Blocks that follow each other, a bounded number of them.
fn runs(blocks: &[(u64, Pointer)]) -> impl Iterator<Item = &[(u64, Pointer)]> {
    blocks
        .chunk_by(|(before, _), (after, _)| *after == before + 1)
        .flat_map(|run| run.chunks(COPIED))
}

/// Writes a run of blocks anew, but for those that somebody has written to since; returns how many.
async fn copy_run(volume: &LogVolume, run: &[(u64, Pointer)], rollbacks: u64) -> Result<u64, LogError> {
    let core = &volume.core;
    let Some((first, _)) = run.first().copied() else {
        return Ok(0);
    };
    let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
    let sources: Vec<Source> = run.iter().map(|(_, pointer)| Source::Stored(*pointer)).collect();
    let mut data = vec![0; run.len() * BLOCK];
    if !fill(core, &sources, first.., &mut data).await? {
        // The map says something else by now.
        return Ok(0);
    }
    let data = Bytes::from(data);
    let range = first..first + u64::from(count);
    loop {
        core.load_ranges(Which::Map, std::slice::from_ref(&range)).await?;
        let room = volume.room(count).await?;
        let taken = {
            let mut state = core.state();
            let mut missing = Vec::new();
            state.map.missing(range.clone(), &mut missing);
            if missing.is_empty() {
                Some(take(core, &mut state, run, &room.charge(data.clone()), rollbacks))
            } else {
                None
            }
        };
        if let Some(taken) = taken {
            return taken.map(|blocks| blocks as u64);
        }
    }
}

/// Has the open batch take the blocks that are what they were; returns how many.
fn take(
    core: &Arc<Core>,
    state: &mut State,
    run: &[(u64, Pointer)],
    data: &Bytes,
    rollbacks: u64,
) -> Result<usize, LogError> {
    // What is read now is not what the volume becomes.
    if state.rollbacks_begun != rollbacks {
        return Err(rolled_back());
    }
    if state.open.room() < run.len() {
        seal(core, state);
    }
    let mut still = 0;
    for (at, (block, pointer)) in run.iter().enumerate() {
        let now = state.look(*block);
        let same = matches!(now, Ok(Source::Stored(now)) if now == *pointer);
        if same || Defect::FlattenedOverWrites.is_made() {
            state.open.write(*block, data.slice(at * BLOCK..(at + 1) * BLOCK));
            still += 1;
        }
    }
    if state.open.is_full() {
        seal(core, state);
    }
    Ok(still)
}

fn rolled_back() -> LogError {
    let message =
        "flatten the volume: it is being rolled back, or was meanwhile; flatten it again afterwards";
    LogError::new(ErrorKind::Busy, message)
}

/// Refuses while snapshots read from ancestors. `beside` is a tree that does not: what a snapshot shares with it is not looked at.
pub(crate) async fn check_snapshots(core: &Core, beside: Tree) -> Result<(), LogError> {
    let snapshots = core.state().head.snapshots.clone();
    let mut readers = Vec::new();
    for snapshot in snapshots {
        let mut reads = false;
        diff(core, beside, snapshot.map, &mut |change| {
            let own = |pointer: Pointer| core.state().is_own(pointer.segment());
            reads |= change.after.is_some_and(|pointer| !own(pointer));
            if reads {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await?;
        if reads {
            readers.push(title(&snapshot));
        }
    }
    if readers.is_empty() || Defect::LeftUnderSnapshots.is_made() {
        return Ok(());
    }
    let message = format!(
        "flatten the volume: snapshots of it read from the volume that it was cloned from: {}; delete them first, and what was cloned from them",
        readers.join(", ")
    );
    Err(LogError::new(ErrorKind::Busy, message))
}

/// Leaves the lineage, if the volume was not rolled back since `rollbacks` was counted.
pub(crate) async fn leave(core: &Core, rollbacks: u64) -> Result<(), LogError> {
    checkpoint(core, |_| {}).await?;
    let map = {
        let state = core.state();
        if state.rollbacks_begun != rollbacks {
            return Err(rolled_back());
        }
        state.head.map
    };
    check_snapshots(core, map).await?;
    commit(core, |state| {
        state.head.lineage.truncate(1);
        state.head.epochs.retain(|span| span.volume == 0);
    })
    .await
}
