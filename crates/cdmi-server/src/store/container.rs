//! Containers: directories with fields. Create, look at, list, update, delete, move.

use super::meta::{Meta, MetaChange, NewMeta};
use super::root::{HIDDEN, SNAPSHOTS, read_dir, temp_name};
use super::{Store, object_lock, sharing, split};
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, RenameFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// A container's fields.
#[derive(Debug, Clone)]
pub(crate) struct ContainerInfo {
    pub(crate) meta: Meta,
    pub(crate) mtime_ns: i128,
}

/// One child of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Child {
    pub(crate) name: String,
    pub(crate) is_container: bool,
}

impl Store {
    /// The fields of a container.
    pub(crate) fn container(&self, path: &str) -> Result<ContainerInfo> {
        let dir = self.root.open_dir(path)?;
        let stat = fs::fstat(&dir).doing("look at the container")?;
        let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        if let Some(meta) = Meta::load(&dir)? {
            return Ok(ContainerInfo { meta, mtime_ns });
        }
        // Another program made the directory; whoever has its name gives it its fields.
        let _name = self.lock_name(path);
        if self.sharing.is_some() {
            sharing::lock_alone(&dir)?;
        }
        let meta = match Meta::load(&dir)? {
            Some(meta) => meta,
            None => {
                let meta = Meta::fresh(self.enterprise, &NewMeta::default());
                if !self.read_only {
                    meta.store(&dir)?;
                }
                meta
            }
        };
        Ok(ContainerInfo { meta, mtime_ns })
    }

