//! What is done to the loop device: take one, follow the file's size, write it out, give it back.
//!
//! Invariant: only a device whose file lies in our file system is touched. All of it blocks, and where it can
//! wait for the volume it runs on a thread apart from the process' descriptors.

use crate::{blocking::flatten, filesystem};
use restblk_block::BlockDevice;
use restblk_device::{
    DeviceError, holders,
    loopdev::{self, LoopDevice, LoopSetup, apart},
};
use restblk_types::ErrorKind;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Other programs may take each free device before us; so often is another tried.
const TRIES_MAX: u32 = 64;
/// How long a program may have the device open, such as udev looking for labels, before it counts as a user.
const GRACE: Duration = Duration::from_secs(5);

/// Gives a loop device our file: number `preferred` if it is free, else any. Returns its number.
pub(crate) fn take(file: &OwnedFd, setup: &LoopSetup, preferred: Option<u32>) -> Result<u32, DeviceError> {
    apart(&[file.as_fd()], || {
        if let Some(index) = preferred {
            // Whatever is in the way, another number will do.
            let taken = LoopDevice::add(index).and_then(|()| take_number(index, file, setup));
            if taken.is_ok() {
                return Ok(index);
            }
        }
        let mut tries = 0;
        loop {
            let index = LoopDevice::free_index().map_err(|error| {
                DeviceError::io(
                    format_args!("ask {} for a free loop device", loopdev::CONTROL),
                    &error,
                )
            })?;
            match take_number(index, file, setup) {
                Ok(()) => return Ok(index),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < TRIES_MAX => tries += 1,
                Err(error) => {
                    let node = LoopDevice::path(index);
                    return Err(DeviceError::io(format_args!("set up {}", node.display()), &error));
                }
            }
        }
    })
    .map_err(|error| DeviceError::io("start a thread", &error))?
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

/// Warns of what the driver does otherwise than it was asked to.
pub(crate) fn check(index: u32) {
    match LoopDevice::open(index, false, false).and_then(|device| device.status()) {
        Ok(status) if !status.direct_io => {
            tracing::warn!(index, "the loop device does not use direct I/O: it will be slow");
        }
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, index, "the loop device does not say what it is"),
    }
}

/// True where the file of loop device `index` lies below `mount`.
pub(crate) fn is_ours(index: u32, mount: &Path) -> bool {
    loopdev::backing_file(index).is_some_and(|path| path.starts_with(mount))
}

/// The unit in which the block layer addresses the device, in bytes.
pub(crate) fn block_size(index: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/sys/block/loop{index}/queue/logical_block_size")).ok()?;
    text.trim().parse().ok()
}

/// Makes the loop device as large as the volume is now; returns that size in bytes.
pub(crate) fn resize(index: u32, attributes: &OwnedFd, device: &dyn BlockDevice) -> Result<u64, DeviceError> {
    let deadline = Instant::now() + GRACE;
    let resized = flatten(apart(&[attributes.as_fd()], || {
        let node = LoopDevice::open(index, false, false)?;
        loop {
            let size = device.geometry().size;
            // After a takeover nothing has changed as a rule. A thread that asks waits for the daemon's own answer, and were the daemon killed
            // meanwhile, the next one would have to give it before this process ends.
            if filesystem::known_size(attributes)? == size && node.size()? == size {
                return Ok(size);
            }
            // The driver must not see a size that FUSE does not: it would read zeros past FUSE's.
            if filesystem::refresh_size(attributes)? == size {
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
    }));
    resized.map_err(|error| {
        DeviceError::io(
            format_args!("resize {}", LoopDevice::path(index).display()),
            &error,
        )
    })
}

/// Writes out what the kernel caches for the device, and flushes the volume.
///
/// `Busy` where something holds the device.
pub(crate) fn sync(index: u32) -> Result<(), DeviceError> {
    let node = LoopDevice::path(index);
    let synced = flatten(apart(&[], || open_exclusive(index)?.sync()));
    synced.map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => busy(index),
        _ => DeviceError::io(
            format_args!("write out what the kernel caches for {}", node.display()),
            &error,
        ),
    })
}

/// Takes our file away from the device. `Busy` where something holds the device or has it open: then it stays as it was.
pub(crate) fn clear(index: u32, mount: &Path) -> Result<(), DeviceError> {
    release(index, mount, true)
}

/// The same for a device that nobody serves any more. `Busy` where something holds it: then it goes when that lets go.
pub(crate) fn abandon(index: u32, mount: &Path) -> Result<(), DeviceError> {
    release(index, mount, false)
}

fn release(index: u32, mount: &Path, alive: bool) -> Result<(), DeviceError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::ResourceBusy => busy(index),
        _ => DeviceError::io(
            format_args!("take the volume off {}", LoopDevice::path(index).display()),
            &error,
        ),
    };
    let cleared = apart(&[], || {
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
    });
    flatten(cleared).map_err(failed)
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
