//! What changed in a volume from one snapshot to another, or to what it is now; without a first one, all that was ever written.
//!
//! Both maps are walked together, and what they share is skipped ([`crate::tree::compare`]): it costs what was changed, and memory is
//! bounded whatever the size. A block is told where its address differs: one that was written again with the bytes that it had is told, too. What the
//! second has nowhere is told as zeros.
//!
//! A snapshot does not change. What the volume is now does: what was written before the first step is told, and what is written while it goes on may be.

use crate::applier::Order;
use crate::core::{Core, Which};
use crate::pages;
use crate::snapshot;
use crate::tree::{Compared, NeedsPage, Radix, compare};
use crate::{LogError, LogVolume};
use restblk_format::log::{BLOCK, Pointer};
use restblk_types::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

/// Pages of each tree that are kept between two steps, of 1 KiB: those of one go, and the way to them.
const PAGES: usize = 2048;

/// Bytes that are other ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where, in bytes.
    pub bytes: Range<u64>,
    /// They are zeros now.
    pub zeros: bool,
}

/// A block that changed, and where it is now.
pub(crate) type ChangedBlock = (u64, Option<Pointer>);

/// See the module.
#[derive(Debug)]
pub struct Changes {
    core: Arc<Core>,
    /// The snapshots that are compared: they must stay.
    snapshots: Vec<u64>,
    before: Radix,
    /// None: the volume's own.
    after: Option<Radix>,
    blocks: Range<u64>,
    /// Told by the next step, where that does not add to it.
    last: Option<Change>,
}

impl LogVolume {
    /// What changed from a snapshot, or from nothing, to another one, or to now.
    pub async fn changes(&self, from: Option<u64>, to: Option<u64>) -> Result<Changes, LogError> {
        if to.is_none() {
            // All that was written is in the map then.
            self.order(Order::Checkpoint).await?;
        }
        Changes::new(&self.core, from, to)
    }
}

impl Changes {
    pub(crate) fn new(core: &Arc<Core>, from: Option<u64>, to: Option<u64>) -> Result<Self, LogError> {
        let state = core.state();
        let found = |id| snapshot::visible(&state, id);
        let before = match from {
            Some(id) => Radix::open(found(id)?.map),
            None => Radix::default(),
        };
        let (after, size) = match to {
            Some(id) => (Some(Radix::open(found(id)?.map)), found(id)?.size),
            None => (None, state.head.size),
        };
        Ok(Self {
            core: Arc::clone(core),
            snapshots: from.into_iter().chain(to).collect(),
            before,
            after,
            blocks: 0..size / BLOCK as u64,
            last: None,
        })
    }

    /// Bytes of what is compared with.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blocks.end * BLOCK as u64
    }

    /// Nothing before this byte is told.
    #[must_use]
    pub fn starting_at(mut self, byte: u64) -> Self {
        self.blocks.start = (byte / BLOCK as u64).min(self.blocks.end);
        self
    }

    /// The next changes, in order; `None` after the last.
    pub async fn step(&mut self) -> Result<Option<Vec<Change>>, LogError> {
        let Some(blocks) = self.blocks().await? else {
            return Ok(self.last.take().map(|last| vec![last]));
        };
        let mut changes = Vec::new();
        for (block, pointer) in blocks {
            let (start, zeros) = (block * BLOCK as u64, pointer.is_none());
            let end = start + BLOCK as u64;
            match &mut self.last {
                Some(last) if last.zeros == zeros && last.bytes.end == start => last.bytes.end = end,
                last => {
                    let bytes = start..end;
                    changes.extend(last.replace(Change { bytes, zeros }));
                }
            }
        }
        Ok(Some(changes))
    }

    /// The next blocks that changed, in order; `None` after the last.
    pub(crate) async fn blocks(&mut self) -> Result<Option<Vec<ChangedBlock>>, LogError> {
        loop {
            if self.blocks.is_empty() {
                return Ok(None);
            }
            self.alive()?;
            let compared = match &self.after {
                Some(after) => compare(&self.before, after, self.blocks.clone()),
                None => compare(&self.before, &self.core.state().map, self.blocks.clone()),
            };
            let Compared {
                found,
                until,
                before,
                after,
            } = compared;
            self.blocks.start = until;
            load(&self.core, &mut self.before, &before).await?;
            match &mut self.after {
                Some(tree) => load(&self.core, tree, &after).await?,
                None => self.core.load(Which::Map, &after).await?,
            }
            if found.is_empty() {
                continue;
            }
            let block = |(block, bits)| (block, Pointer::from_bits(bits).ok().flatten());
            let blocks = found.into_iter().map(block).collect();
            for tree in std::iter::once(&mut self.before).chain(self.after.as_mut()) {
                tree.shrink(PAGES);
            }
            return Ok(Some(blocks));
        }
    }

    /// Refuses once a snapshot is deleted: what it held may be gone.
    pub(crate) fn alive(&self) -> Result<(), LogError> {
        self.core.alive()?;
        let state = self.core.state();
        for id in &self.snapshots {
            snapshot::visible(&state, *id).map_err(|_| {
                let message = "compare the snapshots: one of them was deleted meanwhile";
                LogError::new(ErrorKind::NotFound, message)
            })?;
        }
        Ok(())
    }
}

/// Reads pages of a snapshot's tree into it.
async fn load(core: &Core, tree: &mut Radix, pages: &[NeedsPage]) -> Result<(), LogError> {
    for (page, numbers) in pages::of_snapshot(core, pages.to_vec(), pages).await? {
        tree.install(page, &numbers);
    }
    Ok(())
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
