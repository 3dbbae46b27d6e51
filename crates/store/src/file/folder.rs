//! The root directory and what is done by name beneath it. Every path goes through `openat2` with `RESOLVE_BENEATH` and
//! `RESOLVE_NO_SYMLINKS`.

use crate::Key;
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

const TEMPORARY: &str = ".restblk-tmp-";
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o700);

/// The root.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// Part of a listing.
pub(super) struct Names {
    pub(super) names: Vec<String>,
    pub(super) next: Option<String>,
}

/// The folder (empty: the root) and the last component.
fn split(key: &Key) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

impl Root {
    pub(super) fn at(path: &Path) -> Result<Self> {
        fs::openat(
            CWD,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map(Self)
    }

    fn beneath(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if path.is_empty() { "." } else { path };
        loop {
            // A rename elsewhere in the tree makes the kernel ask for another try.
            match fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN) => {}
                done => return done,
            }
        }
    }

    fn folder(&self, path: &str) -> Result<OwnedFd> {
        self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// An object's file and size; `NOENT` for what is no plain file.
    pub(super) fn open(&self, key: &Key, flags: OFlags) -> Result<(File, u64)> {
        // A FIFO in the way must not hold us; with `PATH` nothing is opened, and other flags are refused.
        let flags = if flags.contains(OFlags::PATH) {
            flags
        } else {
            flags | OFlags::NONBLOCK
        };
        let file = File::from(self.beneath(key.as_str(), flags, Mode::empty())?);
        let stat = fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::NOENT);
        }
        Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Makes the folder and those above it, durably.
    fn make_folder(&self, path: &str) -> Result<OwnedFd> {
        match self.folder(path) {
            Err(Errno::NOENT) => {}
            done => return done,
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = self.make_folder(above)?;
        match fs::mkdirat(&above, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => fs::fsync(&above)?,
            Err(errno) => return Err(errno),
        }
        self.folder(path)
    }

    /// Replaces the object, or creates it (`EXIST` where it is there); durable when done.
    pub(super) fn put(&self, key: &Key, body: &[u8], exclusive: bool) -> Result<()> {
        let (folder, name) = split(key);
        let folder = self.make_folder(folder)?;
        let temporary = format!(
            "{TEMPORARY}{:016x}{:016x}",
            rand::random::<u64>(),
            rand::random::<u64>()
        );
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&folder, &temporary, flags, FILE_MODE)?);
        let done = file
            .write_all(body)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            .and_then(|()| fs::fsync(&file))
            .and_then(|()| {
                if exclusive {
                    claim(&folder, &temporary, name)
                } else {
                    fs::renameat(&folder, &temporary, &folder, name)
                }
            });
        if let Err(errno) = done {
            // The first error is the one to tell.
            let _ = fs::unlinkat(&folder, &temporary, AtFlags::empty());
            return Err(errno);
        }
        fs::fsync(&folder)
    }

    pub(super) fn delete(&self, key: &Key) -> Result<()> {
        let (folder, name) = split(key);
        let folder = self.folder(folder)?;
        fs::unlinkat(&folder, name, AtFlags::empty())?;
        fs::fsync(&folder)
    }

    /// Makes the object's name durable.
    pub(super) fn sync_folders(&self, key: &Key) -> Result<()> {
        fs::fsync(self.folder(split(key).0)?)
    }

    /// Names in a folder after `start`, in order, at most `limit`.
    pub(super) fn names(&self, folder: Option<&Key>, start: Option<&str>, limit: usize) -> Result<Names> {
        let folder = self.folder(folder.map_or("", Key::as_str))?;
        let mut names: Vec<String> = Vec::new();
        for entry in fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let plain = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
            if plain && !name.starts_with(TEMPORARY) && start.is_none_or(|start| name > start) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        let more = names.len() > limit;
        names.truncate(limit);
        let next = more.then(|| names.last().cloned()).flatten();
        Ok(Names { names, next })
    }
}

/// Gives the temporary file its name unless that is taken. File systems without `RENAME_NOREPLACE` have hard links.
fn claim(folder: &OwnedFd, temporary: &str, name: &str) -> Result<()> {
    match fs::renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::linkat(folder, temporary, folder, name, AtFlags::empty())?;
            fs::unlinkat(folder, temporary, AtFlags::empty())
        }
        done => done,
    }
}
