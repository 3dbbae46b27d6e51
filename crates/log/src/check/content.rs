//! What a map must say: by its own pages as far as they can be read, and by the segments' indexes for the rest.
//!
//! The newest write of a block wins: by the number of its segment, which rises over all epochs, and by its place in the index. Holes count like
//! writes. A frame that was moved counts as one of the segment that it was born in.

use super::survey::Survey;
use super::trees::{Step, Walk};
use crate::LogError;
use crate::core::Core;
use crate::frames::segment_head;
use crate::shelf::{Series, Shelf};
use crate::state::State;
use crate::tree::Radix;
use lru::LruCache;
use restblk_format::log::{Entry, EntryKind, Pointer, SegmentHead, SegmentNumber, Tree};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

/// Indexes that are kept: those of moved frames are read for each segment that was moved there.
const INDEXES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// All blocks that there can be.
pub(super) const ALL: Range<u64> = 0..1 << 35;

/// The blocks' pointers, all in memory.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) map: Radix,
    /// Pages that could not be read.
    pub(super) torn: u64,
}

/// See the module.
pub(super) struct Source<'a> {
    shelf: &'a Shelf,
    survey: &'a Survey,
    indexes: LruCache<SegmentNumber, Arc<SegmentHead>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(shelf: &'a Shelf, survey: &'a Survey) -> Self {
        Self {
            shelf,
            survey,
            indexes: LruCache::new(INDEXES),
        }
    }

    /// The blocks of a tree that has all segments before `cut`. Where pages cannot be read, `below` is what was there before all segments.
    pub(super) async fn content(
        &mut self,
        tree: Option<(&Core, Tree)>,
        below: Option<(&Core, Tree)>,
        cut: u32,
    ) -> Result<Content, LogError> {
        let mut map = Radix::default();
        let torn = match tree {
            Some((core, tree)) => read(core, tree, &[ALL], &mut map).await?,
            None => vec![ALL],
        };
        if let (Some((core, tree)), false) = (below, torn.is_empty()) {
            read(core, tree, &torn, &mut map).await?;
        }
        if !torn.is_empty() {
            self.put(&mut map, 0..cut, &torn).await?;
        }
        let torn = if tree.is_some() { torn.len() as u64 } else { 0 };
        Ok(Content { map, torn })
    }

    /// The same with the log's segments of these numbers.
    pub(super) async fn go_on(&mut self, content: &mut Content, numbers: Range<u32>) -> Result<(), LogError> {
        self.put(&mut content.map, numbers, &[ALL]).await
    }

    async fn put(
        &mut self,
        map: &mut Radix,
        numbers: Range<u32>,
        wanted: &[Range<u64>],
    ) -> Result<(), LogError> {
        for segment in self.survey.logs() {
            if !numbers.contains(&segment.number()) {
                continue;
            }
            for entry in self.entries(segment).await? {
                for range in wanted {
                    put(map, &entry, range);
                }
            }
        }
        Ok(())
    }

    /// What the index of a segment says that it holds, wherever its frames are now.
    async fn entries(&mut self, born: SegmentNumber) -> Result<Vec<Entry>, LogError> {
        let object = if self.survey.segments.contains_key(&born) {
            born
        } else {
            match self.survey.moved.get(&born) {
                Some(moved) => *moved,
                None => return Ok(Vec::new()),
            }
        };
        let head = match self.indexes.get(&object) {
            Some(head) => Arc::clone(head),
            None => {
                let found = self.survey.segments[&object];
                let key = self
                    .shelf
                    .key(Series::Segments(object.kind(), found.epoch), found.sequence);
                let gone = || LogError::corrupt(&key, "it was there, and is gone");
                let head = Arc::new(segment_head(self.shelf, &key).await?.ok_or_else(gone)?);
                self.indexes.put(object, Arc::clone(&head));
                head
            }
        };
        let is_of_it = |entry: &&Entry| match entry.kind {
            EntryKind::Frame { origin, .. } => origin.segment() == born,
            EntryKind::Hole => object == born,
        };
        Ok(head.entries.iter().filter(is_of_it).copied().collect())
    }
}

/// Puts what a tree says of these ranges into a map; returns what cannot be read of it.
async fn read(
    core: &Core,
    tree: Tree,
    wanted: &[Range<u64>],
    map: &mut Radix,
) -> Result<Vec<Range<u64>>, LogError> {
    let mut torn = Vec::new();
    let mut walk = Walk::new(core, Tree::default(), tree);
    while let Some(steps) = walk.next().await? {
        for step in steps {
            match step {
                Step::Torn { blocks, .. } => torn.push(blocks),
                Step::Leaf { first, numbers } => {
                    for (block, bits) in (first..).zip(numbers.iter()) {
                        if *bits != 0 && wanted.iter().any(|range| range.contains(&block)) {
                            set(map, block, *bits);
                        }
                    }
                }
            }
        }
        core.shrink();
    }
    torn.sort_unstable_by_key(|range| range.start);
    Ok(torn)
}

/// Puts what a line of an index says into a map, as far as it is in the range.
fn put(map: &mut Radix, entry: &Entry, range: &Range<u64>) {
    for blocks in State::blocks_of(std::slice::from_ref(entry)) {
        let (start, end) = (blocks.start.max(range.start), blocks.end.min(range.end));
        if start >= end {
            continue;
        }
        if entry.kind == EntryKind::Hole {
            let mut gone = Vec::new();
            map.numbers(start..end, &mut |block, _| gone.push(block));
            gone.into_iter().for_each(|block| set(map, block, 0));
            continue;
        }
        for block in start..end {
            let at = u32::try_from(block - blocks.start).unwrap_or(u32::MAX);
            set(map, block, entry.pointer(at).map_or(0, Pointer::to_bits));
        }
    }
}

/// All of the map is in memory, so nothing can be missing.
fn set(map: &mut Radix, block: u64, bits: u64) {
    if ALL.contains(&block) {
        let set = map.set(block, bits);
        debug_assert!(set.is_ok(), "{set:?}");
    }
}
