//! A volume is put together anew: its maps and its segment table, from the segments themselves, under a new epoch.
//!
//! History is gone through once more: the map becomes what each snapshot has, oldest first, and at last what the volume has, and is stored each
//! time. What dies on the way is noted as a writer would, so lists and counts come out as if nothing had ever been lost. Pages of all trees
//! are written anew; the old ones are garbage then. All of it is in memory: some 16 bytes a block that was written, 4 GiB a TiB.
//!
//! The new epoch's first head is the last thing that is written. Before it nobody reads what is here; cut off, nothing has changed but that
//! former writers are out.

use super::content::{ALL, Content, Source};
use super::survey::Survey;
use super::{Phase, Teller, reader};
use crate::LogError;
use crate::checkpoint::{self, Writer as Pages};
use crate::core::Core;
use crate::look::At;
use crate::shelf::{Series, Shelf};
use crate::state::State;
use crate::table::{self, Line};
use crate::tree::Radix;
use crate::upload::create;
use bytes::Bytes;
use restblk_format::log::{
    Head, Kind, PAGE_LEN, Pointer, SegmentBuilder, SegmentNumber, Snapshot, Span, Tree,
};
use restblk_format::stream::Receiving;
use restblk_types::ErrorKind;
use std::collections::{BTreeMap, HashMap};

/// What a volume is rebuilt of.
pub(super) struct Parts<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) survey: &'a Survey,
    /// The newest head that can be read, and the volume by it.
    pub(super) known: Option<(At, &'a Head, &'a Core)>,
    /// The snapshot that a clone began as, by its parent.
    pub(super) below: Option<(&'a Core, Tree)>,
    /// The first number of the log that is not in the volume.
    pub(super) log_end: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    /// Pages of maps that could not be read and were made anew.
    pub(super) pages: u64,
    pub(super) snapshots: usize,
    /// Blocks of the volume.
    pub(super) blocks: u64,
    /// Blocks that the table before did not know to live: they had been discarded, or were lost by a rollback. None where that table cannot be read.
    pub(super) doubtful: Option<u64>,
}

/// The head that a rebuild begins with: all but maps and snapshots.
pub(super) fn blank(parts: &Parts<'_>, spans: Vec<Span>, size: u64) -> Head {
    let empty = Head::empty(parts.shelf.volume, size);
    let known = match parts.known {
        Some((_, head, _)) => Head {
            size: head.size,
            block_size: head.block_size,
            lineage: head.lineage.clone(),
            snapshot_next: head.snapshot_next,
            // What was received may be among what is lost: it is to be sent from its beginning.
            receiving: head
                .receiving
                .clone()
                .map(|half| Receiving { position: 0, ..half }),
            features: head.features,
            ..empty
        },
        None => empty,
    };
    Head {
        epochs: spans,
        features: known.features | parts.survey.features,
        ..known
    }
}

/// Rebuilds into a core of a new epoch, whose state is [`blank`], and writes its first head.
pub(super) async fn rebuild(parts: &Parts<'_>, core: &Core, teller: Teller<'_>) -> Result<Rebuilt, LogError> {
    let mut done = Rebuilt::default();
    let mut source = Source::new(parts.shelf, parts.survey);
    let mut builder = Builder {
        core,
        live: HashMap::new(),
        stored: Vec::new(),
    };
    let snapshots = parts
        .known
        .map_or_else(Vec::new, |(_, head, _)| head.snapshots.clone());
    let of = snapshots.len() as u64 + 1;
    for (passed, snapshot) in (0..).zip(snapshots) {
        let tree = parts.known.map(|(_, _, known)| (known, snapshot.map));
        let content = source.content(tree, parts.below, snapshot.log).await?;
        done.pages += content.torn;
        done.snapshots += 1;
        builder.follow(&content);
        builder.store().await?;
        builder.keep(snapshot);
        teller.tell(Phase::Rebuild, of + passed + 1, 2 * of, 0);
    }
    let (tree, cut) = match parts.known {
        Some((_, head, known)) => {
            let first = head.epochs.last().map_or(1, |span| span.log);
            (Some((known, head.map)), first + head.log_next)
        }
        None => (None, parts.log_end),
    };
    let mut content = source.content(tree, parts.below, cut).await?;
    done.pages += content.torn;
    builder.follow(&content);
    if done.pages > 0 {
        done.doubtful = builder.compare(parts).await?;
    }
    source.go_on(&mut content, cut..parts.log_end).await?;
    content.map.numbers(ALL, &mut |_, _| done.blocks += 1);
    builder.follow(&content);
    builder.store().await?;
    builder.account(parts.survey);
    checkpoint::checkpoint(core, |_| {}).await?;
    teller.tell(Phase::Rebuild, 2 * of, 2 * of, 0);
    Ok(done)
}

struct Builder<'a> {
    core: &'a Core,
    /// Blocks of each segment that the volume or a snapshot reaches.
    live: HashMap<SegmentNumber, u32>,
    /// Segments of pages that are on the store, with their pages.
    stored: Vec<(SegmentNumber, u32)>,
}

