//! Runs qemu-img: the one program that everybody's images were tried with.
//!
//! It runs as whoever runs the command, and opens what they name, backing files too. Its progress is on its standard output, a line that overwrites itself.

use crate::failure::{Failure, Result};
use crate::output::{Meter, Shown};
use crate::session::Session;
use restblk_types::ErrorKind;
use serde::Deserialize;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

const PROGRAM: &str = "qemu-img";

/// Requests that it has under way.
const PARALLEL: &str = "8";

/// What an image is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Info {
    /// Bytes that its guest sees.
    pub(super) virtual_size: u64,
    /// Its format.
    pub(super) format: String,
}

/// Looks at an image; finds out its format where none is given.
pub(super) async fn info(file: &Path, format: Option<&str>) -> Result<Info> {
    let what = format!("look at {}", file.display());
    let mut command = Command::new(PROGRAM);
    command.args(["info", "--output=json"]);
    if let Some(format) = format {
        command.args(["-f", format]);
    }
    // Not "--": a path that begins with a dash is made one that does not.
    command.arg(plain(file));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.map_err(|error| cannot_start(&error))?;
    if !output.status.success() {
        return Err(failed(&what, &output.stderr));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| {
        Failure::new(
            ErrorKind::Bug,
            format!("{PROGRAM}'s answer makes no sense: {error}"),
        )
        .what(what)
    })
}

/// A path that neither an option nor a protocol can be read into.
pub(super) fn plain(file: &Path) -> std::path::PathBuf {
    if file.is_absolute() {
        file.to_owned()
    } else {
        Path::new(".").join(file)
    }
}

/// Copies an image; `size` is what the progress is of.
pub(super) async fn convert<I, S>(
    session: &Session,
    what: &str,
    arguments: I,
    size: u64,
    progress: bool,
) -> Result
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(PROGRAM);
    command.args(["convert", "-p", "-m", PARALLEL]).args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| cannot_start(&error))?;
    let (meter, mut said) = (Meter::default(), Vec::new());
    meter.size.store(size, Ordering::Relaxed);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let told = async {
            match out {
                Some(out) => follow(out, &meter).await,
                None => Ok(()),
            }
        };
        let read = async {
            match err {
                Some(mut err) => err.read_to_end(&mut said).await.map(drop),
                None => Ok(()),
            }
        };
        // What it says is all there when it has ended.
        let _ = tokio::join!(told, read);
        child.wait().await
    };
    let shown = Shown::new(&meter, what, progress, session.is_quiet());
    let status = shown.wait(run).await;
    let status = status.map_err(|error| cannot_start(&error))?;
    if status.success() {
        return Ok(());
    }
    Err(failed(what, &said))
}

/// Takes the progress out of what it says: `    (12.34/100%)\r`, again and again.
async fn follow(mut out: impl AsyncRead + Unpin, meter: &Meter) -> io::Result<()> {
    let (mut buffer, mut line) = ([0; 1024], Vec::new());
    loop {
        let read = out.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        for byte in &buffer[..read] {
            if *byte != b'\r' && *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            if let Some(parts) = ten_thousandths(&line) {
                let size = u128::from(meter.size.load(Ordering::Relaxed));
                let done = u64::try_from(size * parts / 10_000).unwrap_or(u64::MAX);
                meter.position.store(done, Ordering::Relaxed);
                meter.bytes.store(done, Ordering::Relaxed);
            }
            line.clear();
        }
    }
}

fn ten_thousandths(line: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(line).ok()?;
    let percent = text.trim().strip_prefix('(')?.strip_suffix("/100%)")?;
    let (whole, part) = percent.split_once('.')?;
    let part: u128 = part.get(..2)?.parse().ok()?;
    Some((whole.parse::<u128>().ok()? * 100 + part).min(10_000))
}

fn cannot_start(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(ErrorKind::Unsupported, format!("{PROGRAM} is not installed"))
            .hint("install it: apt install qemu-utils, or dnf install qemu-img");
    }
    Failure::new(
        ErrorKind::Unavailable,
        format!("{PROGRAM} cannot be run: {error}"),
    )
}

fn failed(what: &str, said: &[u8]) -> Failure {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let why = if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        lines.join("; ")
    };
    let kind = if why.contains("No space left") {
        ErrorKind::NoSpace
    } else {
        ErrorKind::Invalid
    };
    Failure::new(kind, format!("{PROGRAM}: {why}")).what(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn progress_is_read_out_of_what_it_says() {
        let meter = Meter::default();
        meter.size.store(1000, Ordering::Relaxed);
        let said = b"    (0.00/100%)\r    (12.34/100%)\r".as_slice();
        follow(said, &meter).await.unwrap();
        assert_eq!(meter.position.load(Ordering::Relaxed), 123);
        follow(b"noise\n (100.00/100%)\r".as_slice(), &meter)
            .await
            .unwrap();
        assert_eq!(meter.position.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_path_is_never_an_option_or_a_protocol() {
        for (path, wanted) in [("-x", "./-x"), ("nbd:x", "./nbd:x"), ("/a/b", "/a/b")] {
            assert_eq!(plain(Path::new(path)), Path::new(wanted));
        }
    }

    #[test]
    fn its_own_words_come_through() {
        let failure = failed("x", b"qemu-img: error while writing: No space left on device\n\n");
        assert!(failure.sentence().contains("No space left"));
        assert_eq!(failure.exit, crate::exit::Exit::NoSpace);
        assert!(failed("x", b"").sentence().contains("said nothing"));
    }
}
