//! Volumes that were cloned from this one's snapshots, seen from here: who is listed, who still lives, and what is let go with the last.
//!
//! A snapshot lists its clones; the list is what pins it (see [`crate::clone`]). Who is on it and does not read from it any more is found
//! out by looking for the child's newest head, never by listing: it was deleted, it was flattened, or its creation was cut off. In the
//! last case its creator may only be slow. A tombstone in the place where it would go on decides the race: at the child's first epoch, or,
//! where that one is there, at its first head. Whoever comes second fails.

use crate::core::Core;
use crate::defect::Defect;
use crate::look::newest;
use crate::series::{Ended, entomb};
use crate::shelf::{Series, Shelf};
use crate::{LogError, checkpoint, snapshot};
use futures_util::{StreamExt, stream};
use restblk_format::log::{Head, Snapshot};
use restblk_types::{ErrorKind, VolumeId};
use std::collections::BTreeSet;

/// Looks at a child that is being created or deleted, before that is left to another time.
const LOOKS: usize = 4;

/// Children looked for at once.
const PARALLEL: usize = 8;

/// A volume that a snapshot lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Child {
    /// The snapshot.
    pub snapshot: u64,
    /// Who was cloned from it.
    pub volume: VolumeId,
}

/// All who are listed in a head, living or not.
pub(crate) fn listed(head: &Head) -> Vec<Child> {
    let of = |snapshot: &Snapshot| {
        let id = snapshot.id;
        let child = move |volume: &VolumeId| Child {
            snapshot: id,
            volume: *volume,
        };
        snapshot.children.iter().map(child).collect::<Vec<_>>()
    };
    head.snapshots.iter().flat_map(of).collect()
}

/// The volume that keeps the snapshots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper<'a> {
    pub(crate) shelf: &'a Shelf,
    pub(crate) epoch: u32,
    pub(crate) nonce: &'a [u8; 16],
}

impl Keeper<'_> {
    /// Whether a volume reads from the snapshot, or may yet. Where the answer is no, it is no for ever.
    pub(crate) async fn lives(&self, child: Child) -> Result<bool, LogError> {
        let shelf = self.shelf.of(child.volume);
        for _ in 0..LOOKS {
            if let Some((_, head)) = newest(&shelf, None).await? {
                let from_here = |of: &restblk_format::log::Lineage| {
                    of.volume == self.shelf.volume && of.snapshot == Some(child.snapshot)
                };
                return Ok(head.lineage.iter().any(from_here));
            }
            if Defect::NoTombstoneForChild.is_made() {
                return Ok(false);
            }
            for (series, number) in [(Series::Epochs, 1), (Series::Heads(1), 0)] {
                let ended = entomb(&shelf, series, number, 1, self.epoch, self.nonce).await?;
                if let Ended::Here = ended {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Those of these that are gone. One that cannot be looked for now is held to live.
async fn gone(core: &Core, children: Vec<Child>) -> BTreeSet<Child> {
    let keeper = Keeper {
        shelf: &core.shelf,
        epoch: core.epoch,
        nonce: &core.nonce,
    };
    let look = |child: Child| async move {
        if core.state().expected.contains(&child.volume) {
            return None;
        }
        match keeper.lives(child).await {
            Ok(lives) => (!lives).then_some(child),
            Err(error) => {
                tracing::warn!(%error, child = %child.volume, "whether a clone still lives is not known: it is held to");
                None
            }
        }
    };
    let looks = stream::iter(children).map(look).buffer_unordered(PARALLEL);
    looks.filter_map(std::future::ready).collect().await
}

/// Lists a child that is about to be created.
pub(crate) async fn list(core: &Core, child: Child) -> Result<(), LogError> {
    let is_listed = {
        let state = core.state();
        let snapshot = snapshot::visible(&state, child.snapshot)?;
        snapshot.children.contains(&child.volume)
    };
    if is_listed {
        return Ok(());
    }
    checkpoint::commit(core, |state| {
        if let Some(snapshot) = snapshot::find(state, child.snapshot) {
            snapshot.children.push(child.volume);
        }
    })
    .await
}

/// Takes those who are gone off a snapshot's list; says whether somebody is left on it. The next head says so.
pub(crate) async fn prune(core: &Core, id: u64) -> Result<bool, LogError> {
    let mut children = listed(&core.state().head);
    children.retain(|child| child.snapshot == id);
    let gone = gone(core, children).await;
    let mut state = core.state();
    let Some(snapshot) = snapshot::find(&mut state, id) else {
        let message = format!("delete snapshot {id}: there is none");
        return Err(LogError::new(ErrorKind::NotFound, message));
    };
    snapshot
        .children
        .retain(|volume| !gone.iter().any(|child| child.volume == *volume));
    Ok(!snapshot.children.is_empty())
}

/// Takes all who are gone off the lists, and removes the hidden snapshots that have nobody left; answers how many were taken off.
pub(crate) async fn reap(core: &Core) -> Result<u64, LogError> {
    let children = listed(&core.state().head);
    let gone = gone(core, children).await;
    let hidden: Vec<u64> = {
        let mut state = core.state();
        for snapshot in &mut state.head.snapshots {
            let id = snapshot.id;
            snapshot.children.retain(|volume| {
                !gone.contains(&Child {
                    snapshot: id,
                    volume: *volume,
                })
            });
        }
        let snapshots = state.head.snapshots.iter();
        let over = snapshots.filter(|snapshot| snapshot.name.is_none() && snapshot.children.is_empty());
        over.map(|snapshot| snapshot.id).collect()
    };
    if !gone.is_empty() {
        checkpoint::commit(core, |_| {}).await?;
    }
    for id in hidden {
        snapshot::remove(core, id).await?;
    }
    Ok(gone.len() as u64)
}
