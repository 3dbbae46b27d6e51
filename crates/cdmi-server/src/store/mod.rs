//! The data on disk: objects, containers, and what holds while many change them at a time.
//!
//! Synchronous; every call may block. Locks, always taken in this order:
//! 1. [`freezer`](freeze): shared by every change, alone by what changes a whole tree;
//! 2. a stripe of `names`, by path: whoever looks up, creates, replaces or deletes that name;
//! 3. an object's `gate`: shared by changes in place, alone by conditional changes, replacement, deletion and copying;
//! 4. small mutexes that are never held over another lock.
//!
//! Where several servers share the root (`sharing`), a gate is a lock on the file as well.
//!
//! While a server runs, names under the root are its own: other programs may read the files, and write to them where no
//! request does at the time, but not rename or delete what a request uses.

mod admission;
mod change;
mod conditions;
mod container;
mod entry;
mod etag;
mod freeze;
mod ids;
mod life;
mod meta;
mod namespace;
mod object_id;
mod object_lock;
mod root;
mod sharing;
mod snapshot;
mod table;
mod tree;
mod upload;

pub(crate) use conditions::{Conditions, Tags};
pub(crate) use container::ContainerInfo;
pub(crate) use entry::{Entry, Stat};
pub(crate) use etag::Tag;
pub(crate) use meta::{Encoding, METADATA_BYTES_MAX, Meta, MetaChange, NewMeta};
pub(crate) use object_id::fixed as fixed_id;
pub(crate) use object_lock::{Held, LockToken};
pub(crate) use root::{HIDDEN, SNAPSHOTS};
pub(crate) use upload::{Outcome, Upload};

use crate::config::Config;
use crate::error::{Error, Result, ServeError};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names are locked by hash; more stripes only lessen false sharing.
const STRIPES: usize = 256;

/// A directory served as a store.
pub(crate) struct Store {
    root: Arc<root::Root>,
    sharing: Option<Arc<sharing::Sharing>>,
    table: table::Table,
    tags: etag::TagSource,
    ids: ids::Ids,
    life: Option<life::Life>,
    freezer: freeze::Freezer,
    names: Vec<Mutex<()>>,
    hasher: RandomState,
    enterprise: u32,
    read_only: bool,
    recursive_delete: bool,
    sync_put: bool,
}

