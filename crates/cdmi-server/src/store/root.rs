//! The root directory: the only way from a path to a file.
//!
//! Invariants: every open goes through `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, so no path leaves the root and
//! no symbolic link is ever followed. Half-made things live in `ROOT/.cdmi-server/tmp`, are never listed, and are swept when a
//! server starts; they come to be by one rename. One read-write server at a time has the root, or several that share it
//! (`admission`).

use super::admission::{self, Admission, Wanted};
use crate::error::{Doing, Error, Result, ServeError};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The directory in the root that is ours.
pub(crate) const HIDDEN: &str = ".cdmi-server";
/// The directory in a container that holds its snapshots.
pub(crate) const SNAPSHOTS: &str = "cdmi_snapshots";

const PROBE: &str = "user.restblk.probe";

pub(super) struct Root {
    dir: OwnedFd,
    /// None on a read-only server, as `hidden`.
    tmp: Option<OwnedFd>,
    hidden: Option<OwnedFd>,
    /// None where there is no directory of ours, on a read-only server.
    admission: Option<Admission>,
}

impl Root {
    pub(super) fn open(path: &Path, wanted: Wanted) -> std::result::Result<Self, ServeError> {
        let read_only = wanted == Wanted::ReadOnly;
        let failed = |errno: Errno| ServeError::Root {
            path: path.to_owned(),
            source: errno.into(),
        };
        let dir = fs::open(
            path,
            OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY,
            Mode::empty(),
        )
        .map_err(failed)?;
        let mut root = Root {
            dir,
            tmp: None,
            hidden: None,
            admission: None,
        };
        let hidden_flags = OFlags::DIRECTORY | OFlags::RDONLY;
        if !read_only {
            make_dir(root.dir.as_fd(), HIDDEN).map_err(failed)?;
        }
        let hidden = match root.open_raw(HIDDEN, hidden_flags) {
            Err(Errno::NOENT) if read_only => return Ok(root),
            other => other.map_err(failed)?,
        };
        let admission = admission::admit(&hidden, wanted).map_err(|errno| match errno {
            Errno::WOULDBLOCK => ServeError::InUse {
                path: path.to_owned(),
            },
            errno => failed(errno),
        })?;
        if read_only {
            root.admission = Some(admission);
            return Ok(root);
        }
        fs::fsetxattr(&hidden, PROBE, b"1", fs::XattrFlags::empty()).map_err(|errno| match errno {
            Errno::OPNOTSUPP | Errno::NOSYS => ServeError::NoAttributes {
                path: path.to_owned(),
            },
            errno => failed(errno),
        })?;
        make_dir(hidden.as_fd(), "tmp").map_err(failed)?;
        let tmp = root
            .open_raw(&format!("{HIDDEN}/tmp"), hidden_flags)
            .map_err(failed)?;
        if admission.is_first() {
            for entry in read_dir(tmp.as_fd()).map_err(failed)? {
                super::tree::remove(tmp.as_fd(), &entry.0).map_err(failed)?;
            }
        }
        root.tmp = Some(tmp);
        root.hidden = Some(hidden);
        root.admission = Some(admission);
        Ok(root)
    }

    /// Lets the next of the servers that share the root begin.
    pub(super) fn is_ready(&self) {
        if let Some(admission) = &self.admission {
            admission.is_ready();
        }
    }

    /// No other server of the root goes on, and none begins any more while this one lives.
    pub(super) fn is_last(&self) -> bool {
        self.admission.as_ref().is_none_or(Admission::is_last)
    }

    /// The generation of the servers that share the root, if they do.
    pub(super) fn generation(&self) -> Option<u64> {
        self.admission.as_ref()?.generation()
    }

    /// The inode that a path leads to now; `None` where it leads to none. With `cached` only as far as the kernel knows it
    /// without reading a disk.
    pub(super) fn inode(&self, path: &str, cached: bool) -> Option<(u64, u64)> {
        let resolve = if cached {
            ResolveFlags::CACHED
        } else {
            ResolveFlags::empty()
        };
        let found = self.open_how(path, OFlags::PATH, resolve).ok()?;
        let stat = fs::fstat(found).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }

    fn open_raw(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.open_how(path, flags, ResolveFlags::empty())
    }

