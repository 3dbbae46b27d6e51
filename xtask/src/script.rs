//! Scripts found in the file system: tests, claims and benches are files, described by the comments at their head.
//!
//! ```text
//! #!/bin/bash
//! # claim: a volume survives the death of the daemon      (or `bench:`, or `test:`)
//! # timeout: 300
//! ```
//! A script is given a fresh folder WORK, which is removed unless it failed; RESTBLK (the program), RESTBLK_ROOT (the
//! tree), RESTBLK_PROGRAMS (the folder of release builds), and on this host the tools that it asked for (`tools: NAME`) first in PATH. It ends with 0, with 77 (skipped; a line `skipped: …` says why), or it failed.
//! It is ended by TERM, and 20 s later by KILL, when its time is up or xtask itself dies.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::forget_package;
use crate::report::Outcome;
use crate::tree::Tree;

/// The file in WORK with all that the script printed.
const OUTPUT: &str = "output.log";
/// By convention of other test harnesses, a script that ends so could not be run here.
const SKIPPED: i32 = 77;
/// How `timeout` says that it ended a script.
const TIMED_OUT: i32 = 124;
/// Lines of each log that are shown after a failure.
const TAIL_LINES: usize = 100;
/// Lines of the script's own output: in a guest's lie the ends of the guest's logs.
const OUTPUT_TAIL_LINES: usize = 400;

/// A script and what its head says.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    /// The file's name without its extension.
    pub(crate) name: String,
    head: BTreeMap<String, String>,
}

/// A finished script.
pub(crate) struct Finished {
    pub(crate) outcome: Outcome,
    /// All that it printed, on both outputs.
    pub(crate) output: String,
}

/// The scripts in `folder` (*.sh and *.py), by name; none when there is no such folder.
pub(crate) fn discover(folder: &Path) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    if !folder.is_dir() {
        return Ok(scripts);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && matches!(path.extension().and_then(OsStr::to_str), Some("sh" | "py")) {
            scripts.push(Script::read(path)?);
        }
    }
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}

impl Script {
    fn read(path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let head = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(|line| line.strip_prefix("# ")?.split_once(": "))
            .filter(|(key, _)| key.chars().all(|letter| letter.is_ascii_lowercase()))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Self { path, name, head })
    }

    /// What the head says of `key`.
    pub(crate) fn says(&self, key: &str) -> Option<&str> {
        self.head.get(key).map(String::as_str)
    }

    /// The tools of `setup::tool` that it needs.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &str> {
        self.says("tools").unwrap_or_default().split_whitespace()
    }

    /// The time limit: `timeout:` in seconds, or `otherwise`.
    pub(crate) fn limit(&self, otherwise: Duration) -> Result<Duration> {
        match self.says("timeout") {
            None => Ok(otherwise),
            Some(seconds) => match seconds.parse() {
                Ok(seconds) => Ok(Duration::from_secs(seconds)),
                Err(_) => bail!(
                    "{}: `timeout: {seconds}` is not a number of seconds",
                    self.path.display()
                ),
            },
        }
    }

    /// The command that runs the script itself.
    pub(crate) fn interpreter(&self) -> &'static str {
        if self.path.extension().is_some_and(|extension| extension == "py") {
            "python3"
        } else {
            "bash"
        }
    }

    /// Runs the script on this host.
    pub(crate) fn run(
        &self,
        tree: &Tree,
        arguments: &[String],
        limit: Duration,
        in_sight: bool,
    ) -> Result<Finished> {
        let mut command = limited(limit);
        command.arg(self.interpreter()).arg(&self.path).args(arguments);
        if self.tools().next().is_some() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let own = std::iter::once(Tree::tools().join("bin"));
            command.env(
                "PATH",
                std::env::join_paths(own.chain(std::env::split_paths(&path)))?,
            );
        }
        run(tree, command, &self.name, limit, in_sight)
    }
}

/// The beginning of a command line that is ended after `limit`, and when we die.
pub(crate) fn limited(limit: Duration) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "TERM",
        "timeout",
        "-k",
        "20",
        &limit.as_secs().to_string(),
    ]);
    command
}

