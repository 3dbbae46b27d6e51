//! All segments that the newest head reaches: those that the table says to live, those of the books, and the log after the head.
//!
//! The table is read in chunks and let go again, so memory does not grow with the volume; what is kept are the objects that are bad.

use super::objects::{self, Bad, Index, Seen, Wanted};
use super::{Findings, Phase, Problem, Teller};
use crate::LogError;
use crate::core::{Core, Which};
use crate::frames::{Place, segment_head};
use crate::look::At;
use crate::shelf::Series;
use crate::table::{self, Line};
use futures_util::{StreamExt, TryStreamExt, stream};
use lru::LruCache;
use restblk_format::log::{Entry, Kind, SegmentNumber};
use restblk_types::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

/// Segments of the table that are looked at in one go.
const CHUNK: u32 = 4096;
/// A page of the table has so many.
const PAGE: u32 = 64;
/// Objects of which the header is read at once.
const PARALLEL: usize = 64;
/// Whole objects that are read at once, of 8 MiB.
const PARALLEL_DEEP: usize = 8;
/// Indexes of segments that are kept, some tens of KiB each.
const INDEXES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Places of the log that are looked at behind its end.
const BEHIND: u32 = 16;

/// What is known of the objects.
#[derive(Debug)]
pub(super) struct Objects {
    pub(super) deep: bool,
    pub(super) bad: BTreeMap<SegmentNumber, Bad>,
    pub(super) indexes: LruCache<SegmentNumber, Arc<Index>>,
    pub(super) looked_at: u64,
    pub(super) bytes: u64,
    /// The first sequence of the newest epoch's log that is not there.
    pub(super) log_end: u32,
    /// What the log after the head says, in order.
    pub(super) tail: Vec<Entry>,
    told: u64,
}

impl Objects {
    pub(super) fn new(deep: bool) -> Self {
        Self {
            deep,
            bad: BTreeMap::new(),
            indexes: LruCache::new(INDEXES),
            looked_at: 0,
            bytes: 0,
            log_end: 0,
            tail: Vec::new(),
            told: 0,
        }
    }

    /// Takes down what was seen of an object.
    pub(super) fn take(&mut self, wanted: &Wanted, seen: Seen, findings: &mut Findings) {
        self.looked_at += 1;
        self.bytes += seen.bytes;
        for (problem, why) in seen.trouble {
            findings.add(problem, &wanted.place.key, why);
        }
        if let Some(bad) = seen.bad {
            self.bad.insert(wanted.number, bad);
        }
        if let Some(index) = seen.index {
            self.indexes.put(wanted.number, index);
        }
    }

    /// Looks at objects, several at once.
    async fn look(
        &mut self,
        core: &Core,
        wanted: Vec<Wanted>,
        of: u64,
        findings: &mut Findings,
        teller: Teller<'_>,
    ) -> Result<(), LogError> {
        let deep = self.deep;
        let at_once = if deep { PARALLEL_DEEP } else { PARALLEL };
        let look = async |wanted: Wanted| -> Result<(Wanted, Seen), LogError> {
            let seen = objects::look(core, &wanted, deep).await?;
            Ok((wanted, seen))
        };
        let mut looks = std::pin::pin!(stream::iter(wanted).map(look).buffer_unordered(at_once));
        while let Some((wanted, seen)) = looks.try_next().await? {
            self.take(&wanted, seen, findings);
            self.told += 1;
            teller.tell(Phase::Segments, self.told, of.max(self.told), self.bytes);
        }
        Ok(())
    }
}

/// Looks at all of them.
pub(super) async fn check(
    core: &Core,
    at: At,
    objects: &mut Objects,
    findings: &mut Findings,
    teller: Teller<'_>,
) -> Result<(), LogError> {
    let head = core.state().head.clone();
    let books: BTreeSet<SegmentNumber> = head
        .books
        .keys()
        .filter_map(|bits| SegmentNumber::from_bits(*bits))
        .collect();
    let of: u64 = Kind::ALL.map(|kind| core.numbers(kind).len() as u64).iter().sum();
    let mut targets = BTreeSet::new();
    let mut passed = 0;
    for kind in Kind::ALL {
        let all = core.numbers(kind);
        for first in all.clone().step_by(CHUNK as usize) {
            let range = first..all.end.min(first.saturating_add(CHUNK));
            let mut alive = BTreeSet::new();
            for (segment, line) in lines(core, kind, range.clone(), findings).await? {
                account(core, segment, &line, findings);
                match line.moved {
                    Some(to) => drop(targets.insert(to)),
                    None if line.live > 0 => drop(alive.insert(segment)),
                    None => {}
                }
                if kind == Kind::Gc {
                    targets.remove(&segment);
                }
                if objects.deep
                    && let Some(list) = line.held
                {
                    check_list(core, segment, list, findings).await?;
                }
            }
            alive.extend(
                books
                    .iter()
                    .filter(|book| book.kind() == kind && range.contains(&book.number())),
            );
            let wanted = alive
                .into_iter()
                .filter_map(|segment| wanted(core, segment, findings))
                .collect();
            objects.told = passed;
            objects.look(core, wanted, of, findings, teller).await?;
            passed += u64::from(range.end - range.start);
            teller.tell(Phase::Segments, passed, of, objects.bytes);
            core.shrink();
        }
    }
    for segment in targets {
        let why = "frames were moved to it, and the table has no line of it";
        findings.add(Problem::Accounts, segment, why);
    }
    tail(core, at, objects, findings, teller).await
}

