//! What is asked of the kernel for a loop device of ours: take one, follow the file's size, write it out, give it back.
//!
//! All of it blocks, and waits for the daemon's own answers: it is done in a process of its own ([`crate::worker`]).
//! Invariant: only a device whose file lies in our file system is touched.

use restblk_device::loopdev::{self, LoopDevice, LoopSetup};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, StatxFlags, openat, statx},
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Other programs may take each free device before us; so often is another tried.
const TRIES_MAX: u32 = 64;
/// How long a program may have the device open, such as udev looking for labels, before it counts as a user.
const GRACE: Duration = Duration::from_secs(5);

/// A loop device that has our file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Its number.
    pub(crate) index: u32,
    /// The driver passes its page cache by; unknown where it does not say.
    pub(crate) direct_io: Option<bool>,
}

/// Gives a loop device the file at `path` below `root`: number `preferred` if it is free, else any. Returns with it a
/// descriptor of the file that is good for its attributes only.
pub(crate) fn take(
    root: BorrowedFd<'_>,
    path: &Path,
    setup: &LoopSetup,
    preferred: Option<u32>,
) -> io::Result<(Taken, OwnedFd)> {
    let open = |flags| {
        let opened = openat(root, path, flags | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(|error| within("open the volume's FUSE file", error.into()))
    };
    let access = if setup.read_only {
        OFlags::RDONLY
    } else {
        OFlags::RDWR
    };
    let (data, attributes) = (open(access)?, open(OFlags::PATH)?);
    let index = take_any(&data, setup, preferred)?;
    let status = LoopDevice::open(index, false, false).and_then(|device| device.status());
    let direct_io = status.ok().map(|status| status.direct_io);
    Ok((Taken { index, direct_io }, attributes))
}

fn take_any(file: &OwnedFd, setup: &LoopSetup, preferred: Option<u32>) -> io::Result<u32> {
    if let Some(index) = preferred {
        // Whatever is in the way, another number will do.
        let taken = LoopDevice::add(index).and_then(|()| take_number(index, file, setup));
        if taken.is_ok() {
            return Ok(index);
        }
    }
    let mut tries = 0;
    loop {
        let index = LoopDevice::free_index()
            .map_err(|error| within(&format!("ask {} for a free loop device", loopdev::CONTROL), error))?;
        match take_number(index, file, setup) {
            Ok(()) => return Ok(index),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < TRIES_MAX => tries += 1,
            Err(error) => {
                let what = format!("set up {}", LoopDevice::path(index).display());
                return Err(within(&what, error));
            }
        }
    }
}

fn take_number(index: u32, file: &OwnedFd, setup: &LoopSetup) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    let device = loop {
        match LoopDevice::open(index, !setup.read_only, false) {
            // A new device's node may come a moment later.
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message =
                    "its node does not appear: in a container, mount the host's /dev or make the node";
                return Err(io::Error::new(error.kind(), message));
            }
            result => break result?,
        }
    };
    device.configure(file.as_fd(), setup)
}

/// Makes the loop device as large as the file, which has or will have `wanted` bytes; returns its size then.
pub(crate) fn resize(index: u32, attributes: BorrowedFd<'_>, wanted: u64) -> io::Result<u64> {
    let node = LoopDevice::open(index, false, false)?;
    let before = node.size()?;
    // The volume may have grown again since.
    let reached = |size: u64| size == wanted || (wanted > before && size > wanted);
    let deadline = Instant::now() + GRACE;
    loop {
        // The driver must not see a size that FUSE does not: it would read zeros past FUSE's.
        let size = refresh_size(attributes)?;
        if reached(size) {
            node.set_capacity()?;
            if node.size()? == size {
                return Ok(size);
            }
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the kernel keeps the old size",
            ));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Makes the kernel ask for the file's size, and returns what it knows then: while writes are under way it may
/// discard the answer and keep the old one.
pub(crate) fn refresh_size(attributes: BorrowedFd<'_>) -> io::Result<u64> {
    size(attributes, AtFlags::STATX_FORCE_SYNC)?;
    known_size(attributes)
}

/// The size that the kernel knows for the file, which nobody is asked for.
pub(crate) fn known_size(attributes: BorrowedFd<'_>) -> io::Result<u64> {
    size(attributes, AtFlags::STATX_DONT_SYNC)
}

fn size(attributes: BorrowedFd<'_>, sync: AtFlags) -> io::Result<u64> {
    let flags = AtFlags::EMPTY_PATH | sync;
    Ok(statx(attributes, "", flags, StatxFlags::SIZE)?.stx_size)
}

/// Writes out what the kernel caches for the device, and flushes the volume. `ResourceBusy` where something holds it.
pub(crate) fn sync(index: u32) -> io::Result<()> {
    open_exclusive(index)?.sync()
}

/// Takes our file away from the device. `ResourceBusy` where something holds it or, while it is `alive`, has it open: then
/// that stays as it was; one that nobody serves goes when its last user lets go.
pub(crate) fn release(index: u32, mount: &Path, alive: bool) -> io::Result<()> {
    if !is_ours(index, mount) {
        return Ok(());
    }
    let node = if alive {
        open_exclusive(index)
    } else {
        LoopDevice::open(index, false, false)
    };
    node.and_then(|node| node.clear())?;
    let deadline = Instant::now() + if alive { GRACE } else { Duration::from_millis(500) };
    while is_ours(index, mount) {
        if Instant::now() > deadline {
            if alive {
                LoopDevice::open(index, false, false)?.keep()?;
            }
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// True where the file of loop device `index` lies below `mount`. Waits for nobody.
pub(crate) fn is_ours(index: u32, mount: &Path) -> bool {
    loopdev::backing_file(index).is_some_and(|path| path.starts_with(mount))
}

/// Opens the device for ourselves alone; waits a little for programs that hold it but for a moment.
fn open_exclusive(index: u32) -> io::Result<LoopDevice> {
    let deadline = Instant::now() + Duration::from_millis(500);
    loop {
        match LoopDevice::open(index, false, true) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

fn within(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
