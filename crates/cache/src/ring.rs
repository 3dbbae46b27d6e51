//! The regions: the one that is being filled, those on their way to the disk, and those that are there.
//!
//! Regions are numbered from 0 for ever, and region `s` lies in the place `s % regions` of the file. One thread writes them (`cache`); before it
//! does it lets go what the place had, and puts what was asked for meanwhile into the region that is being filled.

use crate::file;
use crate::index::{Index, Place};
use crate::region::{self, Entry, Filling, Key, REGION_LEN, TABLE_LEN};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::mpsc::Sender;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Regions on their way to the disk at the most: 8 MiB.
const PENDING_MAX: usize = 2;
/// Bytes of a region that are kept when its turn comes.
const KEPT_MAX: usize = REGION_LEN / 2;

/// See the module.
pub(crate) struct Ring {
    file: File,
    regions: u64,
    entries_max: usize,
    pub(crate) index: Index,
    open: Mutex<Option<Open>>,
    /// The cache is being closed.
    pub(crate) ends: AtomicBool,
    /// What was put and dropped.
    pub(crate) dropped: AtomicU64,
    /// Reads and writes that failed.
    pub(crate) failed: AtomicU64,
}

struct Open {
    filling: Filling,
    pending: VecDeque<Arc<Filling>>,
    /// One that was written, whose memory the next one takes.
    spare: Option<Filling>,
    to_disk: Sender<Arc<Filling>>,
}

impl Open {
    /// Sends the region that is being filled on its way; false where so many are.
    fn seal(&mut self, pending_max: usize) -> bool {
        if self.pending.len() >= pending_max {
            return false;
        }
        let next = Filling::new(self.filling.sequence + 1, self.spare.take());
        let mut full = std::mem::replace(&mut self.filling, next);
        full.seal();
        let full = Arc::new(full);
        self.pending.push_back(Arc::clone(&full));
        // The thread ends after the sender alone.
        let _ = self.to_disk.send(full);
        true
    }
}

/// Where a blob's bytes are to be had.
pub(crate) enum Found {
    Memory(Vec<u8>),
    Disk,
}

impl Ring {
    pub(crate) fn new(file: File, regions: u64, entries_max: usize) -> Self {
        Self {
            file,
            regions,
            entries_max,
            index: Index::default(),
            open: Mutex::new(None),
            ends: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offset(&self, region: u64) -> u64 {
        region % self.regions * REGION_LEN as u64
    }

    /// Reads what the file has, newest first, as much as there is room for in memory; from then on blobs can be put. Returns the oldest region.
    pub(crate) fn load(&self, to_disk: Sender<Arc<Filling>>) -> u64 {
        let mut tables = Vec::new();
        for place in 0..self.regions {
            if self.ends.load(Ordering::Relaxed) {
                break;
            }
            match file::read(&self.file, place * REGION_LEN as u64, TABLE_LEN) {
                Ok(bytes) => tables
                    .extend(region::table(&bytes).filter(|(sequence, _)| sequence % self.regions == place)),
                Err(error) => self.fails("read", &error),
            }
        }
        tables.sort_unstable_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        let next = tables.first().map_or(0, |(sequence, _)| sequence + 1);
        let mut oldest = next;
        for (sequence, entries) in tables {
            if sequence + self.regions < next || self.index.len() + entries.len() > self.entries_max {
                break;
            }
            for entry in entries {
                if !self.index.has(entry.hash) {
                    self.index.put(entry.hash, place_of(sequence, entry));
                }
            }
            oldest = sequence;
        }
        let mut open = self.open();
        // Closed meanwhile, there is nobody to end the sender, and with it the thread.
        if !self.ends.load(Ordering::Relaxed) {
            *open = Some(Open {
                filling: Filling::new(next, None),
                pending: VecDeque::new(),
                spare: None,
                to_disk,
            });
        }
        oldest
    }

    /// Where the bytes of a place are.
    pub(crate) fn find(&self, place: Place) -> Option<Found> {
        let open = self.open();
        let open = open.as_ref()?;
        let regions = open.pending.iter().map(Arc::as_ref).chain([&open.filling]);
        for region in regions {
            if region.sequence == place.region {
                return region
                    .get(place.offset, place.len)
                    .map(|bytes| Found::Memory(bytes.to_vec()));
            }
        }
        Some(Found::Disk)
    }

    /// Reads a place from the disk. Blocks.
    pub(crate) fn read(&self, place: Place) -> Option<Vec<u8>> {
        let offset = self.offset(place.region) + u64::from(place.offset);
        match file::read(&self.file, offset, place.len as usize) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.fails("read", &error);
                None
            }
        }
    }

