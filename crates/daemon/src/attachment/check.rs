//! Volumes are looked through, and repaired. A check claims nothing and runs beside whoever has the volume; those that are open here keep what
//! their heads reach meanwhile. A repair takes the volume as an attachment does, and nobody may have it open here.

use super::{Attachments, journal};
use crate::{clock, error, error::Result};
use restblk_api::{
    CheckProgress, CheckResult, CheckVolume, ErrorBody, Finding, GarbageFound, LostBytes, OpenUsage,
    VolumeCheck, VolumeUsage,
};
use restblk_engine::{
    Repository, Takeover,
    log::{
        DataKey, Figures, Hold, Writer,
        check::{How, Problem, Progress, Repair, Repaired, Report, Teller},
    },
};
use restblk_format::{LayoutKind, LifeState, VolumeRecord};
use restblk_types::{ByteCount, ErrorKind, VolumeId, VolumeRef};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The checks that are under way.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    running: Mutex<BTreeMap<VolumeRef, (Instant, Progress)>>,
}

/// One of them, until it is dropped.
struct Running<'a> {
    checks: &'a Checks,
    volume: &'a VolumeRef,
    begun: Instant,
}

impl Checks {
    fn begin<'a>(&'a self, volume: &'a VolumeRef) -> Result<Running<'a>> {
        let begun = Instant::now();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(volume) {
            let message = format!("check {volume}: it is being checked already");
            return Err(ErrorBody::new(ErrorKind::Busy, message)
                .hint("wait for that check, or end the command that asked for it"));
        }
        let progress = Progress {
            phase: restblk_engine::log::check::Phase::Heads,
            done: 0,
            of: 1,
            bytes: 0,
        };
        running.insert(volume.clone(), (begun, progress));
        Ok(Running {
            checks: self,
            volume,
            begun,
        })
    }

    /// How far a volume's check has come.
    pub(crate) fn progress(&self, volume: &VolumeRef) -> Result<CheckProgress> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, progress) = running.get(volume).ok_or_else(|| {
            let message = format!("find the check of {volume}: none is under way");
            ErrorBody::new(ErrorKind::NotFound, message).hint(format!("restblk check {volume} begins one"))
        })?;
        Ok(CheckProgress {
            phase: progress.phase.as_str().to_owned(),
            done: progress.done,
            of: progress.of,
            bytes: ByteCount(progress.bytes),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }
}

impl Running<'_> {
    fn tell(&self, progress: Progress) {
        let mut running = self.checks.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(self.volume.clone(), (self.begun, progress));
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.checks.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(self.volume);
    }
}

