//! What holds while several servers share a root: nothing that another may change is believed from memory.
//!
//! Each object is still open once in each server ([`Entry`](super::entry::Entry)), so that a failed write-back is seen by the fsync of whoever wrote. But:
//! - **Names.** Whoever looks an object up makes sure that its path still leads to the file that is open (`openat2` of the
//!   path, a few microseconds).
//! - **The gate** of an object, which orders its changes, is besides the lock in memory a lock on its file (flock), shared by
//!   changes in place and exclusive for the others. A handle is opened for each lock, as flock belongs to handles. Once
//!   the lock is held, the path must still lead to the file, else the object is looked up again.
//! - **Turns.** flock is not fair: changes in place of several servers could overlap for ever and hold up a replacement. So every lock
//!   is asked for while `turn` is held, exclusively by those that want an object exclusively: whoever comes later waits.
//!   Who holds an object's lock never waits for a turn, so that all waiting ends; who needs two objects asks for both in
//!   one turn.
//! - **Entity tags** are in an attribute of the file, new before each change and again after it, and read from there before
//!   what they name, as in `etag`. They count within one generation of servers (`admission`): a loss of power might bring back an old
//!   attribute with new data, and ends all servers; so after the last of them, tags change.
//! - **Fields** are read from the attribute at each use.
//! - **A flush** is an fsync of the file, all of it, and of its directory. One that failed is noted in an attribute for the other
//!   servers.
//! - Whole trees are neither copied nor moved: their changes could not be held up in the other servers.
//!
//! That needs one kernel with one page cache: servers on one host, and a local file system.

use super::etag::Tag;
use super::meta::read_attribute;
use super::root::Root;
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, FlockOperation};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

const TAG: &str = "user.restblk.shared-tag";
const LOST: &str = "user.restblk.lost";
/// The file of ours that is locked while locks of objects are waited for.
pub(super) const TURN: &str = "turn";

/// What the servers of one root share.
pub(super) struct Sharing {
    root: Arc<Root>,
    generation: u64,
}

/// A file, by the file system and the number in it.
pub(super) type Inode = (u64, u64);

pub(super) fn inode(file: impl AsFd) -> Result<Inode> {
    let stat = fs::fstat(file).doing("look at the object")?;
    Ok((stat.st_dev, stat.st_ino))
}

fn lock(file: impl AsFd, how: FlockOperation) -> rustix::io::Result<()> {
    loop {
        match fs::flock(&file, how) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Locks a file or directory through this handle, until it is closed.
pub(super) fn lock_alone(file: impl AsFd) -> Result<()> {
    lock(file, FlockOperation::LockExclusive).doing("lock the file")
}

pub(super) fn unlock(file: impl AsFd) -> Result<()> {
    lock(file, FlockOperation::Unlock).doing("unlock the file")
}

impl Sharing {
    /// Of a root that is shared; else `None`.
    pub(super) fn of(root: &Arc<Root>) -> Option<Arc<Self>> {
        let generation = root.generation()?;
        Some(Arc::new(Self {
            root: Arc::clone(root),
            generation,
        }))
    }

    /// Whether the path leads to this file now. With `cached` no disk is read, and it is "no" where one would have to be.
    pub(super) fn leads_to(&self, path: &str, file: Inode, cached: bool) -> bool {
        self.root.inode(path, cached) == Some(file)
    }

    /// Locks the files of these objects, each until its handle is dropped. `None`: a path no longer leads to its file.
    pub(super) fn lock<const N: usize>(
        &self,
        objects: [(&str, Inode); N],
        alone: bool,
    ) -> Result<Option<[OwnedFd; N]>> {
        let how = if alone {
            FlockOperation::LockExclusive
        } else {
            FlockOperation::LockShared
        };
        let handles: rustix::io::Result<Option<Vec<OwnedFd>>> = objects
            .iter()
            .map(|(path, file)| self.root.open_again(path, *file))
            .collect();
        let Some(handles) = handles.doing("lock the object")? else {
            return Ok(None);
        };
        {
            let turn = self.root.open_own(TURN).doing("lock the object")?;
            lock(&turn, how).doing("lock the object")?;
            for handle in &handles {
                lock(handle, how).doing("lock the object")?;
            }
        }
        let still = objects
            .iter()
            .all(|(path, file)| self.leads_to(path, *file, false));
        Ok(handles.try_into().ok().filter(|_| still))
    }

    /// The file's tag; `None` where it has none of this generation.
    pub(super) fn tag(&self, file: &File) -> Option<Tag> {
        let text = read_attribute(file, TAG).ok()??;
        let (generation, tag) = decode(&text)?;
        (generation == self.generation).then_some(tag)
    }

    pub(super) fn set_tag(&self, file: &File, tag: Tag) -> Result<()> {
        // Always of one length, so that it never needs more space than before.
        let text = format!("{:016x} {}", self.generation, tag.digits());
        fs::fsetxattr(file, TAG, text.as_bytes(), fs::XattrFlags::empty()).doing("keep the entity tag")
    }

    /// A flush of the file failed, in whichever server.
    pub(super) fn is_lost(&self, file: &File) -> bool {
        let noted = read_attribute(file, LOST).ok().flatten();
        noted.is_some_and(|text| text == format!("{:016x}", self.generation).as_bytes())
    }

    pub(super) fn note_lost(&self, file: &File) -> Result<()> {
        let text = format!("{:016x}", self.generation);
        fs::fsetxattr(file, LOST, text.as_bytes(), fs::XattrFlags::empty()).doing("note the failed flush")
    }
}

fn decode(text: &[u8]) -> Option<(u64, Tag)> {
    let text = std::str::from_utf8(text).ok()?;
    let (generation, tag) = text.split_once(' ')?;
    Some((u64::from_str_radix(generation, 16).ok()?, Tag::from_digits(tag)?))
}

/// The error of what cannot be done while other servers may change the tree.
pub(super) fn refused(what: &str) -> Error {
    Error::Forbidden(format!(
        "this server shares its directory with others, and cannot {what}; start one without --shared for that"
    ))
}
