//! What a check has found is put right, as far as it can be, and what cannot is told.
//!
//! 1. the volume is looked through; where nothing is damaged, nothing is done but what was asked for (garbage);
//! 2. objects of epochs that are missing or damaged are made anew;
//! 3. where heads, maps or the table are damaged, a new epoch is claimed (whoever had the volume is fenced, as by an attachment) and the volume
//!    is rebuilt ([`super::rebuild`]); what lies in segments stays as it is;
//! 4. tombstones that are missing or damaged are put where they belong;
//! 5. it is looked through once more.
//!
//! But for the damaged objects of 2 and 4, whose places are fixed, nothing is removed: what is new has names of its own. What is old becomes
//! garbage, and goes only if that is asked for.

use super::rebuild::{self, Parts};
use super::rights::What;
use super::survey::{self, Survey};
use super::{Findings, How, Problem, Report, Teller, garbage, once, reader, rights};
use crate::core::Core;
use crate::frames::Frames;
use crate::journal::{Disk, Journal};
use crate::look::newest;
use crate::recover;
use crate::series::{self, Ended, entomb};
use crate::shelf::{Series, Shelf};
use crate::state::State;
use crate::table::{self, Line};
use crate::tree::Radix;
use crate::{LogError, MEMORY_MIN, Memory, Options, Writer};
use bytes::Bytes;
use restblk_format::log::{Head, Kind, SegmentNumber, Span};
use restblk_store::Store;
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;

/// What may be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// How closely the volume is looked at, before and after.
    pub how: How,
    /// Nothing is done; what would be is told.
    pub dry_run: bool,
    /// Objects that nothing reaches are removed.
    pub remove_garbage: bool,
    /// The size in bytes that the volume's record tells, for where no head does.
    pub size: u64,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Repaired {
    /// What was found first.
    pub before: Report,
    /// What was done, or would be, in order.
    pub steps: Vec<String>,
    /// What was found at last; none where nothing was done.
    pub after: Option<Report>,
}

/// Repairs a volume that is nobody's else by its lease. With the host's journal of it, what only that has is kept.
pub async fn repair(
    store: Arc<dyn Store>,
    volume: VolumeId,
    repair: Repair,
    writer: &Writer,
    journal: Option<Arc<dyn Disk>>,
    teller: Teller<'_>,
) -> Result<Repaired, LogError> {
    let shelf = Shelf::new(store, volume).with_key(writer.key.clone());
    let how = How {
        garbage: true,
        ..repair.how
    };
    let (before, looked) = once(&shelf, how, teller).await?;
    let mut steps = plan(&before, repair.remove_garbage);
    if repair.dry_run || steps.is_empty() {
        let after = None;
        return Ok(Repaired { before, steps, after });
    }
    let work = Work {
        shelf: &shelf,
        writer,
        journal,
        size: repair.size,
        teller,
    };
    work.replace_epochs(&before, looked.rights.free).await?;
    if needs_rebuild(&before) {
        steps.extend(work.rebuild(&looked.rights, looked.core.as_ref()).await?);
    }
    work.fence_again().await?;
    let (mut after, looked) = once(&shelf, how, teller).await?;
    if let (Some(core), Some(at), true) = (&looked.core, after.head, repair.remove_garbage) {
        let mut findings = Findings::default();
        let mut objects = super::Objects::new(false);
        objects.log_end = looked.log_end;
        let found = garbage::find(
            core,
            at,
            looked.rights.free,
            &objects,
            true,
            &mut findings,
            teller,
        )
        .await?;
        steps.push(format!("removed {} objects that nothing reached", found.removed));
        after.garbage = Some(found);
    }
    Ok(Repaired {
        before,
        steps,
        after: Some(after),
    })
}

/// Whether something is damaged that segments can tell. What is in a segment of users' blocks, nothing else can.
fn needs_rebuild(report: &Report) -> bool {
    use Problem::{
        Accounts, Damaged, Foreign, Frame, HeadLost, Hole, Length, Misplaced, Missing, Page, Table, Tail,
    };
    report.findings.iter().any(|finding| match finding.problem {
        Accounts | HeadLost | Page | Table | Tail => true,
        Hole => finding.object.contains("/head/"),
        Damaged | Foreign | Frame | Length | Misplaced | Missing => {
            let is_ours = finding.object.contains(&report.volume.to_string());
            is_ours
                && ["/head/", "/map/"]
                    .iter()
                    .any(|part| finding.object.contains(part))
        }
        _ => false,
    })
}