    /// The children of a container in the order of their names' bytes. Costs one directory read, and no look at any child.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Child>> {
        let dir = self.root.open_dir(path)?;
        let mut children: Vec<Child> = read_dir(dir.as_fd())
            .doing("list the container")?
            .into_iter()
            .filter_map(|(name, kind)| {
                let is_container = match kind {
                    FileType::Directory => true,
                    FileType::RegularFile => false,
                    _ => return None,
                };
                let name = name.into_string().ok()?;
                let ours = name == SNAPSHOTS || (path.is_empty() && name == HIDDEN);
                (!ours).then_some(Child { name, is_container })
            })
            .collect();
        children.sort_unstable();
        Ok(children)
    }

    /// Makes a container durably; says whether it is new.
    pub(crate) fn create_container(&self, path: &str, new: &NewMeta) -> Result<bool> {
        self.refuse_read_only()?;
        let _pass = self.freezer.enter(&[path]);
        let (parent, name) = split(path);
        if path.is_empty() {
            return Ok(false);
        }
        let directory = self.root.open_dir(parent)?;
        let (temp, made) = self.temp_dir()?;
        let meta = Meta::fresh(self.enterprise, new);
        let published = meta.store(&made).and_then(|()| {
            fs::fsync(&made).doing("flush the container")?;
            match self.root.publish(&temp, &directory, name, false) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(errno) => Err(errno).doing("name the container"),
            }
        });
        if matches!(published, Ok(true)) {
            fs::fsync(&directory).doing("flush the container")?;
            self.ids.note(&meta.id, &format!("{path}/"));
        } else {
            self.drop_temp(&temp);
        }
        if matches!(published, Ok(false)) {
            // What is there may be an object, which is in the way.
            self.root
                .open_dir(path)
                .map_err(|_| Error::Conflict(format!("{path} is a data object")))?;
        }
        published
    }

    /// Changes a container's metadata.
    pub(crate) fn set_container_meta(&self, path: &str, change: &MetaChange) -> Result<()> {
        self.refuse_read_only()?;
        let _pass = self.freezer.enter(&[path]);
        let info = self.container(path)?;
        let _name = self.lock_name(path);
        let dir = self.root.open_dir(path)?;
        if self.sharing.is_some() {
            sharing::lock_alone(&dir)?;
        }
        let meta = Meta::load(&dir)?.unwrap_or(info.meta);
        meta.changed(change).store(&dir)
    }

    /// Deletes a container; unless `recursive`, only when neither children nor snapshots are in it.
    pub(crate) fn delete_container(&self, path: &str, recursive: bool) -> Result<()> {
        self.refuse_read_only()?;
        if path.is_empty() {
            return Err(Error::Forbidden(
                "the root container cannot be deleted".to_owned(),
            ));
        }
        let (parent, name) = split(path);
        let directory = self.root.open_dir(parent)?;
        if recursive || self.recursive_delete {
            let temp = {
                let _alone = self.freezer.alone();
                object_lock::first_below(self.root.open_dir(path)?.as_fd(), path)?;
                let temp = temp_name();
                fs::renameat_with(&directory, name, self.root.tmp()?, &temp, RenameFlags::NOREPLACE)
                    .doing("delete the container")?;
                self.forget_tree(path);
                temp
            };
            fs::fsync(&directory).doing("flush the container")?;
            self.drop_temp(&temp);
            return Ok(());
        }
        let _alone = self.freezer.alone();
        let dir = self.root.open_dir(path)?;
        let left = read_dir(dir.as_fd()).doing("list the container")?;
        if left
            .iter()
            .any(|(child, _)| child.to_bytes() != SNAPSHOTS.as_bytes())
        {
            return Err(not_empty(path));
        }
        match fs::unlinkat(&dir, SNAPSHOTS, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(_) => return Err(not_empty(path)),
        }
        match fs::unlinkat(&directory, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(not_empty(path)),
            other => other.doing("delete the container")?,
        }
        self.forget_tree(path);
        Ok(())
    }

    /// Gives a container another name, which must be free.
    pub(crate) fn rename_container(&self, from: &str, to: &str) -> Result<()> {
        self.refuse_read_only()?;
        self.refuse_shared("move containers")?;
        let (old_dir, new_dir) = (
            self.root.open_dir(split(from).0)?,
            self.root.open_dir(split(to).0)?,
        );
        let dir = self.root.open_dir(from)?;
        let _alone = self.freezer.alone();
        object_lock::first_below(dir.as_fd(), from)?;
        fs::renameat_with(
            &old_dir,
            split(from).1,
            &new_dir,
            split(to).1,
            RenameFlags::NOREPLACE,
        )
        .doing("move the container")?;
        self.forget_tree(from);
        self.forget_tree(to);
        fs::fsync(&old_dir)
            .and_then(|()| fs::fsync(&new_dir))
            .doing("flush the container")
    }

    /// The names below a path mean other files now. No change is under way.
    pub(super) fn forget_tree(&self, path: &str) {
        for entry in self.table.forget_tree(path) {
            entry.kill();
        }
    }

    /// A new empty directory among the half-made things.
    pub(super) fn temp_dir(&self) -> Result<(String, OwnedFd)> {
        let (tmp, name) = (self.root.tmp()?, temp_name());
        fs::mkdirat(tmp, &name, Mode::from_raw_mode(0o750)).doing("make a temporary directory")?;
        let flags = fs::OFlags::DIRECTORY | fs::OFlags::RDONLY | fs::OFlags::CLOEXEC;
        let dir = fs::openat(tmp, &name, flags, Mode::empty()).doing("make a temporary directory")?;
        Ok((name, dir))
    }

    /// Removes a half-made thing; what stays is swept when the next server starts.
    pub(super) fn drop_temp(&self, temp: &str) {
        if let (Ok(tmp), Ok(name)) = (self.root.tmp(), CString::new(temp))
            && let Err(error) = super::tree::remove(tmp.as_fd(), &name)
        {
            tracing::warn!(%error, "temporary files were left behind; they are swept at the next start");
        }
    }
}

fn not_empty(path: &str) -> Error {
    Error::Conflict(format!(
        "the container {path}/ is not empty; delete its children and snapshots first"
    ))
}