/// Locks a mutex; a panic elsewhere leaves our states whole, since each is one assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the root, takes it for this process alone or with others that share it, and sweeps what a killed server left
    /// half-made.
    pub(crate) fn open(config: &Config) -> std::result::Result<Arc<Self>, ServeError> {
        let wanted = match (config.read_only, config.shared) {
            (true, true) => {
                let reason = "a server that only reads cannot share its directory with others that write";
                return Err(ServeError::Config(reason.to_owned()));
            }
            (true, false) => admission::Wanted::ReadOnly,
            (false, true) => admission::Wanted::Shared,
            (false, false) => admission::Wanted::Alone,
        };
        let root = Arc::new(root::Root::open(&config.root, wanted)?);
        let life = root.hidden().and_then(life::Life::begin);
        root.is_ready();
        Ok(Arc::new(Store {
            life,
            sharing: sharing::Sharing::of(&root),
            root,
            table: table::Table::new(config.limits.open_files_max),
            tags: etag::TagSource::new(),
            ids: ids::Ids::default(),
            freezer: freeze::Freezer::default(),
            names: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            enterprise: config.enterprise(),
            read_only: config.read_only,
            recursive_delete: config.recursive_delete,
            sync_put: config.sync_put,
        }))
    }

    /// The object, if its file is open already; does not block. The caller checks [`Stat::linked`].
    pub(crate) fn cached(&self, path: &str) -> Option<Arc<Entry>> {
        let entry = self.table.get(path)?;
        let current = self.sharing.is_none() || entry.is_current(true).unwrap_or(false);
        current.then_some(entry)
    }

    /// The object with this path.
    pub(crate) fn lookup(&self, path: &str) -> Result<Arc<Entry>> {
        if let Some(entry) = self.table.get(path)
            && entry.is_current(false)?
        {
            return Ok(entry);
        }
        let entry = {
            let _name = self.lock_name(path);
            self.load_locked(path)?
        };
        self.evict();
        Ok(entry)
    }

    /// The object, when the caller holds its name.
    fn load_locked(&self, path: &str) -> Result<Arc<Entry>> {
        let generation = self.table.generation();
        if let Some(entry) = self.table.get(path) {
            if entry.is_current(false)? {
                return Ok(entry);
            }
            self.table.remove(path);
        }
        let file = self.root.open_object(path, self.read_only)?;
        let entry = Arc::new(Entry::load(
            path,
            file,
            &self.tags,
            self.enterprise,
            self.read_only,
            self.sharing.as_ref(),
        )?);
        self.table.insert(entry.clone(), generation);
        Ok(entry)
    }

    /// Like [`load_locked`](Self::load_locked), with `None` for no such object.
    fn find_locked(&self, path: &str) -> Result<Option<Arc<Entry>>> {
        match self.load_locked(path) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.status() == http::StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn stripe(&self, path: &str) -> usize {
        // The remainder is below STRIPES, so it fits.
        usize::try_from(self.hasher.hash_one(path) % STRIPES as u64).unwrap_or(0)
    }

    fn lock_name(&self, path: &str) -> MutexGuard<'_, ()> {
        lock(&self.names[self.stripe(path)])
    }

    /// Closes the files longest unused, once there are too many. The caller holds no lock.
    fn evict(&self) {
        for path in self.table.overflow() {
            let _name = self.lock_name(&path);
            let generation = self.table.generation();
            if let Some(entry) = self.table.take_idle(&path) {
                self.settle_entry(&entry);
                if entry.must_stay() {
                    self.table.insert(entry, generation);
                }
            }
        }
    }

    /// Keeps the entity tags of all open objects, so that they are the same after a restart. For a clean shutdown.
    pub(crate) fn settle(&self) {
        for path in self.table.paths() {
            let _name = self.lock_name(&path);
            if let Some(entry) = self.table.get(&path) {
                let _alone = entry.gate_alone();
                self.settle_entry(&entry);
            }
        }
    }

    fn settle_entry(&self, entry: &Entry) {
        if let Err(error) = entry.settle() {
            tracing::warn!(object = %entry.path, %error, "an entity tag was not kept; it will change");
        }
        self.note_loss(entry);
    }

    /// Has the next life of this store tell clients that changes were lost, if some of this object were.
    fn note_loss(&self, entry: &Entry) {
        if entry.must_stay()
            && let Some(life) = &self.life
        {
            life.lose();
        }
    }

    /// The volatile cache that takes changes until they are flushed; none on a read-only server.
    pub(crate) fn instance(&self) -> Option<u128> {
        self.life.as_ref().map(life::Life::instance)
    }

    /// Puts everything on the disk, if no other server goes on. For a clean shutdown, after the last request has ended.
    pub(crate) fn end(&self) {
        if let Some(life) = &self.life
            && self.root.is_last()
        {
            life.end();
        }
    }

    /// Refuses what needs the whole tree to itself.
    fn refuse_shared(&self, what: &str) -> Result<()> {
        match self.sharing {
            None => Ok(()),
            Some(_) => Err(sharing::refused(what)),
        }
    }

    fn refuse_read_only(&self) -> Result<()> {
        if self.read_only {
            Err(Error::Forbidden("this server is read-only".to_owned()))
        } else {
            Ok(())
        }
    }

    /// The path of the object or container with this ID; that of a container ends with a slash.
    pub(crate) fn resolve_id(&self, id: &str) -> Result<String> {
        self.ids.resolve(self, id)
    }
}

/// The container of a path, and the name in it. The root's own path is empty.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}