/// Objects of epochs that are missing, or are not what they should be.
fn bad_epochs(report: &Report) -> Vec<String> {
    let found = report
        .findings
        .iter()
        .filter(|finding| finding.problem.is_damage() && finding.object.contains("/epoch/"));
    found.map(|finding| finding.object.clone()).collect()
}

fn plan(report: &Report, remove_garbage: bool) -> Vec<String> {
    let mut steps = Vec::new();
    for epoch in bad_epochs(report) {
        steps.push(format!("make {epoch} anew, in the place of what is there"));
    }
    if needs_rebuild(report) {
        steps.push("claim a new epoch, so that whoever had the volume is fenced".to_owned());
        steps.push(
            "rebuild the maps, the segment table and the head from what can be read of them and from the segments"
                .to_owned(),
        );
    }
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.problem == Problem::Unfenced)
    {
        steps.push(format!(
            "put a tombstone to {}, in the place of what is there",
            finding.object
        ));
    }
    let (objects, bytes) = report
        .garbage
        .as_ref()
        .map_or((0, 0), |found| (found.objects, found.bytes));
    if remove_garbage && (objects > 0 || !steps.is_empty()) {
        steps.push(format!(
            "remove the objects that nothing reaches then; now they are {objects}, of {bytes} bytes"
        ));
    }
    steps
}

struct Work<'a> {
    shelf: &'a Shelf,
    writer: &'a Writer,
    journal: Option<Arc<dyn Disk>>,
    size: u64,
    teller: Teller<'a>,
}

