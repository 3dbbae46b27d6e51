//! Mounting and unmounting the tree.
//!
//! The mount is made and undone here and not by the FUSE library, which unmounts whatever it finds at the path: a
//! handle must never take away the mount of a daemon that came after it.

use crate::control::Control;
use crate::fs::Tree;
use fuser::{BackgroundSession, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use restblk_api::client::Client;
use restblk_types::{ErrorKind, PoolName};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the tree is mounted unless it is told otherwise.
pub const DEFAULT_MOUNTPOINT: &str = "/run/restblk/control";

/// How long a command may take before its writer gets `EIO`. The driver had no limit, and hung for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the tree needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is mounted; made if need be.
    pub mountpoint: PathBuf,
    /// The daemon's socket. It need not be there yet: commands fail with `EIO` until it is.
    pub socket: PathBuf,
    /// The pool at the top of the tree.
    pub default_pool: PoolName,
    /// How long a command may take.
    pub patience: Duration,
}

impl Config {
    /// The tree of the daemon at `socket` with `default_pool` at its top, at the usual place.
    pub fn new(socket: impl Into<PathBuf>, default_pool: PoolName) -> Self {
        Self {
            mountpoint: DEFAULT_MOUNTPOINT.into(),
            socket: socket.into(),
            default_pool,
            patience: PATIENCE,
        }
    }
}

/// A tree that could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel has no FUSE, or this container may not use it.
    #[error("the control files need /dev/fuse, which cannot be opened: {reason}; try `modprobe fuse`")]
    NoFuse {
        /// Why.
        reason: io::Error,
    },
    /// The folder to mount on cannot be made or looked at.
    #[error("failed to prepare {} for the control files: {reason}", mountpoint.display())]
    Mountpoint {
        /// The folder.
        mountpoint: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// Something is mounted there, and alive.
    #[error("{} is a mount point already: another daemon's, or another program's; unmount it, or name another place", mountpoint.display())]
    Taken {
        /// The folder.
        mountpoint: PathBuf,
    },
    /// The kernel said no.
    #[error("failed to mount the control files at {}: {reason}", mountpoint.display())]
    Mount {
        /// The folder.
        mountpoint: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

impl MountError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFuse { .. } => ErrorKind::Unsupported,
            Self::Taken { .. } => ErrorKind::Busy,
            Self::Mountpoint { reason, .. } | Self::Mount { reason, .. } => match reason.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Unsupported,
            },
        }
    }
}

/// The tree of control files.
pub struct ControlFs;

impl ControlFs {
    /// Mounts the tree. Its requests run on the tokio runtime that this is called in.
    ///
    /// A mount that a killed daemon left behind is taken away first.
    ///
    /// # Errors
    /// See [`MountError`]. Needs root.
    pub fn mount(config: Config) -> Result<Handle, MountError> {
        let mountpoint = config.mountpoint;
        let fuse = File::options().read(true).write(true).open("/dev/fuse");
        let fuse = fuse.map_err(|reason| MountError::NoFuse { reason })?;
        prepare(&mountpoint)?;
        let client = Client::new(config.socket).patience(config.patience);
        let control = Control::new(client, config.default_pool, config.patience);
        let tree = Tree::new(control, tokio::runtime::Handle::current());
        let fail = |reason| MountError::Mount {
            mountpoint: mountpoint.clone(),
            reason,
        };
        mount_fuse(&fuse, &mountpoint).map_err(fail)?;
        let device = device(&mountpoint).map_err(fail)?;
        // Nobody but the owner, root, gets as far as the permissions.
        let session = Session::from_fd(
            tree,
            OwnedFd::from(fuse),
            SessionACL::Owner,
            fuser::Config::default(),
        )
        .and_then(Session::spawn)
        .inspect_err(|_| {
            let _ = umount2(&mountpoint, MntFlags::MNT_DETACH);
        })
        .map_err(fail)?;
        Ok(Handle {
            session: Some(session),
            mountpoint,
            device,
        })
    }
}

fn mount_fuse(fuse: &File, mountpoint: &Path) -> io::Result<()> {
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        fuse.as_raw_fd(),
        nix::unistd::geteuid(),
        nix::unistd::getegid()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    Ok(mount(
        Some("restblk"),
        mountpoint,
        Some("fuse.restblk"),
        flags,
        Some(options.as_str()),
    )?)
}

/// The number of the file system at a path, without asking that file system, which may be dead.
fn device(path: &Path) -> io::Result<(u32, u32)> {
    let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::empty())?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

/// Makes the folder, and frees it from a mount whose daemon is dead.
fn prepare(mountpoint: &Path) -> Result<(), MountError> {
    let fail = |reason| MountError::Mountpoint {
        mountpoint: mountpoint.to_owned(),
        reason,
    };
    if let Err(error) = std::fs::metadata(mountpoint)
        && error.raw_os_error() == Some(Errno::ENOTCONN as i32)
    {
        umount2(mountpoint, MntFlags::MNT_DETACH).map_err(|errno| fail(errno.into()))?;
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(mountpoint)
        .map_err(fail)?;
    if device(mountpoint).map_err(fail)? != device(&mountpoint.join("..")).map_err(fail)? {
        return Err(MountError::Taken {
            mountpoint: mountpoint.to_owned(),
        });
    }
    Ok(())
}

/// A mounted tree. Dropping it unmounts; [`Handle::unmount`] waits for what is under way.
pub struct Handle {
    session: Option<BackgroundSession>,
    mountpoint: PathBuf,
    device: (u32, u32),
}

impl Handle {
    /// Where it is mounted.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Unmounts, and ends the session. Where somebody has a file or folder of the tree open, the tree is taken out of
    /// sight at once, and ends with them.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn unmount(mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let (mountpoint, device) = (self.mountpoint.clone(), self.device);
        let ended = tokio::task::spawn_blocking(move || end(session, &mountpoint, device)).await;
        ended.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && let Err(error) = end(session, &self.mountpoint, self.device)
        {
            tracing::warn!(mountpoint = %self.mountpoint.display(), %error, "failed to unmount the control files");
        }
    }
}

fn end(session: BackgroundSession, mountpoint: &Path, ours: (u32, u32)) -> io::Result<()> {
    // Somebody else unmounted it, or put another mount over it: nothing is left to undo. The thread ends by itself.
    if device(mountpoint).ok() != Some(ours) {
        return Ok(());
    }
    match umount2(mountpoint, MntFlags::empty()) {
        Ok(()) => session.join(),
        // In use. Its thread ends when the last user does; waiting for that could take for ever.
        Err(Errno::EBUSY) => Ok(umount2(mountpoint, MntFlags::MNT_DETACH)?),
        Err(errno) => Err(errno.into()),
    }
}