impl Builder<'_> {
    /// Has the map say this.
    fn follow(&mut self, content: &Content) {
        let mut state = self.core.state();
        let died = state.head.snapshots.last().map_or(0, |snapshot| snapshot.log);
        let mut changed = Vec::new();
        let now = |map: &Radix, block| map.get(block).unwrap_or(0);
        state.map.numbers(ALL, &mut |block, _| {
            if now(&content.map, block) == 0 {
                changed.push((block, 0));
            }
        });
        content.map.numbers(ALL, &mut |block, bits| {
            if now(&state.map, block) != bits {
                changed.push((block, bits));
            }
        });
        for (block, bits) in changed {
            // All pages are in memory.
            let before = state.map.set(block, bits).unwrap_or(0);
            state.die(before, died);
            self.born(&mut state, bits);
        }
    }

    /// Counts a block that the map names; one that an older snapshot named and a newer one did not comes back.
    fn born(&mut self, state: &mut State, bits: u64) {
        let Ok(Some(pointer)) = Pointer::from_bits(bits) else {
            return;
        };
        let segment = pointer.segment();
        if !state.is_own(segment) {
            return;
        }
        if let Some(list) = state.held.get_mut(&segment)
            && let Some(at) = list.iter().position(|held| held.block == pointer.low())
        {
            list.swap_remove(at);
            return;
        }
        *self.live.entry(segment).or_default() += 1;
    }

    /// How many more blocks live than the table says that was there before.
    async fn compare(&self, parts: &Parts<'_>) -> Result<Option<u64>, LogError> {
        let Some((at, head, _)) = parts.known else {
            return Ok(None);
        };
        let before = reader(parts.shelf, at, head.clone());
        let mut more = 0;
        for (segment, born) in &self.live {
            let line = match before.line(*segment).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
                line => line?,
            };
            let died = self.core.state().died.get(segment).copied().unwrap_or(0);
            more += u64::from(born.saturating_sub(died).saturating_sub(line.live.into()));
            before.shrink();
        }
        Ok(Some(more))
    }

    /// Stores the pages that changed.
    async fn store(&mut self) -> Result<(), LogError> {
        let done = {
            let mut state = self.core.state();
            let state = &mut *state;
            let sequence = state.head.map_next;
            let mut pages = Pages::new(self.core, state.number(Kind::Map, sequence)?, sequence);
            let mut retired = Vec::new();
            let put =
                &mut |id, page: &[u8; PAGE_LEN]| pages.put(restblk_format::log::FrameKind::Page, id, page);
            let died = state.number(Kind::Map, sequence)?.number();
            state.head.map = state.map.flush(put, &mut |pointer| retired.push(pointer));
            for pointer in retired {
                state.die(pointer.to_bits(), died);
            }
            let (next, done) = pages.end();
            state.head.map_next = next;
            done
        };
        for (sequence, builder) in done {
            self.upload(sequence, builder).await?;
        }
        Ok(())
    }

    async fn upload(&mut self, sequence: u32, builder: SegmentBuilder) -> Result<(), LogError> {
        let core = self.core;
        let pages = u32::try_from(builder.entries().len()).unwrap_or(u32::MAX);
        self.stored.push((builder.number(), pages));
        let (bytes, _) = builder.finish(core.shelf.volume, core.epoch, sequence, core.nonce);
        create(
            core,
            Series::Segments(Kind::Map, core.epoch),
            sequence,
            Bytes::from(bytes),
        )
        .await
    }

    /// The map as it was stored is a snapshot's.
    fn keep(&self, snapshot: Snapshot) {
        let mut state = self.core.state();
        let first = state.head.epochs.last().map_or(1, |span| span.map);
        let kept = Snapshot {
            map_cut: first + state.head.map_next,
            map: state.head.map,
            ..snapshot
        };
        state.head.snapshots.push(kept);
    }

    /// Writes the table: what lives of each segment, and where it is.
    fn account(&mut self, survey: &Survey) {
        let mut state = self.core.state();
        let state = &mut *state;
        state.born.append(&mut self.stored);
        state.held.retain(|_, list| !list.is_empty());
        let most = |blocks: u32| u16::try_from(blocks).unwrap_or(u16::MAX);
        let mut targets = BTreeMap::<SegmentNumber, u32>::new();
        let mut lines = Vec::new();
        for (segment, live) in &self.live {
            let own = survey.segments.get(segment);
            let moved = survey.moved.get(segment).copied().filter(|_| own.is_none());
            if let Some(to) = moved {
                *targets.entry(to).or_default() += live;
            }
            let total = own.map_or(0, |found| found.blocks).max(*live);
            lines.push((*segment, *live, total, moved));
        }
        for (to, live) in targets {
            let total = survey
                .segments
                .get(&to)
                .map_or(live, |found| found.blocks.max(live));
            lines.push((to, live, total, None));
        }
        for (segment, live, total, moved) in lines {
            let line = Line {
                live: most(live),
                total: most(total),
                moved,
                held: None,
            };
            // The table is new, and all of it in memory.
            let set = table::set_line(&mut state.table, segment, line);
            debug_assert!(set.is_ok(), "{set:?}");
        }
    }
}
