//! Whole objects: received into a temporary file, then given their name by one rename.
//!
//! Until [`commit`](Upload::commit) nothing of the upload can be seen, and dropping it leaves nothing behind. Whoever looks the
//! name up gets the old object or the new one with all its fields, also after a crash.

use super::conditions::Conditions;
use super::entry::{Entry, set_mark};
use super::etag::{Mark, Tag};
use super::meta::{Meta, NewMeta};
use super::object_lock::{self, Held};
use super::{Store, split};
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, AtFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// An object on its way in.
pub(crate) struct Upload {
    store: Arc<Store>,
    /// None once it is committed.
    file: Option<File>,
    temp: String,
    size: u64,
}

/// What a commit did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Whether there was no such object before.
    pub(crate) created: bool,
    pub(crate) tag: Tag,
}

impl Store {
    /// Refuses early what a commit would refuse: for before a large body is received.
    pub(crate) fn check_upload(&self, path: &str, conditions: &Conditions) -> Result<()> {
        self.refuse_read_only()?;
        match self.lookup(path) {
            Ok(entry) => conditions.check(path, Some(&entry)),
            Err(error) if error.status() == http::StatusCode::NOT_FOUND => {
                self.root.open_dir(split(path).0)?;
                conditions.check(path, None)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn upload(self: &Arc<Self>) -> Result<Upload> {
        self.refuse_read_only()?;
        let (file, temp) = self.root.temp_file()?;
        Ok(Upload {
            store: self.clone(),
            file: Some(file),
            temp,
            size: 0,
        })
    }
}

impl Upload {
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(file) = &self.file {
            file.write_all_at(bytes, self.size).doing("write the object")?;
            self.size += bytes.len() as u64;
        }
        Ok(())
    }

    /// Fills the upload with another object's value.
    pub(super) fn clone_from(&mut self, source: &File, size: u64) -> Result<()> {
        if let Some(file) = &self.file {
            super::tree::clone_file(source, file, size).doing("copy the object")?;
            self.size = size;
        }
        Ok(())
    }

    /// Gives the object its name.
    pub(crate) fn commit(
        mut self,
        path: &str,
        new: &NewMeta,
        conditions: &Conditions,
        flush: bool,
    ) -> Result<Outcome> {
        let Some(file) = self.file.take() else {
            return Err(Error::bad("the upload is over"));
        };
        let store = self.store.clone();
        let (parent, name) = split(path);
        let directory = store.root.open_dir(parent)?;
        let _pass = store.freezer.enter(&[path]);
        let mut kept: Option<Held> = None;
        loop {
            let (old, lock) = match store.lookup(path) {
                Ok(entry) => (Some(entry.meta()), entry.lock()?),
                Err(error) if error.status() == http::StatusCode::NOT_FOUND => (None, None),
                Err(error) => return Err(error),
            };
            if lock != kept {
                object_lock::store(&file, lock.as_ref())?;
                kept = lock;
            }
            let meta = match &old {
                None => Meta::fresh(store.enterprise, new),
                Some(old) => {
                    let mut meta = Meta::clone(old);
                    meta.apply(new);
                    meta
                }
            };
            meta.store(&file)?;
            let tag = store.tags.next();
            let stat = file.metadata().doing("look at the object")?;
            let mtime_ns = i128::from(std::os::unix::fs::MetadataExt::mtime(&stat)) * 1_000_000_000
                + i128::from(std::os::unix::fs::MetadataExt::mtime_nsec(&stat));
            match &store.sharing {
                None => {
                    let size = stat.len();
                    set_mark(&file, Mark { tag, size, mtime_ns })?;
                }
                Some(sharing) => sharing.set_tag(&file, tag)?,
            }
            // A lock is on disk before its holder relies on it, also in the new file.
            if flush || kept.is_some() || (store.sync_put && self.size > 0) {
                fs::fsync(&file).doing("flush the object")?;
            }

            let _name = store.lock_name(path);
            let current = store.find_locked(path)?;
            let gate = match &current {
                Some(entry) => Some(entry.gate_alone()?),
                None => None,
            };
            if current.as_ref().is_some_and(|entry| entry.is_dead()) {
                continue; // Another server was faster.
            }
            conditions.check(path, current.as_deref())?;
            let unchanged = match (&old, &current) {
                (None, None) => true,
                (Some(old), Some(current)) => {
                    (Arc::ptr_eq(old, &current.meta()) || **old == *current.meta()) && current.lock()? == kept
                }
                _ => false,
            };
            if !unchanged {
                continue; // Someone was faster: take the ID, the fields and the lock of what is there now.
            }
            let generation = store.table.generation();
            crate::peer::still_there()?;
            match store
                .root
                .publish(&self.temp, &directory, name, current.is_some())
            {
                Ok(()) => {}
                Err(Errno::EXIST) => continue, // Another program made it.
                Err(errno) => return Err(errno).doing("name the object"),
            }
            if let Some(entry) = &current {
                entry.kill();
            }
            drop(gate);
            let id = meta.id.clone();
            let sharing = store.sharing.as_ref();
            let entry = Arc::new(Entry::new(
                path,
                file,
                meta,
                tag,
                sharing.is_none(),
                false,
                sharing,
            )?);
            store.table.remove(path);
            store.table.insert(entry.clone(), generation);
            drop(_name);
            store.ids.note(&id, path);
            self.temp.clear();
            if flush {
                store.make_durable(&entry)?;
            }
            drop(entry);
            store.evict();
            return Ok(Outcome {
                created: old.is_none(),
                tag,
            });
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.temp.is_empty()
            && let Ok(tmp) = self.store.root.tmp()
        {
            // What stays behind is swept when the next server starts.
            let _ = fs::unlinkat(tmp, &self.temp, AtFlags::empty());
        }
    }
}
