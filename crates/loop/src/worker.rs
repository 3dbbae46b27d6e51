//! Work that waits for the kernel, done by a process of its own.
//!
//! What is asked of a loop device, or of the file under it, may sleep in the kernel until FUSE's requests are answered,
//! and it is the daemon that answers them. If the daemon itself slept so and were killed, it could not end before the answer: and
//! neither would its descriptors, so that nobody else gave it, nor would whoever starts the next daemon learn of
//! the death. A thread without descriptors helps with the first only. So the daemon waits for a process,
//! which a signal ends at any time, and never for its own device.
//!
//! ```text
//! daemon --- work, as an argument; a descriptor of the file system as standard input --> worker
//!        <-- outcome, as JSON, with the descriptors that it opened, on a socket as standard output ---
//! ```
//! A worker is told to die with its daemon: it begins nothing after that, though it may have to wait for the next daemon's answer.

use crate::{
    helper::{HelperProgram, for_own_use},
    kernel::{self, Taken},
    passing,
};
use restblk_device::loopdev::LoopSetup;
use rustix::{
    fd::OwnedFd,
    io::Errno,
    process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::Stdio,
};

/// What a worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Opens the file at `path` below the root that it is given, and gives a loop device that file: number
    /// `preferred` if it is free, else any. Sends a descriptor for the file's attributes.
    Take {
        path: PathBuf,
        setup: LoopSetup,
        preferred: Option<u32>,
    },
    /// Makes the kernel see the size of the file that it is given, in bytes.
    Resize { index: u32, size: u64 },
    /// Writes out what the kernel caches for the device, which nobody may hold.
    Sync { index: u32 },
    /// Takes our file away from the device; `alive` where somebody serves it.
    Release { index: u32, mount: PathBuf, alive: bool },
    /// Asks for the attributes of the file that it is given, so that one of the daemon's threads has something to read.
    Ask,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Taken(Taken),
    /// The size that the kernel knows now, in bytes.
    Size(u64),
    Done,
}

/// The work, and who wants it.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    daemon: i32,
    work: Work,
}

/// An operating system's error as it goes over the socket.
#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    errno: i32,
    message: String,
}

/// Has a worker do `work` with the descriptor `file`; returns what came of it, with the descriptor that it sent. Blocks.
pub(crate) fn have_done(
    program: &HelperProgram,
    work: Work,
    file: Option<BorrowedFd<'_>>,
) -> io::Result<(Outcome, Option<OwnedFd>)> {
    let daemon = getpid().as_raw_nonzero().get();
    let order = serde_json::to_string(&Order { daemon, work })?;
    let (mine, its) = UnixStream::pair()?;
    let mut command = program.worker(&order);
    match file {
        Some(file) => command.stdin(file.try_clone_to_owned()?),
        None => command.stdin(Stdio::null()),
    };
    command.stdout(OwnedFd::from(its));
    let mut child = command.spawn()?;
    // Its end of the socket, which is to be open in the worker alone.
    drop(command);
    let answer = receive(mine);
    let status = child.wait()?;
    let (text, descriptor) = answer?;
    if text.is_empty() {
        let message = format!("the process that waits for the kernel ended without an answer ({status})");
        return Err(io::Error::other(message));
    }
    let outcome: Result<Outcome, Failed> = serde_json::from_slice(&text)?;
    match outcome {
        Ok(outcome) => Ok((outcome, descriptor)),
        Err(failed) => {
            let kind = io::Error::from_raw_os_error(failed.errno).kind();
            Err(io::Error::new(kind, failed.message))
        }
    }
}

/// All that comes until the other side closes, and the last descriptor that came with it.
fn receive(mut stream: UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut text = vec![0; 64 << 10];
    let (len, mut descriptors) = passing::receive(&stream, &mut text)?;
    text.truncate(len);
    stream.read_to_end(&mut text)?;
    Ok((text, descriptors.pop()))
}

/// A worker's whole life.
pub(crate) fn work(order: &str) -> io::Result<()> {
    let order: Order = serde_json::from_str(order).map_err(|_| for_own_use())?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid().map(Pid::as_raw_pid) != Some(order.daemon) {
        // It died before it could take us along.
        return Ok(());
    }
    let (given, answer) = (io::stdin(), io::stdout());
    let (outcome, opened) = match outcome(order.work, given.as_fd()) {
        Ok((outcome, opened)) => (Ok(outcome), opened),
        Err(error) => (Err(Failed::from(&error)), None),
    };
    let text = serde_json::to_vec(&outcome)?;
    let descriptors: Vec<_> = opened.as_ref().map(OwnedFd::as_fd).into_iter().collect();
    passing::send(&answer, &text, &descriptors)
}

fn outcome(work: Work, given: BorrowedFd<'_>) -> io::Result<(Outcome, Option<OwnedFd>)> {
    match work {
        Work::Take {
            path,
            setup,
            preferred,
        } => {
            let (taken, attributes) = kernel::take(given, &path, &setup, preferred)?;
            Ok((Outcome::Taken(taken), Some(attributes)))
        }
        Work::Resize { index, size } => Ok((Outcome::Size(kernel::resize(index, given, size)?), None)),
        Work::Sync { index } => kernel::sync(index).map(|()| (Outcome::Done, None)),
        Work::Release { index, mount, alive } => {
            kernel::release(index, &mount, alive).map(|()| (Outcome::Done, None))
        }
        Work::Ask => kernel::refresh_size(given).map(|size| (Outcome::Size(size), None)),
    }
}

impl From<&io::Error> for Failed {
    fn from(error: &io::Error) -> Self {
        let errno = error
            .raw_os_error()
            .unwrap_or_else(|| errno_of(error.kind()).raw_os_error());
        Self {
            errno,
            message: error.to_string(),
        }
    }
}

/// For errors that are ours, not the system's: what the daemon tells apart.
fn errno_of(kind: io::ErrorKind) -> Errno {
    match kind {
        io::ErrorKind::ResourceBusy => Errno::BUSY,
        io::ErrorKind::NotFound => Errno::NOENT,
        io::ErrorKind::TimedOut => Errno::TIMEDOUT,
        _ => Errno::IO,
    }
}