impl Work<'_> {
    /// Returns what is to be told of it.
    async fn rebuild(&self, rights: &rights::Rights, known: Option<&Core>) -> Result<Vec<String>, LogError> {
        let (shelf, writer) = (self.shelf, self.writer);
        let epoch = recover::claim(shelf, rights.free, writer).await?;
        for before in 1..epoch {
            self.end_heads(before, epoch).await?;
        }
        let newest = rights.newest.as_ref();
        let head = newest.map(|(_, head)| head);
        let mut survey = survey::look(shelf, epoch, head, self.teller).await?;
        let mut spans = survey.spans(head);
        self.check_origin(head, &spans, &survey)?;
        let last = spans.last().copied().unwrap_or(Span {
            volume: 0,
            epoch: 1,
            log: 1,
            map: 1,
            gc: 1,
        });
        let (log_end, tombstone) = self.end_log(&mut survey, rights, last, epoch).await?;
        if let (Some(core), Some(_)) = (known, head) {
            use_survey(core, &survey, &spans);
        }
        let below = self.parent(head).await?;
        let parts = Parts {
            shelf,
            survey: &survey,
            known: match (newest, known) {
                (Some((at, head)), Some(core)) => Some((*at, head, core)),
                _ => None,
            },
            below: below.as_ref().map(|(core, tree)| (core, *tree)),
            log_end: last.log + log_end,
        };
        spans.push(Span {
            volume: 0,
            epoch,
            log: last.log + tombstone,
            map: survey.next_first(&spans, Kind::Map, head),
            gc: survey.next_first(&spans, Kind::Gc, head),
        });
        let mut blank = rebuild::blank(&parts, spans, self.size);
        let told = head
            .filter(|_| newest.map(|(at, _)| at.0) == Some(last.epoch))
            .map_or(0, |head| head.journal);
        let covered = survey.journal.get(&last.epoch).copied().unwrap_or(0).max(told);
        let journal = match &self.journal {
            // What it has is done again by the next attachment.
            Some(disk) => {
                let opened = Journal::open(
                    Arc::clone(disk),
                    shelf.volume,
                    [last.epoch, epoch],
                    covered,
                    writer.key.as_ref(),
                )
                .await?;
                blank.journal = opened.0.begins();
                Some(opened.0)
            }
            None => None,
        };
        let core = Core::new(
            shelf.clone(),
            epoch,
            writer.nonce,
            Options::default(),
            State::new(blank, 0, Options::default().codec),
            journal,
            Frames::new(None, Arc::new(Memory::new(MEMORY_MIN))),
        );
        let done = rebuild::rebuild(&parts, &core, self.teller).await?;
        let mut told = vec![format!(
            "rebuilt under epoch {epoch}: {} blocks of the volume, {} snapshots, {} pages of maps that could not be read",
            done.blocks, done.snapshots, done.pages
        )];
        if let Some(of_table) = of_table(&done) {
            told.push(of_table);
        }
        told.extend(doubts(rights, &survey, &last, log_end));
        Ok(told)
    }

    /// Puts epochs back whose objects are gone, or are something else: the series has no hole then.
    async fn replace_epochs(&self, report: &Report, free: u32) -> Result<(), LogError> {
        let bad = bad_epochs(report);
        for epoch in 1..free {
            let key = self.shelf.key(Series::Epochs, epoch);
            if !bad.iter().any(|bad| *bad == key.to_string()) {
                continue;
            }
            self.shelf.remove(&key).await?;
            let body = recover::epoch_of(self.writer).encode(self.shelf.volume, epoch, 0, self.writer.nonce);
            self.shelf
                .create(&key, Bytes::from(body), &self.writer.nonce)
                .await?;
        }
        Ok(())
    }

    /// Puts the tombstones back that are missing; what is in their places is nothing that is believed.
    async fn fence_again(&self) -> Result<(), LogError> {
        let found = match newest(self.shelf, None).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            found => found?,
        };
        let Some((at, head)) = found else {
            return Ok(());
        };
        for place in rights::unfenced(self.shelf, at, &head).await? {
            let (shelf, nonce) = (self.shelf, &self.writer.nonce);
            let there = rights::what(shelf, place.series, place.epoch, place.number).await?;
            if let What::Other = there
                && let Ended::Here =
                    entomb(shelf, place.series, place.number, place.epoch, at.0, nonce).await?
            {
                continue;
            }
            shelf.remove(&shelf.key(place.series, place.number)).await?;
            entomb(shelf, place.series, place.number, place.epoch, at.0, nonce).await?;
        }
        Ok(())
    }

    /// Ends the heads of a former epoch, behind all that there are.
    async fn end_heads(&self, before: u32, epoch: u32) -> Result<(), LogError> {
        let (shelf, heads) = (self.shelf, Series::Heads(before));
        loop {
            let end = series::end(shelf, heads, 0).await?;
            if let Some(last) = end.checked_sub(1)
                && let What::Tombstone = rights::what(shelf, heads, before, last).await?
            {
                return Ok(());
            }
            entomb(shelf, heads, end, before, epoch, &self.writer.nonce).await?;
        }
    }

    /// The log of the last live epoch: the first sequence that is not in the volume, and where its tombstone is.
    async fn end_log(
        &self,
        survey: &mut Survey,
        rights: &rights::Rights,
        last: Span,
        epoch: u32,
    ) -> Result<(u32, u32), LogError> {
        if last.volume != 0 {
            // A clone that nobody has attached yet has no log.
            return Ok((0, 0));
        }
        let log = Series::Segments(Kind::Log, last.epoch);
        let newest = rights.newest.as_ref();
        let known = newest.map(|(_, head)| head);
        let mut place = match survey.tombstones.get(&last.epoch) {
            Some(end) => *end,
            None => self.log_end(survey, rights, last),
        };
        loop {
            match entomb(self.shelf, log, place, last.epoch, epoch, &self.writer.nonce).await {
                Ok(Ended::Here) => break,
                // A request that comes late; told to nobody.
                Ok(Ended::Taken) => *survey = survey::look(self.shelf, epoch, known, self.teller).await?,
                // A damaged one.
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
            place += 1;
        }
        Ok((self.log_end(survey, rights, last).min(place), place))
    }

    /// The first sequence that is not in the volume. Nobody was told that what is behind a hole is written; but of what is in a map, all that is dead
    /// may be gone.
    fn log_end(&self, survey: &Survey, rights: &rights::Rights, last: Span) -> u32 {
        match &rights.newest {
            Some((at, head)) if at.0 == last.epoch && !rights.lost_newer => {
                let is_there = |sequence: &u32| {
                    let number = SegmentNumber::new(Kind::Log, last.log + sequence);
                    number.is_some_and(|number| survey.segments.contains_key(&number))
                };
                let there = (head.log_next..).take_while(is_there).count();
                head.log_next + u32::try_from(there).unwrap_or(u32::MAX)
            }
            _ => survey.end(last.epoch, Kind::Log),
        }
    }

    /// Without a head it is not known what a clone was cloned from.
    fn check_origin(&self, head: Option<&Head>, spans: &[Span], survey: &Survey) -> Result<(), LogError> {
        // Of an epoch that has no segment any more, its tombstone tells how many numbers it had.
        let gone = |first: &Span| {
            survey
                .tombstones
                .range(..first.epoch)
                .map(|(_, end)| *end)
                .sum::<u32>()
        };
        let begins = spans
            .first()
            .map_or(1, |span| span.log.saturating_sub(gone(span)));
        let why = if survey.segments.is_empty() {
            "there is no segment of it"
        } else if begins > 1 {
            "it was cloned from another, and nothing tells from which"
        } else {
            return Ok(());
        };
        if head.is_some() {
            return Ok(());
        }
        let message = format!(
            "rebuild the volume {}: none of its heads can be read, and {why}; restore any one of its heads, {} say, from the store's own versions or backups",
            self.shelf.volume,
            self.shelf.key(Series::Heads(1), 0)
        );
        Err(LogError::new(ErrorKind::Corrupt, message))
    }

    /// The volume that a clone came from, and the map that it began with.
    async fn parent(
        &self,
        head: Option<&Head>,
    ) -> Result<Option<(Core, restblk_format::log::Tree)>, LogError> {
        let Some(of) = head.and_then(|head| head.lineage.get(1)).copied() else {
            return Ok(None);
        };
        let shelf = self.shelf.of(of.volume);
        let found = match newest(&shelf, None).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => None,
            found => found?,
        };
        let Some((at, head)) = found else { return Ok(None) };
        let snapshot = head
            .snapshots
            .iter()
            .find(|snapshot| Some(snapshot.id) == of.snapshot);
        let Some(map) = snapshot.map(|snapshot| snapshot.map) else {
            return Ok(None);
        };
        Ok(Some((reader(&shelf, at, head), map)))
    }
}

