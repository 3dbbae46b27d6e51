//! One open object: its file, its tag, its fields, and the locks that order its changes.
//!
//! `dead` is set, under the whole gate, when the name no longer means this file; whoever then gets the gate looks the name up
//! again. After a failed fsync the kernel forgets which pages it did not write, so `sync_failed` makes every later flush of the
//! object fail too, and keeps the entry in memory.

use super::etag::{Mark, Tag, TagSource};
use super::lock;
use super::meta::{Meta, NewMeta, read_attribute};
use super::object_lock::{self, Held};
use super::sharing::{self, Inode, Sharing};
use crate::error::{Doing, Error, Result};
use rustix::fs;
use rustix::io::Errno;
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What the file system says about an object now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) size: u64,
    pub(crate) allocated: u64,
    pub(crate) mtime_ns: i128,
    /// Whether any name still leads to the file.
    pub(crate) linked: bool,
}

/// One open object.
pub(crate) struct Entry {
    pub(super) path: String,
    pub(super) file: File,
    /// Where other servers may change the object too.
    sharing: Option<(Arc<Sharing>, Inode)>,
    gate: RwLock<()>,
    dead: AtomicBool,
    tag: Mutex<Tag>,
    /// Whether the tag is in the file's mark.
    marked: Mutex<bool>,
    meta: Mutex<Arc<Meta>>,
    /// Whether the name is known to be on disk.
    name_durable: AtomicBool,
    /// Counts the changes of the attributes, and how many of them are on disk: fdatasync does not put them there.
    attributes: AtomicU64,
    attributes_synced: AtomicU64,
    sync_failed: AtomicBool,
    read_only: bool,
    pub(super) used: AtomicU64,
}

impl Entry {
    pub(super) fn load(
        path: &str,
        file: File,
        tags: &TagSource,
        enterprise: u32,
        read_only: bool,
        sharing: Option<&Arc<Sharing>>,
    ) -> Result<Self> {
        if let Some(sharing) = sharing {
            return Self::load_shared(path, file, tags, enterprise, sharing);
        }
        let meta = match Meta::load(&file)? {
            Some(meta) => meta,
            None => {
                // Another program made the file. It gets its ID now; one that a read-only server gives lasts as long as the server.
                let meta = Meta::fresh(enterprise, &NewMeta::default());
                if !read_only {
                    meta.store(&file)?;
                }
                meta
            }
        };
        let entry = Self::new(path, file, meta, tags.next(), false, read_only, None)?;
        let mark = read_attribute(&entry.file, Mark::NAME)?.and_then(|text| Mark::decode(&text));
        let stat = entry.stat()?;
        if let Some(mark) = mark.filter(|mark| mark.size == stat.size && mark.mtime_ns == stat.mtime_ns) {
            *lock(&entry.tag) = mark.tag;
            *lock(&entry.marked) = true;
        }
        Ok(entry)
    }

    /// The first server that looks at an object gives it what it lacks.
    fn load_shared(
        path: &str,
        file: File,
        tags: &TagSource,
        enterprise: u32,
        sharing: &Arc<Sharing>,
    ) -> Result<Self> {
        let complete = |file: &File| Ok::<_, Error>(Meta::load(file)?.zip(sharing.tag(file)));
        let (meta, tag) = match complete(&file)? {
            Some(all) => all,
            None => {
                // This handle serves no gate, so its lock is free for this.
                sharing::lock_alone(&file)?;
                let all = match complete(&file)? {
                    Some(all) => all,
                    None => {
                        let meta = match Meta::load(&file)? {
                            Some(meta) => meta,
                            None => {
                                let fresh = Meta::fresh(enterprise, &NewMeta::default());
                                fresh.store(&file)?;
                                fresh
                            }
                        };
                        // A mark of a server that was alone is off the disk before anybody can change the object, which
                        // takes a tag.
                        if read_attribute(&file, Mark::NAME)?.is_some() {
                            fs::fremovexattr(&file, Mark::NAME).doing("prepare the object")?;
                            fs::fsync(&file).doing("prepare the object")?;
                        }
                        let tag = tags.next();
                        sharing.set_tag(&file, tag)?;
                        (meta, tag)
                    }
                };
                sharing::unlock(&file)?;
                all
            }
        };
        Self::new(path, file, meta, tag, false, false, Some(sharing))
    }

