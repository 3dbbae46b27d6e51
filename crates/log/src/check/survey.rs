//! All segments that there are of a volume, by their own headers: what a rebuild starts from.
//!
//! A listing tells how far to look; every place up to there, and some behind, is looked at itself, so a segment that the listing does not
//! show is found all the same.

use super::garbage::number;
use super::{Phase, Teller};
use crate::LogError;
use crate::frames::segment_head;
use crate::shelf::{Series, Shelf};
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::log::{Entry, EntryKind, Head, Kind, ObjectType, SegmentHead, SegmentNumber, Span};
use restblk_store::Key;
use restblk_types::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};

/// Objects looked at at once.
const PARALLEL: usize = 32;
/// Places behind the last that is listed.
const BEHIND: u32 = 16;

/// A segment that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) epoch: u32,
    pub(super) sequence: u32,
    /// Blocks, or pages, that are in it.
    pub(super) blocks: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) segments: BTreeMap<SegmentNumber, Found>,
    /// Where the frames of segments are whose own object is gone.
    pub(super) moved: BTreeMap<SegmentNumber, SegmentNumber>,
    /// The sequence of the tombstone in each epoch's log.
    pub(super) tombstones: BTreeMap<u32, u32>,
    /// The last position in its writer's journal that an epoch's log tells.
    pub(super) journal: BTreeMap<u32, u64>,
    /// What a reader of some segment must know.
    pub(super) features: u32,
    /// One more than the last sequence of each series.
    ends: BTreeMap<(u32, Kind), u32>,
    /// Segments of a log behind its tombstone: nobody was ever told that they are written.
    pub(super) late: u64,
    /// Those that cannot be read, and why.
    pub(super) bad: Vec<(Key, String)>,
}

/// What is in a place.
enum Place {
    Nothing,
    Tombstone,
    Segment(Box<SegmentHead>),
    Bad(String),
}

/// Looks at all segments of the epochs before `free`; `known` is a head that tells which numbers the epochs before it have.
pub(super) async fn look(
    shelf: &Shelf,
    free: u32,
    known: Option<&Head>,
    teller: Teller<'_>,
) -> Result<Survey, LogError> {
    let mut survey = Survey::default();
    let mut places = BTreeMap::<SegmentNumber, SegmentNumber>::new();
    for epoch in 1..free {
        for kind in Kind::ALL {
            survey.series(shelf, kind, epoch, known, &mut places).await?;
        }
        teller.tell(Phase::Rebuild, epoch.into(), (2 * free).into(), 0);
    }
    places.retain(|born, _| !survey.segments.contains_key(born));
    survey.moved = places;
    Ok(survey)
}