/// Has a reader find segments by what was seen of them: the table that it goes by may be damaged.
fn use_survey(core: &Core, survey: &Survey, spans: &[Span]) {
    let mut state = core.state();
    state.head.epochs = spans.to_vec();
    state.table = Radix::default();
    for (born, to) in &survey.moved {
        let line = Line {
            live: 1,
            total: 1,
            moved: Some(*to),
            held: None,
        };
        // All of it is in memory.
        let _ = table::set_line(&mut state.table, *born, line);
    }
}

/// What the table of before says to the blocks that were taken from the segments.
fn of_table(done: &rebuild::Rebuilt) -> Option<String> {
    match done.doubtful {
        _ if done.pages == 0 => None,
        Some(0) => Some("the segment table of before confirms the pages that were made anew".to_owned()),
        Some(blocks) => Some(format!(
            "{blocks} blocks below those pages were not alive any more by the segment table of before: they had been discarded, and read as what was there before that"
        )),
        None => Some(
            "the segment table of before cannot be read, either: what was discarded below those pages may read as what was there before that".to_owned(),
        ),
    }
}

/// What a rebuild cannot know.
fn doubts(rights: &rights::Rights, survey: &Survey, last: &Span, log_end: u32) -> Vec<String> {
    let mut told = Vec::new();
    if rights.newest.is_none() {
        told.push(
            "no head could be read: snapshots, the last change of size and rollbacks are lost, and what was discarded may read as what was there before".to_owned(),
        );
        let numbers = (0..log_end).filter_map(|sequence| SegmentNumber::new(Kind::Log, last.log + sequence));
        let gaps = numbers
            .filter(|number| !survey.segments.contains_key(number) && !survey.moved.contains_key(number));
        let gaps = gaps.count();
        if gaps > 0 {
            told.push(format!(
                "{gaps} segments of the last epoch's log are not there: garbage was collected, or they never arrived; in the latter case what is behind them was never acknowledged as stored"
            ));
        }
    } else if rights.lost_newer {
        told.push("the newest heads could not be read: snapshots made or deleted, changes of size and rollbacks that they alone told are lost".to_owned());
    }
    let behind = (log_end..survey.end(last.epoch, Kind::Log))
        .filter_map(|sequence| SegmentNumber::new(Kind::Log, last.log + sequence));
    let behind = behind
        .filter(|number| survey.segments.contains_key(number))
        .count();
    if behind > 0 {
        told.push(format!("the log ends where its next segment cannot be read: {behind} segments behind that are left out, so that the volume is what it was at one moment"));
    }
    if survey.late > 0 {
        told.push(format!(
            "{} segments of fenced writers were left out",
            survey.late
        ));
    }
    told.extend(
        survey
            .bad
            .iter()
            .map(|(key, why)| format!("left out: {key}: {why}")),
    );
    told
}