    pub(super) fn new(
        path: &str,
        file: File,
        meta: Meta,
        tag: Tag,
        marked: bool,
        read_only: bool,
        sharing: Option<&Arc<Sharing>>,
    ) -> Result<Self> {
        let sharing = match sharing {
            Some(sharing) => Some((Arc::clone(sharing), sharing::inode(&file)?)),
            None => None,
        };
        Ok(Entry {
            path: path.to_owned(),
            file,
            sharing,
            gate: RwLock::new(()),
            dead: AtomicBool::new(false),
            tag: Mutex::new(tag),
            marked: Mutex::new(marked),
            meta: Mutex::new(Arc::new(meta)),
            name_durable: AtomicBool::new(false),
            attributes: AtomicU64::new(1),
            attributes_synced: AtomicU64::new(0),
            sync_failed: AtomicBool::new(false),
            read_only,
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn tag(&self) -> Tag {
        match &self.sharing {
            None => *lock(&self.tag),
            // What cannot be read is never the same.
            Some((sharing, _)) => sharing.tag(&self.file).unwrap_or_else(Tag::unknown),
        }
    }

    pub(crate) fn meta(&self) -> Arc<Meta> {
        let remembered = lock(&self.meta).clone();
        if self.sharing.is_none() {
            return remembered;
        }
        match Meta::load(&self.file) {
            Ok(Some(meta)) if meta != *remembered => Arc::new(meta),
            _ => remembered,
        }
    }

    /// Whether the path of the object still leads to this file. With `cached`, no disk is read, and it is "no" where one would
    /// have to be.
    pub(super) fn is_current(&self, cached: bool) -> Result<bool> {
        match &self.sharing {
            None => Ok(self.stat()?.linked),
            Some((sharing, inode)) => Ok(!self.is_dead() && sharing.leads_to(&self.path, *inode, cached)),
        }
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        let meta = self.file.metadata().doing("look at the object")?;
        Ok(Stat {
            size: meta.size(),
            allocated: meta.blocks() * 512,
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            linked: meta.nlink() > 0,
        })
    }

    /// Reads exactly the buffer's length; may block. The object's end before that is an error.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Reads exactly the buffer's length if the kernel has all of it in memory; else says no, without blocking.
    pub(crate) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let wanted = buffer.len();
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(buffer)], offset, flags) == Ok(wanted)
    }

