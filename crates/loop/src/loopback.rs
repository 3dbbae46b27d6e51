//! A loop device of ours, as the daemon asks for it: each call that may wait for the volume has a worker wait.

use crate::{
    helper::HelperProgram,
    kernel,
    worker::{Outcome, Work, have_done},
};
use restblk_device::{
    DeviceError, holders,
    loopdev::{self, LoopDevice, LoopSetup},
};
use restblk_types::ErrorKind;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{io, path::Path};

pub(crate) use kernel::is_ours;

/// Gives a loop device the file at `path` below `root`: number `preferred` if it is free, else any. Returns its number, and
/// a descriptor good for the file's attributes.
pub(crate) fn take(
    program: &HelperProgram,
    root: BorrowedFd<'_>,
    path: &Path,
    setup: LoopSetup,
    preferred: Option<u32>,
) -> Result<(u32, OwnedFd), DeviceError> {
    let path = path.to_owned();
    let work = Work::Take {
        path,
        setup,
        preferred,
    };
    let (outcome, attributes) = have_done(program, work, Some(root))
        .map_err(|error| DeviceError::io("get a loop device for the volume", &error))?;
    let (Outcome::Taken(taken), Some(attributes)) = (outcome, attributes) else {
        return Err(no_sense());
    };
    if taken.direct_io == Some(false) {
        let index = taken.index;
        tracing::warn!(index, "the loop device does not use direct I/O: it will be slow");
    }
    Ok((taken.index, attributes))
}

/// The unit in which the block layer addresses the device, in bytes.
pub(crate) fn block_size(index: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/block/loop{index}/queue/logical_block_size")).ok()?;
    text.trim().parse().ok()
}

/// True where the kernel knows the file and the device by this size, in bytes.
pub(crate) fn has_size(index: u32, attributes: &OwnedFd, size: u64) -> bool {
    let known = kernel::known_size(attributes.as_fd());
    known.is_ok_and(|known| known == size) && loopdev::size(index) == Some(size)
}

/// Makes the loop device as large as the volume, which has `size` bytes; returns its size then.
pub(crate) fn resize(
    program: &HelperProgram,
    index: u32,
    attributes: &OwnedFd,
    size: u64,
) -> Result<u64, DeviceError> {
    let resized = have_done(program, Work::Resize { index, size }, Some(attributes.as_fd()));
    let what = format_args!("resize {}", LoopDevice::path(index).display()).to_string();
    match resized.map_err(|error| DeviceError::io(what, &error))? {
        (Outcome::Size(size), _) => Ok(size),
        _ => Err(no_sense()),
    }
}

/// Gives one of the threads that serve the file a request to read.
pub(crate) fn ask(program: &HelperProgram, attributes: &OwnedFd) -> io::Result<()> {
    have_done(program, Work::Ask, Some(attributes.as_fd())).map(drop)
}

/// Writes out what the kernel caches for the device, and flushes the volume.
///
/// `Busy` where something holds the device.
pub(crate) fn sync(program: &HelperProgram, index: u32) -> Result<(), DeviceError> {
    let synced = have_done(program, Work::Sync { index }, None);
    done(synced, index, "write out what the kernel caches for")
}

/// Takes our file away from the device. `Busy` where something holds the device or has it open: then it stays as it was.
pub(crate) fn clear(program: &HelperProgram, index: u32, mount: &Path) -> Result<(), DeviceError> {
    release(program, index, mount, true)
}

/// The same for a device that nobody serves any more. `Busy` where something holds it: then it goes when that lets go.
pub(crate) fn abandon(program: &HelperProgram, index: u32, mount: &Path) -> Result<(), DeviceError> {
    release(program, index, mount, false)
}

fn release(program: &HelperProgram, index: u32, mount: &Path, alive: bool) -> Result<(), DeviceError> {
    let mount = mount.to_owned();
    let released = have_done(program, Work::Release { index, mount, alive }, None);
    done(released, index, "take the volume off")
}

fn done<T>(result: io::Result<T>, index: u32, what: &str) -> Result<(), DeviceError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(busy(index)),
        Err(error) => {
            let what = format!("{what} {}", LoopDevice::path(index).display());
            Err(DeviceError::io(what, &error))
        }
    }
}

fn busy(index: u32) -> DeviceError {
    let node = LoopDevice::path(index);
    let words = holders::holders(&node)
        .map(|found| holders::in_words(&found))
        .unwrap_or_default();
    let by = if words.is_empty() {
        "something that cannot be seen from here".to_owned()
    } else {
        words
    };
    DeviceError::new(
        ErrorKind::Busy,
        format!("{} is in use: {by}. Free it first", node.display()),
    )
}

fn no_sense() -> DeviceError {
    DeviceError::new(ErrorKind::Bug, "a helper process answered what nobody asked")
}
