//! `restblk check`: look through what lies on the store of a volume, or of all volumes of a pool, and put it right.

use super::keys::KeyFiles;
use crate::complete;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::{CheckResult, CheckVolume, VolumeCheck};
use restblk_types::{ByteCount, PoolName, VolumeRef};
use std::fmt::Write;

/// Ranges and objects of each kind that are written out for people.
const SHOWN: usize = 10;

/// Look through what lies on the store: that all is there, and is what was written
///
/// Nothing is changed, and volumes may be attached meanwhile. docs/check.md tells what each finding means and what to do. Ends with 10 where something is
/// damaged, and with 14 where it was and is repaired.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Pool and name of the volume; a pool alone means all its volumes
    #[arg(value_name = "POOL[/NAME]", add = complete::volumes())]
    what: String,
    /// Read every byte, and compare its checksum
    #[arg(long)]
    deep: bool,
    /// Put right what can be: the volume must be attached nowhere, and whoever has it is fenced
    #[arg(long)]
    repair: bool,
    /// Tell what a repair would do, and do nothing
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Remove objects that nothing reaches, also where nothing is damaged
    #[arg(long, requires = "repair")]
    remove_garbage: bool,
    /// Repair the volume although another host holds it
    #[arg(long, requires = "repair")]
    force: bool,
    /// Do not ask before a repair
    #[arg(short, long, requires = "repair")]
    yes: bool,
    #[command(flatten)]
    key: KeyFiles,
}

impl Check {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volumes = self.volumes(session).await?;
        if self.repair && !self.dry_run && !self.yes {
            let question = format!(
                "repair {}? what is damaged is rebuilt, and other writers are fenced",
                self.what
            );
            if !session.confirm(&question) {
                return Ok(());
            }
        }
        let request = CheckVolume {
            deep: self.deep,
            repair: self.repair,
            dry_run: self.dry_run,
            remove_garbage: self.remove_garbage,
            force: self.force,
            key: self.key.read()?,
        };
        let is_pool = !self.what.contains('/');
        let mut checks = Vec::new();
        let mut failed = None;
        for volume in &volumes {
            match one(session, volume, &request).await {
                Ok(check) => {
                    if !session.is_json() {
                        session.result(&check, words)?;
                    }
                    checks.push(check);
                }
                Err(failure) if is_pool => {
                    // The others are looked at all the same; the last failure ends the command.
                    session.warn(format!("{volume} was not checked to its end"));
                    failed = Some(failure);
                }
                Err(failure) => return Err(with_alternatives(session, failure, volume).await),
            }
        }
        match (session.is_json(), is_pool, checks.first()) {
            (true, false, Some(check)) => session.result(check, |_| String::new())?,
            (true, _, _) => session.result(&checks, |_| String::new())?,
            (false, _, None) => session.note("there are no volumes to check"),
            _ => {}
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        let ended = |result: CheckResult| checks.iter().any(|check| check.result == result);
        if ended(CheckResult::Damaged) {
            return Err(Failure::silent(Exit::Corrupt));
        }
        if ended(CheckResult::Repaired) {
            return Err(Failure::silent(Exit::Repaired));
        }
        Ok(())
    }

    async fn volumes(&self, session: &Session) -> Result<Vec<VolumeRef>> {
        let Ok(pool) = self.what.parse::<PoolName>() else {
            return Ok(vec![VolumeArg(self.what.clone()).resolve(session).await?]);
        };
        let listed = session
            .call("list the volumes", session.client.volumes(Some(&pool)))
            .await?;
        Ok(listed.into_iter().map(|volume| volume.volume).collect())
    }
}

async fn one(session: &Session, volume: &VolumeRef, request: &CheckVolume) -> Result<VolumeCheck> {
    let what = format!("check {volume}");
    let news = async || {
        let progress = session.client.check_progress(volume).await.ok()?;
        let read = if progress.bytes.0 > 0 {
            format!(", {}", rate(progress.bytes, progress.seconds))
        } else {
            String::new()
        };
        Some(format!(
            "{}, {} of {}{read}",
            progress.phase, progress.done, progress.of
        ))
    };
    session
        .follow(&what, session.client.check_volume(volume, request), news)
        .await
}

/// What was read, and how fast.
fn rate(bytes: ByteCount, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let mb = bytes.0 as f64 / 1e6 / seconds.max(0.001);
    format!("{bytes} read, {mb:.0} MB/s")
}

fn words(check: &VolumeCheck) -> String {
    let mut text = String::new();
    let how = if check.deep { ", every byte" } else { "" };
    let read = if check.bytes.0 > 0 {
        format!(", {}", rate(check.bytes, check.seconds))
    } else {
        String::new()
    };
    let by = check
        .head
        .as_ref()
        .map_or_else(String::new, |head| format!(", by head {head}"));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}: {}{how}{by}: {} objects looked at in {:.1} s{read}",
        check.volume,
        check.result.as_str(),
        check.objects,
        check.seconds
    );
    for finding in &check.findings {
        let _ = writeln!(
            text,
            "  {}: {}: {}",
            finding.problem, finding.object, finding.detail
        );
    }
    if check.more_findings > 0 {
        let _ = writeln!(text, "  and {} more findings", check.more_findings);
    }
    for lost in &check.lost {
        let _ = writeln!(text, "  {} of {} cannot be read:", lost.bytes, lost.of);
        for (from, to) in lost.ranges.iter().take(SHOWN) {
            let _ = writeln!(text, "    bytes {from} to {to}");
        }
        if lost.ranges.len() > SHOWN {
            let _ = writeln!(
                text,
                "    and {} more ranges (-o json tells them)",
                lost.ranges.len() - SHOWN
            );
        }
    }
    if let Some(garbage) = check
        .garbage
        .as_ref()
        .filter(|garbage| garbage.objects > 0 && garbage.removed == 0)
    {
        let _ = writeln!(
            text,
            "  garbage: {} objects, {}, reached by nothing; --repair --remove-garbage removes them",
            garbage.objects, garbage.bytes
        );
    }
    for step in &check.steps {
        let _ = writeln!(text, "  repair: {step}");
    }
    text
}