/// Where a segment of the volume's own should be.
pub(super) fn wanted(core: &Core, segment: SegmentNumber, findings: &mut Findings) -> Option<Wanted> {
    let placed = core.state().head.place(segment);
    let (Ok(place), Some((span, sequence))) = (core.born_at(segment), placed) else {
        let why = "the table has a line of it, and no epoch of the volume has such a segment";
        findings.add(Problem::Accounts, segment, why);
        return None;
    };
    Some(Wanted {
        place,
        number: segment,
        epoch: span.epoch,
        sequence,
    })
}

/// The lines of a chunk; pages that cannot be read are told, and passed over.
async fn lines(
    core: &Core,
    kind: Kind,
    numbers: Range<u32>,
    findings: &mut Findings,
) -> Result<Vec<(SegmentNumber, Line)>, LogError> {
    let range = table::indexes(kind, numbers.clone());
    match core.load_ranges(Which::Table, std::slice::from_ref(&range)).await {
        Ok(()) => return Ok(table::lines(&core.state().table, range)),
        Err(error) if error.kind() == ErrorKind::Corrupt => {}
        Err(error) => return Err(error),
    }
    let mut found = Vec::new();
    let mut first = numbers.start;
    while first < numbers.end {
        let next = numbers.end.min((first / PAGE + 1) * PAGE);
        let page = table::indexes(kind, first..next);
        match core.load_ranges(Which::Table, std::slice::from_ref(&page)).await {
            Ok(()) => found.extend(table::lines(&core.state().table, page)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                findings.add(Problem::Table, "the segment table", error);
            }
            Err(error) => return Err(error),
        }
        first = next;
    }
    Ok(found)
}

fn account(core: &Core, segment: SegmentNumber, line: &Line, findings: &mut Findings) {
    if line.live > line.total {
        let why = format!(
            "the table says that {} of its {} blocks live",
            line.live, line.total
        );
        findings.add(Problem::Accounts, segment, why);
    }
    if let Some(to) = line.moved
        && core.born_at(to).is_err()
    {
        let why = format!("its frames were moved to {to}, which no epoch of the volume has");
        findings.add(Problem::Accounts, segment, why);
    }
}

async fn check_list(
    core: &Core,
    segment: SegmentNumber,
    at: restblk_format::log::Pointer,
    findings: &mut Findings,
) -> Result<(), LogError> {
    match crate::checkpoint::held(core, segment, at).await {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            findings.add(Problem::Table, format!("the list of {segment}"), error);
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The log after the head: without a hole up to its end, and what is behind that end will never be believed.
async fn tail(
    core: &Core,
    at: At,
    objects: &mut Objects,
    findings: &mut Findings,
    teller: Teller<'_>,
) -> Result<(), LogError> {
    let (first, next) = {
        let state = core.state();
        (
            state.head.epochs.last().map_or(1, |span| span.log),
            state.head.log_next,
        )
    };
    let log = Series::Segments(Kind::Log, at.0);
    let is_segment = async |sequence: u32| -> Result<Option<u32>, LogError> {
        let key = core.shelf.key(log, sequence);
        let is = match core.shelf.header(&key).await {
            Ok(header) => header.is_some_and(|header| header.segment.is_some()),
            Err(error) if error.kind() == ErrorKind::Corrupt => true,
            Err(error) => return Err(error),
        };
        Ok(is.then_some(sequence))
    };
    let mut end = next;
    loop {
        let window: Vec<Option<u32>> = stream::iter(end..end + BEHIND)
            .map(is_segment)
            .buffered(BEHIND as usize)
            .try_collect()
            .await?;
        let hole = (0..).zip(&window).find(|(_, one)| one.is_none());
        let there = hole.map_or(BEHIND, |(at, _)| at);
        let wanted = (end..end + there).filter_map(|sequence| {
            let number = SegmentNumber::new(Kind::Log, first + sequence)?;
            Some(Wanted {
                place: core.born_at(number).ok()?,
                number,
                epoch: at.0,
                sequence,
            })
        });
        let wanted: Vec<Wanted> = wanted.collect();
        objects.look(core, wanted.clone(), 0, findings, teller).await?;
        for wanted in wanted {
            index_of_tail(&wanted, objects, findings).await?;
        }
        end += there;
        if there < BEHIND {
            let late = window
                .iter()
                .flatten()
                .filter(|sequence| **sequence >= end)
                .count();
            if late > 0 {
                let why = format!(
                    "the log ends here, and {late} segments are behind: they are on their way, or were never acknowledged and are not in the volume"
                );
                findings.add(Problem::LeftOver, core.shelf.key(log, end), why);
            }
            objects.log_end = end;
            return Ok(());
        }
    }
}

/// What a segment of the tail says: an attachment reads it.
async fn index_of_tail(
    wanted: &Wanted,
    objects: &mut Objects,
    findings: &mut Findings,
) -> Result<(), LogError> {
    let Place { key, shelf, .. } = &wanted.place;
    let is_whole = matches!(objects.bad.get(&wanted.number), Some(Bad::Whole | Bad::Index));
    match segment_head(shelf, key).await {
        Ok(Some(head)) if head.header.segment == Some(wanted.number) => {
            objects.tail.extend(head.entries);
            return Ok(());
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            if !is_whole {
                findings.add(Problem::Damaged, key, error);
            }
        }
        Err(error) => return Err(error),
    }
    findings.add(Problem::Tail, key, "an attachment needs it, and ends here");
    Ok(())
}
