//! Snapshots: a cut in the numbers of segments, and the map as it was.
//!
//! Making one is a checkpoint. Deleting one is a checkpoint, too, after counting the blocks that no other snapshot and not
//! the volume reach: those born after the snapshot before it and before its own cut, as far as they are on lists.

use crate::LogError;
use crate::checkpoint::{checkpoint, commit, held};
use crate::children;
use crate::core::{Core, Which};
use crate::defect::Defect;
use crate::diff::diff;
use crate::receive::half_of;
use crate::state::{State, cut};
use crate::table::{self, is_held};
use crate::tree::Radix;
use restblk_format::log::{Kind, SegmentNumber, Snapshot};
use restblk_format::stream::{Moment, Origin, Receiving};
use restblk_types::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A snapshot that is to be made.
#[derive(Debug)]
pub(crate) struct New {
    name: String,
    created_at: String,
    /// What it is a copy of.
    origin: Option<Origin>,
}

impl New {
    /// Of what the volume is.
    pub(crate) fn made(name: &str, created_at: &str) -> Self {
        Self {
            name: name.to_owned(),
            created_at: created_at.to_owned(),
            origin: None,
        }
    }

    /// Of what it has received.
    pub(crate) fn received(moment: Moment) -> Self {
        Self {
            name: moment.name,
            created_at: moment.created_at,
            origin: Some(moment.origin),
        }
    }
}

/// Makes a snapshot. One that was received ends the receiving in the same head.
pub(crate) async fn create(core: &Core, new: New) -> Result<u64, LogError> {
    let New {
        name,
        created_at,
        origin,
    } = new;
    let id = {
        let state = core.state();
        if let Some(half) = state.head.receiving.as_ref().filter(|_| origin.is_none()) {
            return Err(half_of(&format!("make the snapshot {name}"), half));
        }
        if state
            .head
            .snapshots
            .iter()
            .any(|other| other.name.as_ref() == Some(&name))
        {
            let message = format!("make the snapshot {name}: there is one of this name");
            return Err(LogError::new(ErrorKind::Exists, message));
        }
        state.head.snapshot_next
    };
    let (log, map) = (Kind::Log, Kind::Map);
    checkpoint(core, |state| {
        let first = |kind| state.head.epochs.last().map_or(1, |span| span.first(kind));
        let snapshot = Snapshot {
            id,
            name: Some(name),
            created_at,
            size: state.head.size,
            log: first(log) + state.applied,
            map_cut: first(map) + state.head.map_next,
            map: state.head.map,
            protected: false,
            children: Vec::new(),
            origin,
        };
        if origin.is_some() {
            state.head.receiving = None;
        }
        state.head.snapshots.push(snapshot);
        state.head.snapshot_next = id + 1;
    })
    .await?;
    Ok(id)
}

fn none(id: u64) -> LogError {
    LogError::new(ErrorKind::NotFound, format!("find snapshot {id}: there is none"))
}

/// A snapshot, as users see it: one that is deleted and only held by clones is none.
pub(crate) fn visible(state: &State, id: u64) -> Result<&Snapshot, LogError> {
    let mut snapshots = state.head.snapshots.iter();
    snapshots
        .find(|snapshot| snapshot.id == id && snapshot.name.is_some())
        .ok_or_else(|| none(id))
}

/// A snapshot, hidden or not.
pub(crate) fn find(state: &mut State, id: u64) -> Option<&mut Snapshot> {
    state.head.snapshots.iter_mut().find(|snapshot| snapshot.id == id)
}

/// Guards a snapshot against its deletion, or ends that.
pub(crate) async fn protect(core: &Core, id: u64, protected: bool) -> Result<(), LogError> {
    visible(&core.state(), id)?;
    checkpoint(core, |state| {
        if let Some(snapshot) = find(state, id) {
            snapshot.protected = protected;
        }
    })
    .await
}

/// What people call it.
pub(crate) fn title(snapshot: &Snapshot) -> String {
    match &snapshot.name {
        Some(name) => name.clone(),
        None => format!("number {}, which is deleted and has clones", snapshot.id),
    }
}

/// Deletes a snapshot; while volumes read from it, only its name goes.
pub(crate) async fn delete(core: &Core, id: u64) -> Result<(), LogError> {
    if visible(&core.state(), id)?.protected {
        let name = title(visible(&core.state(), id)?);
        let message = format!(
            "delete the snapshot {name}: it is protected; end that first (restblk snapshot unprotect)"
        );
        return Err(LogError::new(ErrorKind::Busy, message));
    }
    if let Some(half) = told_from(core, id) {
        let name = title(visible(&core.state(), id)?);
        return Err(half_of(
            &format!("delete the snapshot {name}, which is what the volume was"),
            &half,
        ));
    }
    if children::prune(core, id).await? && !Defect::ReleasedUnderChildren.is_made() {
        return commit(core, |state| {
            if let Some(snapshot) = find(state, id) {
                snapshot.name = None;
            }
        })
        .await;
    }
    remove(core, id).await
}