impl Attachments {
    /// Looks a volume through, and repairs it where that is asked for.
    pub(crate) async fn check(
        &self,
        volume: &VolumeRef,
        request: CheckVolume,
        checks: &Checks,
    ) -> Result<VolumeCheck> {
        if !request.repair && (request.dry_run || request.remove_garbage || request.force) {
            let message = format!("check {volume}: --dry-run, --remove-garbage and --force are of a repair");
            return Err(ErrorBody::new(ErrorKind::Invalid, message).hint("add --repair"));
        }
        let running = checks.begin(volume)?;
        let repository = Arc::clone(&self.context.pools.open(&volume.pool)?.repository);
        let info = match repository.volume(&volume.volume).await {
            Ok(info) => info,
            // Of all that is wrong with it the first thing: nothing else can be found without it.
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                let told = (Problem::Record, "the volume's record".to_owned(), e.to_string());
                return Ok(answer(volume, &running, vec![told], None, Vec::new()));
            }
            Err(e) => return Err(error::engine(e)),
        };
        let mut record = of_record(volume, &info.record);
        if info.record.layout == LayoutKind::Direct {
            let found = repository
                .check_direct(&info.record)
                .await
                .map_err(error::engine)?;
            record.extend(found.map(|(problem, why)| (problem, format!("the file of {volume}"), why)));
            return Ok(answer(volume, &running, record, None, Vec::new()));
        }
        let (key, encryption) = (request.key.clone(), info.record.encryption.as_ref());
        let key = self
            .context
            .keys
            .of(volume, info.record.id, encryption, key)
            .await?;
        let how = How {
            deep: request.deep,
            garbage: true,
        };
        let told = |progress: Progress| running.tell(progress);
        let teller = Teller::new(&told);
        if request.repair {
            let done = self.repair(volume, &request, key, how, teller).await?;
            let is_left = done.after.as_ref().is_some_and(|after| !after.is_clean());
            let was_damaged = !done.before.is_clean();
            let steps = done.steps;
            let is_dry = request.dry_run;
            let report = done.after.unwrap_or(done.before);
            let mut told = answer(volume, &running, record, Some(report), steps);
            if was_damaged && !is_dry && !is_left && told.result == CheckResult::Clean {
                told.result = CheckResult::Repaired;
            }
            return Ok(told);
        }
        let _held: Vec<Hold> = self.held_open();
        let report = match repository.check_log_volume(&info.record, key, how, teller).await {
            Ok(report) => report,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if info.record.state == LifeState::Ready {
                    record.push((
                        Problem::Missing,
                        format!("the volume {}", info.record.id),
                        e.to_string(),
                    ));
                }
                return Ok(answer(volume, &running, record, None, Vec::new()));
            }
            Err(e) => return Err(error::engine(e)),
        };
        record.extend(self.size_of(&repository, &info.record, &report).await);
        Ok(answer(volume, &running, record, Some(report), Vec::new()))
    }

    /// Open volumes keep what their heads reach.
    fn held_open(&self) -> Vec<Hold> {
        let opened = self.openings.all();
        opened
            .iter()
            .filter_map(|opened| Some(opened.volume.log()?.hold()))
            .collect()
    }

    /// Whether the record's size is that of the log.
    async fn size_of(&self, repository: &Repository, record: &VolumeRecord, report: &Report) -> Option<Told> {
        report.head?;
        let head = repository.log_head(record).await.ok()?;
        (head.size != record.size).then(|| {
            let why = format!(
                "it says {} bytes, and the volume has {}: a change of its size was cut off; the next attach puts it right",
                record.size, head.size
            );
            (Problem::LeftOver, "the volume's record".to_owned(), why)
        })
    }

    async fn repair(
        &self,
        volume: &VolumeRef,
        request: &CheckVolume,
        key: Option<DataKey>,
        how: How,
        teller: Teller<'_>,
    ) -> Result<Repaired> {
        let takeover = if request.force {
            Takeover::Forced
        } else {
            Takeover::Refused
        };
        let work = async |repository: Arc<Repository>, record: VolumeRecord| {
            let what = Repair {
                how,
                dry_run: request.dry_run,
                remove_garbage: request.remove_garbage,
                size: record.size,
            };
            let writer = Writer {
                nonce: *VolumeId::random().as_bytes(),
                hostname: self.context.hostname.clone(),
                since: clock::now(),
                key,
            };
            let has_journal = journal::path(&self.context, record.id).exists();
            let journal = if has_journal && !request.dry_run {
                journal::open(&self.context, record.id).await?
            } else {
                None
            };
            let repaired = repository
                .repair_log_volume(&record, what, &writer, journal, teller)
                .await;
            repaired.map_err(error::engine)
        };
        let done = self.alone("repair", volume, takeover, work).await?;
        for step in &done.steps {
            tracing::warn!(%volume, step, dry_run = request.dry_run, "repair");
        }
        Ok(done)
    }

    /// What a log volume has on its store, and what it has not sent there yet.
    pub(crate) async fn usage(&self, volume: &VolumeRef) -> Result<VolumeUsage> {
        let repository = Arc::clone(&self.context.pools.open(&volume.pool)?.repository);
        let record = repository.record(&volume.volume).await.map_err(error::engine)?;
        if record.layout != LayoutKind::Log {
            let message =
                format!("tell what {volume} has on its store: a volume of the direct layout is one file");
            return Err(ErrorBody::new(ErrorKind::Unsupported, message));
        }
        let log = self.open_log(volume).await;
        let _held = log.as_ref().map(|log| log.hold());
        let encryption = record.encryption.as_ref();
        let key = self.context.keys.of(volume, record.id, encryption, None).await?;
        let usage = repository.log_usage(&record, key).await.map_err(error::engine)?;
        let receiving = self.receiving(volume, log.as_deref(), &record).await?;
        Ok(VolumeUsage {
            receiving,
            allocated: ByteCount(usage.allocated),
            held: ByteCount(usage.held),
            garbage: ByteCount(usage.garbage),
            stored: usage.stored.map(ByteCount),
            objects: usage.objects,
            snapshots: usage.snapshots,
            clones: usage.clones,
            head: format!("{}/{}", usage.epoch, usage.head),
            open: log.map(|log| open_usage(&log.figures())),
        })
    }

    /// What each open log volume has done.
    pub(crate) fn figures(&self) -> Vec<(VolumeRef, Figures)> {
        let opened = self.openings.all();
        let figures = opened.iter().filter_map(|opened| {
            let log = opened.volume.log()?;
            Some((opened.name().clone(), log.figures()))
        });
        figures.collect()
    }
}

