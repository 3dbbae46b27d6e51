//! Makes the FUSE file system, which is mounted nowhere, and opens its file.
//!
//! Blocks: the session's threads answer meanwhile.

use crate::session::Session;
use restblk_device::DeviceError;
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, StatxFlags, openat, statx},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    path::Path,
    sync::Arc,
};

/// The device that FUSE's requests come from.
pub(crate) const FUSE: &str = "/dev/fuse";

/// The volume's file.
#[derive(Debug)]
pub(crate) struct Files {
    /// Open for reading, and for writing if the volume can be written: for the loop device.
    pub(crate) data: OwnedFd,
    /// Good for nothing but asking for attributes: keeps the file system alive and its size fresh.
    pub(crate) attributes: OwnedFd,
}

/// Opens a fresh connection to the FUSE driver.
pub(crate) fn connect() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        FUSE,
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Makes the file system of `session`, starts the session's threads and opens the file at `path`.
///
/// When it fails, and when the last descriptor of the file is closed, the file system ends and the threads with it.
pub(crate) fn make(
    session: &Arc<Session>,
    threads: u16,
    path: &Path,
    read_only: bool,
) -> Result<Files, DeviceError> {
    let failed = |what: &'static str| move |error: rustix::io::Errno| DeviceError::io(what, &error.into());
    let new = rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(failed("begin a FUSE file system (needs CAP_SYS_ADMIN)"))?;
    let options = [
        ("source", "restblk".to_owned()),
        ("fd", session.fuse().as_raw_fd().to_string()),
        ("rootmode", "40000".to_owned()),
        ("user_id", rustix::process::getuid().as_raw().to_string()),
        ("group_id", rustix::process::getgid().as_raw().to_string()),
    ];
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(new.as_fd(), key, value)
            .map_err(failed("set up a FUSE file system"))?;
    }
    rustix::mount::fsconfig_create(new.as_fd()).map_err(failed("create a FUSE file system"))?;
    session.start(threads)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = rustix::mount::fsmount(new.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .map_err(failed("make a detached mount of a FUSE file system"))?;
    let open = |flags| {
        openat(&root, path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(failed("open the volume's FUSE file"))
    };
    let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    Ok(Files {
        data: open(access)?,
        attributes: open(OFlags::PATH)?,
    })
}

/// Makes the kernel ask for the file's size, and returns what it knows then: while writes are under way it may
/// discard the answer and keep the old one.
pub(crate) fn refresh_size(attributes: &impl AsFd) -> io::Result<u64> {
    size(attributes, AtFlags::STATX_FORCE_SYNC)?;
    known_size(attributes)
}

/// The size that the kernel knows for the file, which nobody is asked for.
pub(crate) fn known_size(attributes: &impl AsFd) -> io::Result<u64> {
    size(attributes, AtFlags::STATX_DONT_SYNC)
}

fn size(attributes: &impl AsFd, sync: AtFlags) -> io::Result<u64> {
    let flags = AtFlags::EMPTY_PATH | sync;
    Ok(statx(attributes.as_fd(), "", flags, StatxFlags::SIZE)?.stx_size)
}
