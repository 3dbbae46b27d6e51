//! Clones: volumes that begin as a snapshot of another one, and read what they have not written from that one's segments.
//!
//! ```text
//! parent   head: snapshots [ … { id 7, children [C] } … ]          1  the list is the pin: what the snapshot reaches stays
//! child C  epoch/1                                                 2  by create-if-absent
//! child C  head/1/0: lineage [C, parent@7, whose parent@3, …]      3  the snapshot's map; the parent's spans, then its own
//! ```
//! Three round trips, whatever the size: nothing is copied, and the parent's head is the one before but for the list.
//!
//! **Numbers.** The child's segments are counted on from the snapshot's cut, so a number says whose segment it is
//! (`Head::place`), and for those of ancestors nothing is counted, moved or removed by the child.
//!
//! **Pins.** The child is listed before anything of it is there, and taken off the list only once it is known that it does not read from
//! the snapshot and never will ([`crate::children`]). A snapshot that is deleted before loses its name at once; what it reaches is let go
//! when the last one is off its list. A child keeps its ancestors' snapshots in the same way: each generation pins the one before, because a
//! volume is not deleted, and does not leave its lineage ([`crate::flatten`]), while a snapshot of it reads from there.
//!
//! **Reading** what the parent has moved meanwhile: [`crate::ancestors`].

use crate::core::Core;
use crate::{LogError, Writer, recover, snapshot};
use restblk_format::log::{Head, Lineage, Snapshot, Span};
use restblk_types::{ErrorKind, VolumeId};

/// A child that this process is creating: not looked for meanwhile. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    core: &'a Core,
    child: VolumeId,
}

impl<'a> Expected<'a> {
    pub(crate) fn new(core: &'a Core, child: VolumeId) -> Self {
        core.state().expected.push(child);
        Self { core, child }
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut state = self.core.state();
        let at = state.expected.iter().position(|child| *child == self.child);
        at.map(|at| state.expected.swap_remove(at));
    }
}

/// Creates the child of a snapshot that lists it.
pub(crate) async fn create(core: &Core, id: u64, child: VolumeId, writer: &Writer) -> Result<(), LogError> {
    let head = {
        let state = core.state();
        first_head(
            &state.head,
            core.shelf.volume,
            snapshot::visible(&state, id)?,
            child,
        )?
    };
    recover::begin(&core.shelf.of(child), &head, writer).await
}

/// What a clone of a snapshot begins with.
fn first_head(
    parent: &Head,
    parent_id: VolumeId,
    snapshot: &Snapshot,
    child: VolumeId,
) -> Result<Head, LogError> {
    let mut epochs = Vec::new();
    for span in &parent.epochs {
        // An epoch that began after the snapshot has nothing of it.
        if span.log < snapshot.log || span.map < snapshot.map_cut {
            let volume = span.volume.checked_add(1).ok_or_else(|| too_deep(snapshot))?;
            epochs.push(Span { volume, ..*span });
        }
    }
    // Nothing but a volume's own table names segments of moved frames. The parent's present number would differ when it is tried again.
    let gc = epochs.last().map_or(1, |span| span.gc);
    epochs.push(Span {
        volume: 0,
        epoch: 1,
        log: snapshot.log,
        map: snapshot.map_cut,
        gc,
    });
    let of = |volume, snapshot| Lineage { volume, snapshot };
    let mut lineage = vec![of(child, None), of(parent_id, Some(snapshot.id))];
    lineage.extend(parent.lineage.iter().skip(1));
    Ok(Head {
        block_size: parent.block_size,
        lineage,
        epochs,
        map: snapshot.map,
        features: parent.features,
        ..Head::empty(child, snapshot.size)
    })
}

fn too_deep(snapshot: &Snapshot) -> LogError {
    let title = snapshot::title(snapshot);
    let message =
        format!("clone the snapshot {title}: its volume has too many ancestors; flatten that one first");
    LogError::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
