//! Makes the FUSE file system, which is mounted nowhere.

use crate::session::Session;
use restblk_device::DeviceError;
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
};

/// The device that FUSE's requests come from.
pub(crate) const FUSE: &str = "/dev/fuse";

/// Opens a fresh connection to the FUSE driver.
pub(crate) fn connect() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        FUSE,
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Makes the file system of `session` and starts the session's threads; returns its root.
///
/// When it fails, and when the last descriptor below its root is closed, the file system ends and the threads with it.
pub(crate) fn make(session: &Arc<Session>, threads: u16) -> Result<OwnedFd, DeviceError> {
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
    rustix::mount::fsmount(new.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .map_err(failed("make a detached mount of a FUSE file system"))
}