fn open_usage(figures: &Figures) -> OpenUsage {
    OpenUsage {
        written: ByteCount(figures.written),
        read: ByteCount(figures.read),
        put: ByteCount(figures.put),
        fetched: ByteCount(figures.fetched),
        unsent: ByteCount(figures.unsent),
        lag_s: figures.lag.as_secs_f64(),
        journal_used: figures.journal.map(|(used, _)| ByteCount(used)),
        journal_size: figures.journal.map(|(_, size)| ByteCount(size)),
    }
}

/// A problem, what it is of, and more.
type Told = (Problem, String, String);

/// What the record alone tells.
fn of_record(volume: &VolumeRef, record: &VolumeRecord) -> Vec<Told> {
    let told = |why| vec![(Problem::LeftOver, "the volume's record".to_owned(), why)];
    if let Some(conversion) = &record.conversion {
        return told(format!(
            "the change of its layout is not done ({}, since {}), and has objects beside the volume's: while nobody is at it, restblk convert {volume} goes on with it, and --cancel takes it back",
            conversion.stage.as_str(),
            conversion.since
        ));
    }
    let why = match record.state {
        LifeState::Ready => return Vec::new(),
        LifeState::Creating => format!(
            "its creation was cut off: restblk create {volume} with the same size goes on with it, restblk delete {volume} clears it away"
        ),
        LifeState::Deleting => format!("its deletion was cut off: restblk delete {volume} goes on with it"),
        LifeState::Trashing => {
            format!("its move to the trash was cut off: restblk delete {volume} goes on with it")
        }
    };
    told(why)
}

/// The answer: what the record tells, then what the log tells.
fn answer(
    volume: &VolumeRef,
    running: &Running<'_>,
    record: Vec<Told>,
    report: Option<Report>,
    steps: Vec<String>,
) -> VolumeCheck {
    let one = |(problem, object, detail): Told| Finding {
        problem: problem.as_str().to_owned(),
        damage: problem.is_damage(),
        object,
        detail,
    };
    let mut findings: Vec<Finding> = record.into_iter().map(one).collect();
    let mut told = VolumeCheck {
        volume: volume.clone(),
        result: CheckResult::Clean,
        deep: false,
        head: None,
        snapshots: 0,
        clones: 0,
        objects: 0,
        bytes: ByteCount(0),
        seconds: running.begun.elapsed().as_secs_f64(),
        findings: Vec::new(),
        more_findings: 0,
        lost: Vec::new(),
        garbage: None,
        steps,
    };
    let mut is_damaged = findings.iter().any(|finding| finding.damage);
    if let Some(report) = report {
        is_damaged |= !report.is_clean();
        let found = report.findings.into_iter();
        findings.extend(found.map(|found| one((found.problem, found.object, found.detail))));
        told.deep = report.deep;
        told.head = report.head.map(|(epoch, number)| format!("{epoch}/{number}"));
        told.snapshots = report.snapshots as u64;
        told.clones = report.clones as u64;
        told.objects = report.objects;
        told.bytes = ByteCount(report.bytes);
        told.more_findings = report.more;
        let lost = report.lost.into_iter().map(|lost| LostBytes {
            of: match lost.snapshot {
                None => volume.to_string(),
                Some((_, Some(name))) => format!("{volume}@{name}"),
                Some((id, None)) => format!("{volume}, snapshot {id}, which is deleted and has clones"),
            },
            bytes: ByteCount(lost.bytes),
            ranges: lost
                .ranges
                .into_iter()
                .map(|range| (range.start, range.end))
                .collect(),
        });
        told.lost = lost.collect();
        told.garbage = report.garbage.map(|garbage| GarbageFound {
            objects: garbage.objects,
            bytes: ByteCount(garbage.bytes),
            keys: garbage.keys,
            waiting: garbage.waiting,
            unfinished: garbage.unfinished,
            removed: garbage.removed,
        });
    }
    told.findings = findings;
    if is_damaged {
        told.result = CheckResult::Damaged;
    }
    told
}