/// Gives `command` the variables that every script finds.
pub(crate) fn give_environment(tree: &Tree, command: &mut Command) {
    // A script may call cargo.
    forget_package(command);
    command
        .env("RESTBLK", tree.restblk())
        .env("RESTBLK_ROOT", &tree.root)
        .env("RESTBLK_PROGRAMS", tree.programs())
        .env("RESTBLK_TARGET", &tree.target);
}

/// Runs `command`, begun by [`limited`], in a scratch folder of its own.
pub(crate) fn run(
    tree: &Tree,
    mut command: Command,
    name: &str,
    limit: Duration,
    in_sight: bool,
) -> Result<Finished> {
    let work = Scratch::new(name)?;
    give_environment(tree, &mut command);
    command.env("WORK", &work.path).current_dir(&work.path);
    let (status, output) = run_logged(command, &work.path.join(OUTPUT), in_sight)?;
    let outcome = match status {
        Some(0) => Outcome::Passed,
        Some(SKIPPED) => {
            let why = output
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("skipped: "));
            Outcome::Skipped(why.unwrap_or("it does not say why").to_owned())
        }
        Some(TIMED_OUT) => Outcome::Failed(format!("not done after {} s", limit.as_secs())),
        Some(status) => Outcome::Failed(format!("exit status {status}")),
        None => Outcome::Failed("ended by a signal".to_owned()),
    };
    if matches!(outcome, Outcome::Failed(_)) {
        show_logs(&work.path, in_sight)?;
        println!("   its folder is kept: {}", work.path.display());
        work.keep();
    }
    Ok(Finished { outcome, output })
}

/// Runs `command` with both outputs in `log`, and on ours if `in_sight`. Returns its exit status and what it printed.
fn run_logged(mut command: Command, log: &Path, in_sight: bool) -> Result<(Option<i32>, String)> {
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command
        .spawn()
        .context("cannot start setpriv: is util-linux installed?")?;
    drop(command); // it holds the pipe's other end
    let mut log = fs::File::create(log)?;
    let (sender, receiver) = mpsc::channel();
    // A thread of its own, because a process that the script left behind may hold the pipe open for ever.
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if log.write_all(&line).is_err() || sender.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    let mut kept = Vec::new();
    let mut status = None;
    loop {
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                if in_sight {
                    std::io::stdout().write_all(&line)?;
                }
                kept.extend_from_slice(&line);
                continue;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        // Nothing more came for a while: over, if the script itself is.
        if status.is_some() {
            break;
        }
        status = child.try_wait()?;
    }
    let status = match status {
        Some(status) => status,
        None => child.wait()?,
    };
    Ok((status.code(), String::from_utf8_lossy(&kept).into_owned()))
}

/// Prints the end of each log in `work` (but not what was in sight already).
fn show_logs(work: &Path, in_sight: bool) -> Result<()> {
    let mut logs: Vec<_> = fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.retain(|path| !(in_sight && path.ends_with(OUTPUT)));
    logs.sort();
    for log in logs {
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let lines: Vec<_> = text.lines().collect();
        println!(
            "   --- the end of {} ({} lines)",
            log.file_name().unwrap_or_default().display(),
            lines.len()
        );
        let tail = if log.ends_with(OUTPUT) {
            OUTPUT_TAIL_LINES
        } else {
            TAIL_LINES
        };
        for line in &lines[lines.len().saturating_sub(tail)..] {
            println!("   {line}");
        }
    }
    Ok(())
}

/// A folder that is removed with all that is in it, unless it is kept. Its name is short: sockets are made in it.
struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        for number in 0..1000 {
            let path = std::env::temp_dir().join(format!("restblk-{name}.{}.{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, kept: false }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            }
        }
        bail!(
            "no free name for a scratch folder in {}",
            std::env::temp_dir().display()
        )
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            println!("   cannot remove {}: {error}", self.path.display());
        }
    }
}
