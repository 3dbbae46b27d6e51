//! The nodes under /dev: their names, waiting for them, and looking at the disk through them.
//!
//! The kernel's devtmpfs makes the nodes; udev may set their rights a moment later. Everything here blocks.

use restblk_device::DeviceError;
use restblk_types::ErrorKind;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long a node may take to come or go; devtmpfs takes milliseconds.
const NODE_DEADLINE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// The disk.
pub(crate) fn disk(dev_id: u32) -> PathBuf {
    PathBuf::from(format!("/dev/ublkb{dev_id}"))
}

fn character(dev_id: u32) -> PathBuf {
    PathBuf::from(format!("/dev/ublkc{dev_id}"))
}

fn until(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + NODE_DEADLINE;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

fn missing(path: &Path) -> DeviceError {
    DeviceError::new(
        ErrorKind::NotFound,
        format!(
            "find {}: the kernel has the device but /dev has no node; mount devtmpfs on /dev",
            path.display()
        ),
    )
}

/// Opens the character node, through which the device is served; only one process can have it open.
pub(crate) fn open_character(dev_id: u32) -> Result<File, DeviceError> {
    let path = character(dev_id);
    let mut opened = None;
    until(|| {
        let result = OpenOptions::new().read(true).write(true).open(&path);
        // Busy: the daemon before us is still being taken apart. Denied: udev has not set the rights yet.
        let wait = result.as_ref().is_err_and(|e| {
            matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied
            )
        });
        opened = Some(result);
        !wait
    });
    match opened {
        Some(Ok(file)) => Ok(file),
        Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => {
            Err(DeviceError::io(format!("open {}", path.display()), &e))
        }
        _ => Err(missing(&path)),
    }
}

/// Waits for the disk's node.
pub(crate) fn await_disk(dev_id: u32) -> Result<PathBuf, DeviceError> {
    let path = disk(dev_id);
    if until(|| path.exists()) {
        Ok(path)
    } else {
        Err(missing(&path))
    }
}

/// Waits until both nodes have gone; false where they have not.
pub(crate) fn await_gone(dev_id: u32) -> bool {
    let (disk, character) = (disk(dev_id), character(dev_id));
    until(|| !disk.exists() && !character.exists())
}

/// The disk, opened so that nobody else can claim it meanwhile; `None` where it has gone. Refused where it is claimed:
/// mounts, LVM, MD and swap claim. Programs that merely have it open do not, and are found by nothing but
/// TRY_STOP_DEV or a look into /proc.
pub(crate) fn claim(dev_id: u32) -> Result<Option<File>, DeviceError> {
    let path = disk(dev_id);
    match OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(&path)
    {
        Ok(disk) => Ok(Some(disk)),
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => Err(busy(dev_id)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENXIO | libc::ENODEV)) => Ok(None),
        Err(e) => Err(DeviceError::io(format!("open {}", path.display()), &e)),
    }
}

/// Brings the disk's page cache to the volume, flush included. Waits for the store in the kernel.
pub(crate) fn settle(dev_id: u32) -> Result<(), DeviceError> {
    let Some(claimed) = claim(dev_id)? else {
        return Ok(());
    };
    claimed
        .sync_all()
        .map_err(|e| DeviceError::io(format!("write the cache of {} back", disk(dev_id).display()), &e))
}

/// The error of a disk that is in use.
pub(crate) fn busy(dev_id: u32) -> DeviceError {
    DeviceError::new(
        ErrorKind::Busy,
        format!(
            "detach /dev/ublkb{dev_id}: it is in use (mounted, swapped on, held by LVM or MD, or open); \
             unmount it and close what uses it, then detach again"
        ),
    )
}