    fn open_how(&self, path: &str, flags: OFlags, more: ResolveFlags) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | more;
        // The kernel answers EAGAIN when a rename elsewhere raced with a lookup; a few tries are always enough.
        for _ in 0..16 {
            match fs::openat2(&self.dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN) if more.contains(ResolveFlags::CACHED) => return Err(Errno::AGAIN),
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens an object's file. A container is [`Error::IsContainer`]; a link or a device is refused.
    pub(super) fn open_object(&self, path: &str, read_only: bool) -> Result<File> {
        let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
        // NONBLOCK keeps a FIFO that somebody put there from blocking the open; it means nothing for a regular file.
        match self.open_raw(path, access | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Err(Errno::ISDIR) => Err(Error::IsContainer(path.to_owned())),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Error::NotFound(path.to_owned())),
            Err(Errno::LOOP | Errno::NXIO) => Err(not_ours(path)),
            Err(errno) => Err(errno).doing("open the object"),
            Ok(fd) => match FileType::from_raw_mode(fs::fstat(&fd).doing("open the object")?.st_mode) {
                FileType::RegularFile => Ok(fd.into()),
                FileType::Directory => Err(Error::IsContainer(path.to_owned())),
                _ => Err(not_ours(path)),
            },
        }
    }

    /// Opens a container's directory.
    pub(super) fn open_dir(&self, path: &str) -> Result<OwnedFd> {
        match self.open_raw(path, OFlags::DIRECTORY | OFlags::RDONLY) {
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Error::NotFound(format!("{path}/"))),
            Err(Errno::LOOP) => Err(not_ours(path)),
            other => other.doing("open the container"),
        }
    }

    /// The directory of half-made things.
    pub(super) fn tmp(&self) -> Result<&OwnedFd> {
        self.tmp
            .as_ref()
            .ok_or_else(|| Error::Forbidden("this server is read-only".to_owned()))
    }

    /// Another handle of the directory that is ours; none on a read-only server.
    pub(super) fn hidden(&self) -> Option<OwnedFd> {
        self.hidden.as_ref().and_then(|dir| dir.try_clone().ok())
    }

    /// A new empty file among the half-made things, and its name there.
    pub(super) fn temp_file(&self) -> Result<(File, String)> {
        let name = temp_name();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = fs::openat(self.tmp()?, &name, flags, Mode::from_raw_mode(0o640))
            .doing("make a temporary file")?;
        Ok((fd.into(), name))
    }

    /// Gives a half-made thing its name; `replace` takes the place of an object there, else that is EEXIST.
    pub(super) fn publish(
        &self,
        temp: &str,
        parent: &OwnedFd,
        name: &str,
        replace: bool,
    ) -> rustix::io::Result<()> {
        let Some(tmp) = &self.tmp else {
            return Err(Errno::ROFS);
        };
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        fs::renameat_with(tmp, temp, parent, name, flags)
    }

    /// A handle of its own of a file of ours, to be locked.
    pub(super) fn open_own(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        self.open_raw(&format!("{HIDDEN}/{name}"), OFlags::RDONLY)
    }

    /// A handle of its own of an object's file, to be locked; `None` where the path leads elsewhere.
    pub(super) fn open_again(&self, path: &str, inode: (u64, u64)) -> rustix::io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        match self.open_raw(path, flags) {
            Ok(fd) => {
                let stat = fs::fstat(&fd)?;
                Ok(((stat.st_dev, stat.st_ino) == inode).then_some(fd))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Makes the names in a container durable.
    pub(super) fn sync_dir(&self, path: &str) -> Result<()> {
        fs::fsync(self.open_dir(path)?).doing("flush the container")
    }
}

fn not_ours(path: &str) -> Error {
    Error::Forbidden(format!(
        "{path} is neither a plain file nor a directory, or lies behind a symbolic link"
    ))
}

pub(super) fn temp_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn make_dir(at: std::os::fd::BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    match fs::mkdirat(at, name, Mode::from_raw_mode(0o750)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

/// The names in a directory with their types, without `.` and `..`, in no order. Unknown types are looked up.
pub(super) fn read_dir(
    dir: std::os::fd::BorrowedFd<'_>,
) -> rustix::io::Result<Vec<(std::ffi::CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            kind = FileType::from_raw_mode(fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        }
        names.push((name.to_owned(), kind));
    }
    Ok(names)
}
