//! Which blocks of the volume and of its snapshots cannot be read: what their maps say, against what is known of the objects.
//!
//! Trees are walked one after the other, each for what it does not share with the one before. Where something is lost, and there are
//! snapshots, each of them is walked whole, because the same block may be lost in several.

use super::objects::{self, Bad, Index, Wanted};
use super::segments::Objects;
use super::trees::{Step, Walk, read_one};
use super::{Findings, Lost, Phase, Problem, Teller};
use crate::LogError;
use crate::ancestors;
use crate::core::Core;
use crate::frames::segment_head;
use restblk_format::log::{BLOCK, EntryKind, PAGE_FAN_OUT, Pointer, SegmentNumber, Tree};
use restblk_types::ErrorKind;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Ranges that are told one by one.
const RANGES_MAX: usize = 1000;
/// Segments whose objects are remembered, before they are looked up anew.
const KNOWN_MAX: usize = 1 << 20;

/// A tree, and whose it is: a snapshot's, or the volume's.
type Named = (Option<(u64, Option<String>)>, Tree, u64);

/// Where a segment's frames are.
#[derive(Clone, Debug)]
enum Home {
    /// In an object of the volume's own.
    Own(SegmentNumber),
    /// In an ancestor's; what cannot be read of it.
    Ancestor(Option<Arc<Bad>>),
    /// Nowhere, or it cannot be told.
    Nowhere(String),
}

/// See the module.
struct Finder<'a> {
    core: &'a Core,
    objects: &'a mut Objects,
    known: HashMap<SegmentNumber, Home>,
}

/// Tells what is lost; nothing where nothing is.
pub(super) async fn find(
    core: &Core,
    objects: &mut Objects,
    findings: &mut Findings,
    teller: Teller<'_>,
) -> Result<Vec<Lost>, LogError> {
    let head = core.state().head.clone();
    let snapshot = |of: &restblk_format::log::Snapshot| (Some((of.id, of.name.clone())), of.map, of.size);
    let mut trees: Vec<Named> = head.snapshots.iter().map(snapshot).collect();
    trees.push((None, head.map, head.size));
    let mut finder = Finder {
        core,
        objects,
        known: HashMap::new(),
    };
    let of = trees.len() as u64;
    let mut before = Tree::default();
    let mut lost = Vec::new();
    for (passed, (whose, tree, size)) in (0..).zip(&trees) {
        let mut found = finder.walk(before, *tree, findings).await?;
        if whose.is_none() {
            found = overlaid(found, finder.objects);
        }
        lost.extend(collect(whose, *size, found));
        before = *tree;
        teller.tell(Phase::Maps, passed + 1, of, finder.objects.bytes);
    }
    if lost.is_empty() || trees.len() == 1 {
        return Ok(lost);
    }
    lost.clear();
    for (whose, tree, size) in &trees {
        let mut found = finder.walk(Tree::default(), *tree, findings).await?;
        if whose.is_none() {
            found = overlaid(found, finder.objects);
        }
        lost.extend(collect(whose, *size, found));
    }
    Ok(lost)
}

/// What the log after the head writes anew is lost no more, unless it is damaged there.
fn overlaid(mut lost: Vec<Range<u64>>, objects: &Objects) -> Vec<Range<u64>> {
    for entry in &objects.tail {
        let written = entry.first..entry.first + u64::from(entry.count);
        let cut = |range: Range<u64>| {
            let before = range.start..range.end.min(written.start);
            let after = range.start.max(written.end)..range.end;
            [before, after].into_iter().filter(|part| part.start < part.end)
        };
        lost = lost.into_iter().flat_map(cut).collect();
        let EntryKind::Frame { origin, .. } = entry.kind else {
            continue;
        };
        let is_bad = match objects.bad.get(&origin.segment()) {
            Some(Bad::Whole | Bad::Index) => true,
            Some(Bad::Frames(frames)) => frames.contains(&origin),
            None => false,
        };
        if is_bad {
            lost.push(written);
        }
    }
    lost
}

/// Puts blocks together.
fn collect(whose: &Option<(u64, Option<String>)>, size: u64, mut blocks: Vec<Range<u64>>) -> Option<Lost> {
    let end = size / BLOCK as u64;
    blocks.iter_mut().for_each(|range| range.end = range.end.min(end));
    blocks.retain(|range| !range.is_empty());
    blocks.sort_unstable_by_key(|range| range.start);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for range in blocks {
        match ranges.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => ranges.push(range),
        }
    }
    let bytes = ranges.iter().map(|range| range.end - range.start).sum::<u64>() * BLOCK as u64;
    let byte = |range: Range<u64>| range.start * BLOCK as u64..range.end * BLOCK as u64;
    (bytes > 0).then(|| Lost {
        snapshot: whose.clone(),
        bytes,
        ranges: ranges.into_iter().take(RANGES_MAX).map(byte).collect(),
    })
}