    /// For a change in place. Look at [`is_dead`](Self::is_dead) then.
    pub(super) fn gate_shared(&self) -> Result<Gate<RwLockReadGuard<'_, ()>>> {
        let local = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let files = match &self.sharing {
            None => None,
            Some((sharing, inode)) => self.or_kill(sharing.lock([(&self.path, *inode)], false)?),
        };
        Ok(Gate {
            _files: files,
            _local: local,
        })
    }

    /// For any other change. Look at [`is_dead`](Self::is_dead) then.
    pub(super) fn gate_alone(&self) -> Result<Gate<RwLockWriteGuard<'_, ()>>> {
        let local = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let files = match &self.sharing {
            None => None,
            Some((sharing, inode)) => self.or_kill(sharing.lock([(&self.path, *inode)], true)?),
        };
        Ok(Gate {
            _files: files,
            _local: local,
        })
    }

    /// The same for two objects at once.
    pub(super) fn gate_alone_with<'a>(&'a self, other: &'a Self) -> Result<GateOfTwo<'a>> {
        let one = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let two = other.gate.write().unwrap_or_else(PoisonError::into_inner);
        let files = match (&self.sharing, &other.sharing) {
            (Some((sharing, inode)), Some((_, inode_of_other))) => {
                let both = [
                    (self.path.as_str(), *inode),
                    (other.path.as_str(), *inode_of_other),
                ];
                let locked = sharing.lock(both, true)?;
                if locked.is_none() {
                    for entry in [self, other] {
                        if !entry.is_current(false)? {
                            entry.kill();
                        }
                    }
                }
                locked
            }
            _ => None,
        };
        Ok(Gate {
            _files: files,
            _local: (one, two),
        })
    }

    /// Another server has given the name to another file, or to none.
    fn or_kill<T>(&self, locked: Option<T>) -> Option<T> {
        if locked.is_none() {
            self.kill();
        }
        locked
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// The name no longer means this file. The caller has the whole gate, or no change is under way anywhere.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
    }

    /// A sync failed: what the file holds is unknown, and only this entry knows.
    pub(super) fn must_stay(&self) -> bool {
        self.sync_failed.load(Ordering::Relaxed)
    }

    /// Begins a change: from now on no earlier tag is current, neither here nor after a crash. Ends when dropped.
    pub(super) fn begin<'a>(&'a self, tags: &'a TagSource) -> Result<Changing<'a>> {
        {
            let mut marked = lock(&self.marked);
            if *marked {
                fs::fremovexattr(&self.file, Mark::NAME).doing("prepare the change")?;
                *marked = false;
                self.put_on_disk(true)?;
            }
        }
        self.set_tag(tags.next())?;
        Ok(Changing { entry: self, tags })
    }

    fn set_tag(&self, tag: Tag) -> Result<()> {
        match &self.sharing {
            None => *lock(&self.tag) = tag,
            Some((sharing, _)) => sharing.set_tag(&self.file, tag)?,
        }
        Ok(())
    }

    /// Replaces the fields. The caller is in a change.
    pub(super) fn set_meta(&self, meta: Meta) -> Result<()> {
        meta.store(&self.file)?;
        self.attributes.fetch_add(1, Ordering::AcqRel);
        *lock(&self.meta) = Arc::new(meta);
        Ok(())
    }

    /// Who has the object locked.
    pub(super) fn lock(&self) -> Result<Option<Held>> {
        Held::load(&self.file)
    }

    /// Locks the object, or ends its lock. The caller has the whole gate.
    pub(super) fn set_lock(&self, held: Option<&Held>) -> Result<()> {
        object_lock::store(&self.file, held)?;
        self.attributes.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Puts value, size and attributes on disk. Says whether the name still has to be.
    pub(super) fn sync(&self) -> Result<bool> {
        let sharing = self.sharing.as_ref().map(|(sharing, _)| sharing);
        if self.sync_failed.load(Ordering::Acquire)
            || sharing.is_some_and(|sharing| sharing.is_lost(&self.file))
        {
            return Err(self.lost());
        }
        // Counted down only when the fsync is done, so that a flush at the same time does not rely on it too early.
        let attributes = self.attributes.load(Ordering::Acquire);
        let all = self.attributes_synced.load(Ordering::Acquire) < attributes;
        self.put_on_disk(all || sharing.is_some())?;
        self.attributes_synced.fetch_max(attributes, Ordering::AcqRel);
        // Another server may have moved it away and back.
        Ok(sharing.is_some() || !self.name_durable.load(Ordering::Acquire))
    }

    /// Syncs the file, with its attributes or without; remembers for ever that it failed.
    fn put_on_disk(&self, attributes: bool) -> Result<()> {
        let synced = if attributes {
            fs::fsync(&self.file)
        } else {
            fs::fdatasync(&self.file)
        };
        if let Err(errno) = synced {
            self.sync_failed.store(true, Ordering::Release);
            if let Some((sharing, _)) = &self.sharing
                && let Err(error) = sharing.note_lost(&self.file)
            {
                tracing::error!(object = %self.path, %error, "the other servers of this directory do not know of it");
            }
            tracing::error!(object = %self.path, error = %errno, "fsync failed; every flush of this object fails until the server is restarted");
        }
        synced.doing("flush the object")
    }

    pub(super) fn name_is_durable(&self) {
        self.name_durable.store(true, Ordering::Release);
    }

    fn lost(&self) -> Error {
        Error::Io {
            what: "flush the object, as an earlier flush of it failed; restart the server and check the disk",
            source: Errno::IO.into(),
        }
    }

    /// Keeps the tag for the next server. The caller has the name and no change is under way.
    pub(super) fn settle(&self) -> Result<()> {
        let mut marked = lock(&self.marked);
        if *marked
            || self.read_only
            || self.sharing.is_some()
            || self.is_dead()
            || self.sync_failed.load(Ordering::Acquire)
        {
            return Ok(());
        }
        self.put_on_disk(true)?;
        let stat = self.stat()?;
        set_mark(
            &self.file,
            Mark {
                tag: self.tag(),
                size: stat.size,
                mtime_ns: stat.mtime_ns,
            },
        )?;
        *marked = true;
        Ok(())
    }
}

pub(super) fn set_mark(file: &File, mark: Mark) -> Result<()> {
    fs::fsetxattr(
        file,
        Mark::NAME,
        mark.encode().as_bytes(),
        fs::XattrFlags::empty(),
    )
    .doing("keep the entity tag")
}

/// The right to change an object, or two, until it is dropped.
pub(super) struct Gate<G, const N: usize = 1> {
    /// Locks on the files, where other servers may change the objects too; dropped before the one in memory.
    _files: Option<[OwnedFd; N]>,
    _local: G,
}

pub(super) type GateOfTwo<'a> = Gate<(RwLockWriteGuard<'a, ()>, RwLockWriteGuard<'a, ()>), 2>;

/// A change under way.
pub(super) struct Changing<'a> {
    entry: &'a Entry,
    tags: &'a TagSource,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.entry.set_tag(self.tags.next()) {
            tracing::error!(object = %self.entry.path, %error, "two contents may have had one entity tag");
        }
    }
}
