//! Snapshots: a cut in the numbers of segments, and the map as it was.
//!
//! Making one is a checkpoint. Deleting one is a checkpoint, too, after counting the blocks that no other snapshot and not
//! the volume reach: those born after the snapshot before it and before its own cut, as far as they are on lists.

use crate::LogError;
use crate::checkpoint::{checkpoint, held};
use crate::core::{Core, Which};
use crate::defect::Defect;
use crate::diff::diff;
use crate::state::{State, cut};
use crate::table::{self, is_held};
use crate::tree::Radix;
use restblk_format::log::{Kind, SegmentNumber, Snapshot};
use restblk_types::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) async fn create(core: &Core, name: String, created_at: String) -> Result<u64, LogError> {
    let id = {
        let state = core.state();
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
        };
        state.head.snapshots.push(snapshot);
        state.head.snapshot_next = id + 1;
    })
    .await?;
    Ok(id)
}

/// The place of a snapshot in the head.
fn find(state: &State, id: u64) -> Result<usize, LogError> {
    let found = state.head.snapshots.iter().position(|snapshot| snapshot.id == id);
    found.ok_or_else(|| LogError::new(ErrorKind::NotFound, format!("find snapshot {id}: there is none")))
}

/// Guards a snapshot against its deletion, or ends that.
pub(crate) async fn protect(core: &Core, id: u64, protected: bool) -> Result<(), LogError> {
    let at = find(&core.state(), id)?;
    checkpoint(core, |state| state.head.snapshots[at].protected = protected).await
}

pub(crate) async fn delete(core: &Core, id: u64) -> Result<(), LogError> {
    {
        let state = core.state();
        let snapshot = &state.head.snapshots[find(&state, id)?];
        if snapshot.protected || !snapshot.children.is_empty() {
            let name = snapshot.name.as_deref().unwrap_or("without a name");
            let why = if snapshot.protected {
                "it is protected: end that first (restblk snapshot unprotect)"
            } else {
                "volumes were cloned from it"
            };
            let message = format!("delete the snapshot {name}: {why}");
            return Err(LogError::new(ErrorKind::Busy, message));
        }
    }
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
        let at = find(&state, id)?;
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
        let snapshot = &state.head.snapshots[find(&state, id)?];
        let died = state.number(Kind::Log, state.applied)?.number();
        (state.head.map, snapshot.map, snapshot.size, died)
    };
    let (mut lost, mut back) = (Vec::new(), BTreeMap::<SegmentNumber, BTreeSet<u32>>::new());
    diff(core, now, then, &mut |change| {
        lost.extend(change.before);
        if let Some(pointer) = change.after {
            back.entry(pointer.segment()).or_default().insert(pointer.low());
        }
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
    checkpoint(core, |state| state.head.size = size).await?;
    core.size.send_replace(size);
    Ok(())
}
