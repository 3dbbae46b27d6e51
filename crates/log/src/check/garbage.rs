//! Objects that nothing reaches: what a crash, a fenced writer or a repair left. Found by listing, which only this rests on: what a listing
//! does not show stays, and harms nobody.

use super::segments::Objects;
use super::{Findings, Phase, Problem, Teller};
use crate::LogError;
use crate::core::Core;
use crate::look::At;
use crate::shelf::Series;
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::log::{Head, Kind, SegmentNumber};
use restblk_store::{Entry, Key};
use restblk_types::ErrorKind;
use std::collections::HashSet;

/// Objects that are told one by one.
const TOLD_MAX: usize = 100;
/// Objects that are removed at once.
const PARALLEL: usize = 16;

/// What nothing reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// How many objects.
    pub objects: u64,
    /// Their bytes, as the store lists them.
    pub bytes: u64,
    /// The first hundred of them.
    pub keys: Vec<String>,
    /// Objects that wait for the next head to be removed.
    pub waiting: u64,
    /// Objects of the newest epoch that no head names yet: of a writer that is at it, or that was cut off.
    pub unfinished: u64,
    /// Objects that were removed.
    pub removed: u64,
}

/// What an object is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Reached,
    Waiting,
    Unfinished,
    None,
}

/// Looks for it; with `remove`, removes it.
pub(super) async fn find(
    core: &Core,
    at: At,
    free: u32,
    objects: &Objects,
    remove: bool,
    findings: &mut Findings,
    teller: Teller<'_>,
) -> Result<Garbage, LogError> {
    let head = core.state().head.clone();
    let waiting: HashSet<SegmentNumber> = head.deletions.iter().copied().collect();
    let mut garbage = Garbage::default();
    for epoch in 1..free {
        for kind in Kind::ALL {
            let series = Series::Segments(kind, epoch);
            let mut start = None;
            loop {
                let page = core.shelf.list(series, start.as_deref()).await?;
                let mut gone = Vec::new();
                for entry in page.entries {
                    let of =
                        use_of(core, &head, at, objects.log_end, &waiting, (kind, epoch), &entry).await?;
                    match of {
                        Use::Reached => {}
                        Use::Waiting => garbage.waiting += 1,
                        Use::Unfinished => garbage.unfinished += 1,
                        Use::None => {
                            garbage.objects += 1;
                            garbage.bytes += entry.size.unwrap_or(0);
                            if garbage.keys.len() < TOLD_MAX {
                                garbage.keys.push(entry.key.to_string());
                            }
                            gone.push(entry.key);
                        }
                    }
                }
                if remove {
                    let removed = gone.len() as u64;
                    let remove = async |key: Key| core.shelf.remove(&key).await;
                    stream::iter(gone)
                        .map(remove)
                        .buffer_unordered(PARALLEL)
                        .try_collect::<()>()
                        .await?;
                    garbage.removed += removed;
                }
                core.shrink();
                start = page.next;
                if start.is_none() {
                    break;
                }
            }
        }
        teller.tell(Phase::Garbage, epoch.into(), (free - 1).into(), garbage.bytes);
    }
    heads(core, at, free, findings).await?;
    Ok(garbage)
}

async fn use_of(
    core: &Core,
    head: &Head,
    at: At,
    log_end: u32,
    waiting: &HashSet<SegmentNumber>,
    (kind, epoch): (Kind, u32),
    entry: &Entry,
) -> Result<Use, LogError> {
    let Some(sequence) = number(&entry.key) else {
        return Ok(Use::None);
    };
    let own = |span: &&restblk_format::log::Span| span.volume == 0 && span.epoch == epoch;
    let Some(at_span) = head.epochs.iter().position(|span| own(&span)) else {
        // An epoch newer than the head: somebody is attaching, or was cut off.
        return Ok(if epoch > at.0 { Use::Unfinished } else { Use::None });
    };
    let span = head.epochs[at_span];
    match head
        .epochs
        .get(at_span + 1)
        .map(|next| next.first(kind).saturating_sub(span.first(kind)))
    {
        // The tombstone of the log.
        Some(end) if sequence == end && kind == Kind::Log => return Ok(Use::Reached),
        Some(end) if sequence >= end => return Ok(Use::None),
        Some(_) => {}
        None => {
            let next = match kind {
                Kind::Log if sequence >= head.log_next && sequence < log_end => return Ok(Use::Reached),
                Kind::Log => log_end,
                Kind::Map => head.map_next,
                Kind::Gc => head.gc_next,
            };
            if sequence >= next {
                return Ok(Use::Unfinished);
            }
        }
    }
    let Some(segment) = SegmentNumber::new(kind, span.first(kind) + sequence) else {
        return Ok(Use::None);
    };
    if head.books.contains_key(&segment.to_bits()) {
        return Ok(Use::Reached);
    }
    if waiting.contains(&segment) {
        return Ok(Use::Waiting);
    }
    match core.line(segment).await {
        Ok(line) if line.live > 0 && line.moved.is_none() => Ok(Use::Reached),
        Ok(_) => Ok(Use::None),
        // Nobody knows: it is none.
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Use::Reached),
        Err(error) => Err(error),
    }
}

/// Heads and epochs behind what looks like the end of their series.
async fn heads(core: &Core, at: At, free: u32, findings: &mut Findings) -> Result<(), LogError> {
    for (series, last) in [(Series::Epochs, free - 1), (Series::Heads(at.0), at.1 + 1)] {
        let behind = listed(core, series, last + 1).await?;
        if let Some(behind) = behind {
            let why = format!("it is missing: the series goes on behind it, up to {behind} at least");
            findings.add(Problem::Hole, core.shelf.key(series, last + 1), why);
        }
    }
    Ok(())
}

/// The last number of a series from `from` on, as it is listed.
async fn listed(core: &Core, series: Series, from: u32) -> Result<Option<u32>, LogError> {
    let (mut last, mut start) = (None, None);
    loop {
        let page = core.shelf.list(series, start.as_deref()).await?;
        let numbers = page.entries.iter().filter_map(|entry| number(&entry.key));
        last = numbers.filter(|number| *number >= from).max().max(last);
        start = page.next;
        if start.is_none() {
            return Ok(last);
        }
    }
}

/// The number that an object's name ends with.
pub(super) fn number(key: &Key) -> Option<u32> {
    key.components().last()?.parse().ok()
}