impl Finder<'_> {
    async fn walk(
        &mut self,
        before: Tree,
        tree: Tree,
        findings: &mut Findings,
    ) -> Result<Vec<Range<u64>>, LogError> {
        let mut lost = Vec::new();
        let mut walk = Walk::new(self.core, before, tree);
        while let Some(steps) = walk.next().await? {
            for step in steps {
                match step {
                    Step::Torn { blocks, error } => {
                        findings.add(Problem::Page, format!("the map of blocks {blocks:?}"), error);
                        lost.push(blocks);
                    }
                    Step::Leaf { first, numbers } => self.leaf(first, &numbers, &mut lost, findings).await?,
                }
            }
            self.core.shrink();
        }
        Ok(lost)
    }

    async fn leaf(
        &mut self,
        first: u64,
        numbers: &[u64; PAGE_FAN_OUT],
        lost: &mut Vec<Range<u64>>,
        findings: &mut Findings,
    ) -> Result<(), LogError> {
        for (block, bits) in (first..).zip(numbers) {
            let is_lost = match Pointer::from_bits(*bits) {
                Ok(None) => false,
                Ok(Some(pointer)) => self.is_lost(block, pointer, findings).await?,
                Err(()) => {
                    findings.add(
                        Problem::Page,
                        format!("the map of block {block}"),
                        "it is no pointer",
                    );
                    true
                }
            };
            if is_lost {
                match lost.last_mut() {
                    Some(last) if last.end == block => last.end += 1,
                    _ => lost.push(block..block + 1),
                }
            }
        }
        Ok(())
    }

    async fn is_lost(
        &mut self,
        block: u64,
        pointer: Pointer,
        findings: &mut Findings,
    ) -> Result<bool, LogError> {
        let segment = pointer.segment();
        let home = match self.known.get(&segment) {
            Some(home) => home.clone(),
            None => {
                let home = self.home(segment, findings).await?;
                if self.known.len() >= KNOWN_MAX {
                    self.known.clear();
                }
                self.known.insert(segment, home.clone());
                home
            }
        };
        let (bad, indexed) = match &home {
            Home::Own(object) => (self.objects.bad.get(object), *object),
            Home::Ancestor(bad) => (bad.as_deref(), segment),
            Home::Nowhere(why) => {
                findings.add(Problem::Page, format!("the map: {segment}"), why);
                return Ok(true);
            }
        };
        match bad {
            Some(Bad::Whole) => return Ok(true),
            Some(Bad::Index) => return Ok(read_one(self.core, pointer).await?.is_err()),
            Some(Bad::Frames(frames)) if frames.contains(&pointer.frame()) => return Ok(true),
            _ => {}
        }
        if !self.objects.deep {
            return Ok(false);
        }
        let Some(index) = self.index(segment, indexed).await? else {
            return Ok(true);
        };
        let at = u64::from(pointer.index());
        let holds = index
            .get(&pointer.frame())
            .is_some_and(|(first, count)| first + at == block && at < u64::from(*count));
        if !holds {
            let why =
                format!("block {block} is said to be {pointer}, which is not there or holds another block");
            findings.add(Problem::Page, format!("the map of block {block}"), why);
        }
        Ok(!holds)
    }

    /// Where a segment's frames are; an ancestor's object is looked at when it is met first.
    async fn home(&mut self, segment: SegmentNumber, findings: &mut Findings) -> Result<Home, LogError> {
        if self.core.state().is_own(segment) {
            return match self.core.line(segment).await {
                Ok(line) if line.live == 0 => Ok(Home::Nowhere(
                    "the map names it, and the table says that nothing of it lives".to_owned(),
                )),
                Ok(line) => Ok(Home::Own(line.moved.unwrap_or(segment))),
                Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Home::Nowhere(error.to_string())),
                Err(error) => Err(error),
            };
        }
        let found = match ancestors::object(self.core, segment).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                return Ok(Home::Nowhere(
                    "no epoch of the volume or of its ancestors has it".to_owned(),
                ));
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Home::Nowhere(error.to_string())),
            Err(error) => return Err(error),
        };
        let (place, number, epoch, sequence) = found;
        let wanted = Wanted {
            place,
            number,
            epoch,
            sequence,
        };
        let mut seen = objects::look(self.core, &wanted, self.objects.deep).await?;
        let bad = seen.bad.take().map(Arc::new);
        if let Some(index) = seen.index.take() {
            self.objects.indexes.put(segment, index);
        }
        self.objects.take(&wanted, seen, findings);
        Ok(Home::Ancestor(bad))
    }

    /// The index of the object that a segment's frames are in.
    async fn index(
        &mut self,
        segment: SegmentNumber,
        object: SegmentNumber,
    ) -> Result<Option<Arc<Index>>, LogError> {
        if let Some(index) = self.objects.indexes.get(&object) {
            return Ok(Some(Arc::clone(index)));
        }
        let place = if self.core.state().is_own(segment) {
            self.core.born_at(object)?
        } else {
            match ancestors::object(self.core, segment).await? {
                Some((place, ..)) => place,
                None => return Ok(None),
            }
        };
        let head = match segment_head(&place.shelf, &place.key).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        };
        let frames = head.entries.iter().filter_map(|entry| match entry.kind {
            EntryKind::Frame { origin, .. } => Some((origin, (entry.first, entry.count))),
            EntryKind::Hole => None,
        });
        let index: Arc<Index> = Arc::new(frames.collect());
        self.objects.indexes.put(object, Arc::clone(&index));
        Ok(Some(index))
    }
}