    /// So many bytes go into places of the file that no region had yet.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let open = self.open();
        let Some(open) = open.as_ref() else { return false };
        // One more for what is left of the region that is being filled, and the tables.
        let regions = bytes.div_ceil(REGION_LEN as u64) + 1;
        open.filling.sequence + regions < self.regions && self.index.len() < self.entries_max
    }

    /// As many regions are on their way to the disk as may be.
    pub(crate) fn is_full(&self) -> bool {
        let open = self.open();
        open.as_ref()
            .is_some_and(|open| open.pending.len() >= PENDING_MAX)
    }

    /// A region is on its way to the disk.
    pub(crate) fn is_behind(&self) -> bool {
        self.open().as_ref().is_some_and(|open| !open.pending.is_empty())
    }

    /// Puts a blob, or drops it where the disk is behind.
    pub(crate) fn put(&self, key: &Key, blob: &[u8]) {
        self.put_if(key, blob, PENDING_MAX);
    }

    fn put_if(&self, key: &Key, blob: &[u8], pending_max: usize) {
        let mut open = self.open();
        let put = open.as_mut().and_then(|open| {
            let entry = open.filling.put(key, blob);
            let entry = entry.or_else(|| {
                if open.seal(pending_max) {
                    open.filling.put(key, blob)
                } else {
                    None
                }
            });
            entry.map(|entry| (open.filling.sequence, entry))
        });
        match put {
            // Under the lock, so that it is known before its region can be let go.
            Some((region, entry)) => self.index.put(entry.hash, place_of(region, entry)),
            None => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Sends what there is on its way to the disk, and takes no more.
    pub(crate) fn close(&self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(mut open) = self.open().take()
            && !open.filling.entries().is_empty()
        {
            open.seal(usize::MAX);
        }
    }

    /// Writes a region in the place of an older one; `oldest` is the oldest that is there. Blocks.
    pub(crate) fn write(&self, region: Arc<Filling>, oldest: &mut u64) {
        while *oldest < region.sequence
            && (*oldest + self.regions <= region.sequence || self.index.len() > self.entries_max)
        {
            self.let_go(*oldest);
            *oldest += 1;
        }
        let written = file::write(&self.file, self.offset(region.sequence), region.sealed());
        if let Err(error) = &written {
            self.fails("write", error);
            for entry in region.entries() {
                self.index.forget(entry.hash, region.sequence, entry.offset);
            }
        }
        if let Some(open) = self.open().as_mut() {
            open.pending.retain(|pending| pending.sequence != region.sequence);
            open.spare = Arc::into_inner(region);
        }
    }

    /// Forgets what a region has; what was asked for is put anew, up to a bound, and can be had all the time.
    fn let_go(&self, region: u64) {
        let table = file::read(&self.file, self.offset(region), TABLE_LEN);
        let entries = match table.as_ref().map(|bytes| region::table(bytes)) {
            Ok(Some((sequence, entries))) if sequence == region => entries,
            // It was never written: its entries were forgotten then.
            Ok(_) => return,
            Err(error) => {
                // Its entries stay; each is found to be another one, and forgotten, when it is asked for.
                self.fails("read", error);
                return;
            }
        };
        let mut kept = 0;
        for entry in entries {
            if kept < KEPT_MAX && self.index.was_read(entry.hash, region, entry.offset) {
                let bytes = self.read(place_of(region, entry));
                if let Some((key, blob)) = bytes.as_deref().and_then(region::any_blob) {
                    kept += blob.len();
                    // What was there already comes before what others put.
                    self.put_if(&key, blob, PENDING_MAX + 1);
                }
            }
            self.index.forget(entry.hash, region, entry.offset);
        }
    }

    fn fails(&self, what: &str, error: &io::Error) {
        // Told at the first failure and from time to time, not at each.
        if self.failed.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
            tracing::warn!(%error, "the cache's disk cannot {what}: what it would have is read from the store");
        }
    }
}

fn place_of(region: u64, entry: Entry) -> Place {
    Place {
        region,
        offset: entry.offset,
        len: entry.len,
    }
}
