//! Snapshots and copies of whole containers.
//!
//! A snapshot of `c` is the directory `c/cdmi_snapshots/NAME`: made among the half-made things while `c` is frozen, flushed, and
//! given its name by one rename, so that it is there whole or not at all. It is read-only through this server. Blocks are
//! shared where the file system can (btrfs, xfs); else the data is copied, and changes in `c` wait for that.

use super::root::SNAPSHOTS;
use super::tree;
use super::{Store, split};
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, Mode, RenameFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

impl Store {
    /// Takes a snapshot; one of the same name is replaced.
    pub(crate) fn snapshot(&self, path: &str, name: &str) -> Result<()> {
        self.refuse_read_only()?;
        self.refuse_shared("take snapshots")?;
        let container = self.root.open_dir(path)?;
        let (temp, _) = {
            let _frozen = self.freezer.freeze(path);
            self.copy_tree(&container)?
        };
        let published = self.publish_snapshot(path, &container, &temp, name);
        // After an exchange the old snapshot has the temporary name.
        if !matches!(published, Ok(false)) {
            self.drop_temp(&temp);
        }
        published.map(|_| ())
    }

    /// Says whether an older snapshot now has the temporary name.
    fn publish_snapshot(&self, path: &str, container: &OwnedFd, temp: &str, name: &str) -> Result<bool> {
        match fs::mkdirat(container, SNAPSHOTS, Mode::from_raw_mode(0o750)) {
            Ok(()) => fs::fsync(container).doing("flush the container")?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).doing("make the container of snapshots"),
        }
        let inner = if path.is_empty() {
            SNAPSHOTS.to_owned()
        } else {
            format!("{path}/{SNAPSHOTS}")
        };
        let snapshots = self.root.open_dir(&inner)?;
        let _alone = self.freezer.alone();
        let exchanged = match self.root.publish(temp, &snapshots, name, false) {
            Ok(()) => false,
            Err(Errno::EXIST) => {
                fs::renameat_with(self.root.tmp()?, temp, &snapshots, name, RenameFlags::EXCHANGE)
                    .doing("name the snapshot")?;
                true
            }
            Err(errno) => return Err(errno).doing("name the snapshot"),
        };
        self.forget_tree(&format!("{inner}/{name}"));
        fs::fsync(&snapshots).doing("flush the snapshots")?;
        Ok(exchanged)
    }

    /// Names of a container's snapshots.
    pub(crate) fn snapshots(&self, path: &str) -> Result<Vec<String>> {
        let inner = if path.is_empty() {
            SNAPSHOTS.to_owned()
        } else {
            format!("{path}/{SNAPSHOTS}")
        };
        match self.list(&inner) {
            Ok(children) => Ok(children
                .into_iter()
                .filter(|child| child.is_container)
                .map(|child| child.name)
                .collect()),
            Err(error) if error.status() == http::StatusCode::NOT_FOUND => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Copies a container, or a snapshot, to a name that must be free.
    pub(crate) fn copy_container(&self, from: &str, to: &str) -> Result<()> {
        self.refuse_read_only()?;
        self.refuse_shared("copy containers")?;
        let source = self.root.open_dir(from)?;
        let parent = self.root.open_dir(split(to).0)?;
        if self.root.open_dir(to).is_ok() {
            return Err(exists(to));
        }
        let (temp, _) = {
            let _frozen = self.freezer.freeze(from);
            self.copy_tree(&source)?
        };
        let _pass = self.freezer.enter(&[to]);
        match self.root.publish(&temp, &parent, split(to).1, false) {
            Ok(()) => fs::fsync(&parent).doing("flush the container"),
            Err(errno) => {
                self.drop_temp(&temp);
                if errno == Errno::EXIST {
                    Err(exists(to))
                } else {
                    Err(errno).doing("name the container")
                }
            }
        }
    }

    fn copy_tree(&self, from: &OwnedFd) -> Result<(String, OwnedFd)> {
        let (temp, dir) = self.temp_dir()?;
        let copied = tree::copy_meta(from.as_fd(), dir.as_fd(), self.enterprise)
            .and_then(|()| tree::copy(from.as_fd(), dir.as_fd(), self.enterprise))
            // One flush for all of the new files.
            .and_then(|()| fs::syncfs(&dir).doing("flush the copy"));
        match copied {
            Ok(()) => Ok((temp, dir)),
            Err(error) => {
                self.drop_temp(&temp);
                Err(error)
            }
        }
    }
}

fn exists(path: &str) -> Error {
    Error::Conflict(format!("{path} exists already; delete it first"))
}
