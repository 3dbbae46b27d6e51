//! The process that keeps a FUSE descriptor while no daemon lives.
//!
//! It is the daemon's own program, as a helper that comes to [`hold`]: descriptor 0 is the FUSE
//! connection, 1 the volume's file (for attributes only), 2 a listening socket in the attachment's folder. To a client of root it
//! hands the first two over (`g`), or it ends (`q`). It ends by itself when the file system has gone.
//! It serves nothing, so that a daemon of any later version can go on.

use crate::{
    helper::{HelperProgram, for_own_use},
    passing, wire,
};
use restblk_device::DeviceError;
use restblk_types::ErrorKind;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    net::sockopt::socket_peercred,
};
use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

const GIVE: u8 = b'g';
const QUIT: u8 = b'q';
/// The holder looks so often whether its file system still is.
const CHECK_EVERY: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// No answer takes longer, unless the holder is stopped.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A running holder, as the daemon sees it.
#[derive(Debug)]
pub(crate) struct Holder {
    socket: PathBuf,
    /// Where this daemon started it.
    child: Option<Child>,
}

impl Holder {
    /// Starts a holder that listens in `run_dir`.
    pub(crate) fn start(
        program: &HelperProgram,
        run_dir: &Path,
        fuse: BorrowedFd<'_>,
        attributes: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let socket = socket_in(run_dir);
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let mut command = program.holder();
        command
            .stdin(fuse.try_clone_to_owned()?)
            .stdout(attributes.try_clone_to_owned()?);
        command.stderr(Stdio::from(OwnedFd::from(listener)));
        let started = command.spawn();
        let child = started.inspect_err(|_| drop(fs::remove_file(&socket)))?;
        let mut holder = Self {
            socket,
            child: Some(child),
        };
        // A program that is no holder ends, or does not answer.
        if let Err(error) = holder.descriptors() {
            if let Some(child) = &mut holder.child {
                let _ = child.kill();
            }
            holder.quit();
            return Err(error);
        }
        Ok(holder)
    }

    /// The holder that an earlier daemon left in `run_dir`, with what it keeps: FUSE connection and attributes. None
    /// where there is none or the file system has gone.
    pub(crate) fn find(run_dir: &Path) -> Option<(Self, OwnedFd, OwnedFd)> {
        let holder = Self {
            socket: socket_in(run_dir),
            child: None,
        };
        let (fuse, attributes) = holder.descriptors().ok()?;
        is_connected(fuse.as_fd()).then_some((holder, fuse, attributes))
    }

    /// True where it still answers.
    pub(crate) fn is_alive(&self) -> bool {
        self.descriptors().is_ok()
    }

    /// Ends it; fine if it has ended. Blocks for a moment.
    pub(crate) fn quit(&mut self) {
        if let Ok(mut stream) = self.ask(QUIT) {
            // The end of the stream, when it is about to exit.
            let _ = stream.read(&mut [0]);
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let _ = fs::remove_file(&self.socket);
    }

    fn ask(&self, what: u8) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(&[what])?;
        Ok(stream)
    }

    fn descriptors(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let stream = self.ask(GIVE)?;
        let (_, descriptors) = passing::receive(&stream, &mut [0])?;
        let mut received = descriptors.into_iter();
        match (received.next(), received.next()) {
            (Some(fuse), Some(attributes)) => Ok((fuse, attributes)),
            _ => Err(io::Error::other(
                "the process that keeps the FUSE connection gave none",
            )),
        }
    }
}

fn socket_in(run_dir: &Path) -> PathBuf {
    run_dir.join("holder.sock")
}

/// Asks the kernel for all requests that the earlier daemon read and did not answer.
///
/// Before any thread reads, and after the earlier daemon's last thread has ended.
pub(crate) fn resend(fuse: BorrowedFd<'_>) -> Result<(), DeviceError> {
    rustix::io::write(fuse, &wire::resend())
        .map(drop)
        .map_err(|error| {
            DeviceError::new(
                ErrorKind::Unsupported,
                format!("get the requests in flight again from the kernel (needs Linux 6.9): {error}"),
            )
        })
}

/// False once the file system of this connection has gone.
fn is_connected(fuse: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(fuse, PollFlags::empty())];
    let answered = poll(&mut asked, Some(&Timespec::default()));
    answered.is_ok() && !asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// The holder's whole life: keeps descriptors 0 and 1 for whoever asks at socket 2; returns when it may exit.
///
/// Fails where descriptor 0 is no FUSE connection, as when the command was typed by a person.
pub(crate) fn hold() -> io::Result<()> {
    let (fuse, attributes) = (io::stdin(), io::stdout());
    if fs::read_link("/proc/self/fd/0")? != Path::new(crate::filesystem::FUSE) {
        return Err(for_own_use());
    }
    // Neither the terminal, nor the daemon's process group, nor a lack of memory shall end it.
    let _ = rustix::process::setsid();
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    let listener = UnixListener::from(io::stderr().as_fd().try_clone_to_owned()?);
    // From here on it opens nothing, and shall keep nothing mounted. Without the right to, it keeps what there is.
    let _ = restblk_device::memory::leave_all_mounts();
    while is_connected(fuse.as_fd()) {
        let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
        if poll(&mut waiting, Some(&CHECK_EVERY)).is_ok_and(|ready| ready > 0)
            && answer(&listener, fuse.as_fd(), attributes.as_fd()).is_ok_and(|asked| asked == QUIT)
        {
            break;
        }
    }
    Ok(())
}

/// Serves one client; returns what it asked for.
fn answer(listener: &UnixListener, fuse: BorrowedFd<'_>, attributes: BorrowedFd<'_>) -> io::Result<u8> {
    let (mut stream, _) = listener.accept()?;
    if !socket_peercred(&stream)?.uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut asked = [0];
    stream.read_exact(&mut asked)?;
    if asked[0] == GIVE {
        passing::send(&stream, &[GIVE], &[fuse, attributes])?;
    }
    Ok(asked[0])
}