impl Survey {
    async fn series(
        &mut self,
        shelf: &Shelf,
        kind: Kind,
        epoch: u32,
        known: Option<&Head>,
        places: &mut BTreeMap<SegmentNumber, SegmentNumber>,
    ) -> Result<(), LogError> {
        let series = Series::Segments(kind, epoch);
        let mut end = listed_end(shelf, series).await? + BEHIND;
        let mut next = 0;
        while next < end {
            let look = async |sequence: u32| -> Result<(u32, Place), LogError> {
                Ok((sequence, place(shelf, kind, epoch, sequence).await?))
            };
            let mut looks = std::pin::pin!(stream::iter(next..end).map(look).buffered(PARALLEL));
            next = end;
            while let Some((sequence, place)) = looks.try_next().await? {
                let head = match place {
                    Place::Nothing => continue,
                    Place::Tombstone => {
                        self.tombstones.entry(epoch).or_insert(sequence);
                        continue;
                    }
                    Place::Bad(why) => {
                        self.bad.push((shelf.key(series, sequence), why));
                        None
                    }
                    Place::Segment(head) => Some(head),
                };
                end = end.max(sequence + 1 + BEHIND);
                self.ends.insert((epoch, kind), sequence + 1);
                if let Some(head) = head {
                    self.take(kind, epoch, sequence, &head, known, places);
                }
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        kind: Kind,
        epoch: u32,
        sequence: u32,
        head: &SegmentHead,
        known: Option<&Head>,
        places: &mut BTreeMap<SegmentNumber, SegmentNumber>,
    ) {
        let Some(number) = head.header.segment else { return };
        let is_late = kind == Kind::Log && self.tombstones.get(&epoch).is_some_and(|end| sequence > *end);
        // A number that the head gives to a later epoch.
        let is_another = known
            .and_then(|known| known.place(number))
            .is_some_and(|(span, _)| span.volume == 0 && span.epoch > epoch);
        if is_late || is_another {
            self.late += 1;
            return;
        }
        let blocks = head.entries.iter().filter(|entry| entry.kind != EntryKind::Hole);
        let found = Found {
            epoch,
            sequence,
            blocks: blocks.map(|entry| entry.count).sum(),
        };
        self.segments.insert(number, found);
        self.features |= head.header.incompat;
        let journal = self.journal.entry(epoch).or_default();
        *journal = head.header.journal.max(*journal);
        if kind == Kind::Gc {
            let born: BTreeSet<SegmentNumber> = head.entries.iter().filter_map(born_in).collect();
            // Each move takes all that lives of a segment: the last one counts, and epochs and sequences rise.
            places.extend(born.into_iter().map(|born| (born, number)));
        }
    }

    /// One more than the last sequence of a series that was seen.
    pub(super) fn end(&self, epoch: u32, kind: Kind) -> u32 {
        self.ends.get(&(epoch, kind)).copied().unwrap_or(0)
    }

    /// The numbers of the epochs after a head's last that have segments, and of all where there is no head.
    pub(super) fn spans(&self, known: Option<&Head>) -> Vec<Span> {
        let mut spans = known.map_or_else(Vec::new, |known| known.epochs.clone());
        let after = spans.last().map_or(0, |span| span.epoch);
        let of_segments = self.ends.keys().map(|(epoch, _)| *epoch);
        let all: BTreeSet<u32> = of_segments.chain(self.tombstones.keys().copied()).collect();
        let epochs = all.into_iter().filter(|epoch| *epoch > after);
        for epoch in epochs {
            let first = |kind: Kind| {
                let any = self
                    .segments
                    .iter()
                    .find(|(number, found)| number.kind() == kind && found.epoch == epoch);
                match any {
                    Some((number, found)) => number.number().saturating_sub(found.sequence).max(1),
                    None => self
                        .next_first(&spans, kind, known)
                        .min(self.first_after(epoch, kind)),
                }
            };
            spans.push(Span {
                volume: 0,
                epoch,
                log: first(Kind::Log),
                map: first(Kind::Map),
                gc: first(Kind::Gc),
            });
        }
        spans
    }

    /// The first number of the first epoch after this one that has segments of this kind.
    fn first_after(&self, epoch: u32, kind: Kind) -> u32 {
        let later = self
            .segments
            .iter()
            .filter(|(number, found)| number.kind() == kind && found.epoch > epoch);
        let firsts = later.map(|(number, found)| number.number().saturating_sub(found.sequence));
        firsts.min().unwrap_or(u32::MAX)
    }

    /// The first number that an epoch after these can have. Tombstones tell how many segments the logs of former epochs had; of pages and moved
    /// frames, where no head tells, it is beyond all numbers that were seen: what was born in a segment that is gone is then of no epoch, rather than of
    /// a wrong one.
    pub(super) fn next_first(&self, spans: &[Span], kind: Kind, known: Option<&Head>) -> u32 {
        let moved = self.moved.keys().filter(|number| number.kind() == kind);
        let beyond = match (known, kind) {
            (Some(_), _) | (None, Kind::Log) => 1,
            (None, Kind::Map | Kind::Gc) => moved.map(|number| number.number() + 1).max().unwrap_or(1),
        };
        let Some(last) = spans.last() else { return beyond };
        let seen = match (last.volume, kind, self.tombstones.get(&last.epoch)) {
            (0, Kind::Log, Some(end)) => *end,
            (0, ..) => self.end(last.epoch, kind),
            _ => 0,
        };
        let told = known.filter(|known| known.epochs.last().map(|span| span.epoch) == Some(last.epoch));
        let told = told.map_or(0, |head| match kind {
            Kind::Log => head.log_next,
            Kind::Map => head.map_next,
            Kind::Gc => head.gc_next,
        });
        (last.first(kind) + seen.max(told)).max(beyond)
    }

    /// The segments of the log whose blocks can be found, oldest first.
    pub(super) fn logs(&self) -> Vec<SegmentNumber> {
        let all = self.segments.keys().chain(self.moved.keys());
        let logs: BTreeSet<SegmentNumber> =
            all.filter(|number| number.kind() == Kind::Log).copied().collect();
        logs.into_iter().collect()
    }
}

fn born_in(entry: &Entry) -> Option<SegmentNumber> {
    match entry.kind {
        EntryKind::Frame { origin, .. } => Some(origin.segment()),
        EntryKind::Hole => None,
    }
}

async fn listed_end(shelf: &Shelf, series: Series) -> Result<u32, LogError> {
    let (mut end, mut start) = (0, None);
    loop {
        let page = shelf.list(series, start.as_deref()).await?;
        end = page
            .entries
            .iter()
            .filter_map(|entry| number(&entry.key))
            .map(|last| last + 1)
            .max()
            .unwrap_or(0)
            .max(end);
        start = page.next;
        if start.is_none() {
            return Ok(end);
        }
    }
}

async fn place(shelf: &Shelf, kind: Kind, epoch: u32, sequence: u32) -> Result<Place, LogError> {
    let key = shelf.key(Series::Segments(kind, epoch), sequence);
    match segment_head(shelf, &key).await {
        Ok(Some(head)) => {
            let header = &head.header;
            let is_it = header.segment.is_some_and(|number| number.kind() == kind)
                && (header.epoch, header.sequence) == (epoch, sequence);
            if !is_it {
                return Ok(Place::Bad("it says that it is another segment".to_owned()));
            }
            Ok(Place::Segment(Box::new(head)))
        }
        Ok(None) => {
            let header = match shelf.header(&key).await {
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Place::Bad(error.to_string())),
                header => header?,
            };
            let is_tombstone = header.is_some_and(|header| header.object == ObjectType::Tombstone);
            Ok(if is_tombstone {
                Place::Tombstone
            } else {
                Place::Nothing
            })
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Place::Bad(error.to_string())),
        Err(error) => Err(error),
    }
}