/// What the volume has a part of, told from this snapshot: it is the way back.
fn told_from(core: &Core, id: u64) -> Option<Receiving> {
    let state = core.state();
    let moment = visible(&state, id).ok()?.moment(core.shelf.volume)?;
    let half = state.head.receiving.clone()?;
    half.from
        .as_ref()
        .is_some_and(|from| from.is(&moment))
        .then_some(half)
}

/// Removes a snapshot that nobody reads from, with what it alone holds.
pub(crate) async fn remove(core: &Core, id: u64) -> Result<(), LogError> {
    // What is held since the last checkpoint comes onto the lists first.
    checkpoint(core, |_| {}).await?;
    for kind in [Kind::Log, Kind::Map] {
        release(core, id, kind).await?;
    }
    checkpoint(core, |state| {
        state.head.snapshots.retain(|snapshot| snapshot.id != id)
    })
    .await
}

/// Buries the blocks of one kind that this snapshot alone holds.
async fn release(core: &Core, id: u64, kind: Kind) -> Result<(), LogError> {
    let (from, to, left) = {
        let state = core.state();
        let mut snapshots = state.head.snapshots.iter();
        let at = snapshots
            .position(|snapshot| snapshot.id == id)
            .ok_or_else(|| none(id))?;
        let cuts = |snapshot: &Snapshot| cut(snapshot, kind);
        let from = at
            .checked_sub(1)
            .map_or(1, |before| cuts(&state.head.snapshots[before]));
        let others = state.head.snapshots.iter().filter(|snapshot| snapshot.id != id);
        (
            from,
            cuts(&state.head.snapshots[at]),
            others.map(cuts).collect::<Vec<_>>(),
        )
    };
    let from = if Defect::ReleasedTooMuch.is_made() {
        1
    } else {
        from
    };
    let left = if Defect::ReleasedTooMuch.is_made() {
        Vec::new()
    } else {
        left
    };
    let range = table::indexes(kind, from..to);
    core.load_ranges(Which::Table, std::slice::from_ref(&range))
        .await?;
    let lines = table::lines(&core.state().table, range);
    for (segment, line) in lines {
        let Some(at) = line.held else { continue };
        let list = held(core, segment, at).await?;
        let dead = list
            .iter()
            .filter(|block| !is_held(&left, segment.number(), block.died))
            .count();
        if dead == 0 {
            continue;
        }
        let keep: Vec<_> = list
            .into_iter()
            .filter(|block| is_held(&left, segment.number(), block.died))
            .collect();
        forget(core, segment, dead, keep).await?;
    }
    Ok(())
}

/// Notes that so many blocks of a segment died, and what is still on its list.
async fn forget(
    core: &Core,
    segment: SegmentNumber,
    dead: usize,
    keep: Vec<table::Held>,
) -> Result<(), LogError> {
    let mut line = core.line(segment).await?;
    let mut state = core.state();
    if let Some(list) = line.held.take() {
        state.retire_book(list);
    }
    table::set_line(&mut state.table, segment, line)
        .map_err(|_| LogError::bug("a page of the table went away"))?;
    if !keep.is_empty() {
        state.held.insert(segment, keep);
    }
    if dead > 0 {
        *state.died.entry(segment).or_default() += u32::try_from(dead).unwrap_or(u32::MAX);
    }
    Ok(())
}

/// Makes the volume what it was: its map is the snapshot's, what it loses by that dies, and what comes back is not held any more.
pub(crate) async fn rollback(core: &Core, id: u64) -> Result<(), LogError> {
    checkpoint(core, |_| {}).await?;
    let (now, then, size, died) = {
        let state = core.state();
        let snapshot = visible(&state, id)?;
        let died = state.number(Kind::Log, state.applied)?.number();
        (state.head.map, snapshot.map, snapshot.size, died)
    };
    let (mut lost, mut back) = (Vec::new(), BTreeMap::<SegmentNumber, BTreeSet<u32>>::new());
    diff(core, now, then, &mut |change| {
        lost.extend(change.before);
        if let Some(pointer) = change.after {
            back.entry(pointer.segment()).or_default().insert(pointer.low());
        }
        ControlFlow::Continue(())
    })
    .await?;
    for (segment, blocks) in back {
        let line = core.line(segment).await?;
        let Some(at) = line.held else { continue };
        let mut list = held(core, segment, at).await?;
        list.retain(|held| !blocks.contains(&held.block));
        forget(core, segment, 0, list).await?;
    }
    {
        let mut state = core.state();
        for pointer in lost {
            let died = match pointer.segment().kind() {
                Kind::Map => state.number(Kind::Map, state.head.map_next)?.number(),
                Kind::Log | Kind::Gc => died,
            };
            state.die(pointer.to_bits(), died);
        }
        if !Defect::StaleMapAfterRollback.is_made() {
            state.map = Radix::open(then);
        }
    }
    checkpoint(core, |state| {
        state.head.size = size;
        // What it had a part of is given up.
        state.head.receiving = None;
    })
    .await?;
    core.size.send_replace(size);
    Ok(())
}
