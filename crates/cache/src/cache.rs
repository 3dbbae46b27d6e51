//! The cache, as its users see it: get and put.

use crate::CacheError;
use crate::file;
use crate::region::{self, BLOB_LEN_MAX, Filling, Key, REGION_LEN};
use crate::ring::{Found, Ring};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::mpsc;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::Semaphore;

/// Regions that a cache has at least: while some are on their way to the disk, others are there.
pub(crate) const REGIONS_MIN: u64 = 8;
/// As many as an SSD does at once.
const READS_MAX: usize = 32;

/// A cache. Dropped, it writes what it has in memory, which blocks for as long as the disk takes for some MiB.
pub struct Cache {
    ring: Arc<Ring>,
    /// Reads of the disk at once: each takes a thread.
    reads: Semaphore,
    path: String,
    size: u64,
    writer: Option<JoinHandle<()>>,
    hits: AtomicU64,
    hit_bytes: AtomicU64,
    misses: AtomicU64,
    bad: AtomicU64,
    puts: AtomicU64,
}

/// What a cache did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of its file.
    pub size: u64,
    /// Blobs that it has now.
    pub entries: u64,
    /// Blobs that were asked for and there.
    pub hits: u64,
    /// Their bytes.
    pub hit_bytes: u64,
    /// Blobs that were asked for and not there.
    pub misses: u64,
    /// Of these, what was there and not what was put: the disk damaged it.
    pub bad: u64,
    /// Blobs that were put.
    pub puts: u64,
    /// Of these, those that were dropped because the disk was behind.
    pub dropped: u64,
    /// Reads and writes of the disk that failed.
    pub failed: u64,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the cache in this file, made where it is not there, of so many bytes and with so many blobs at the most (about 40 bytes
    /// of memory each). What an earlier process left is found again, in the background.
    pub fn open(path: &Path, size: u64, entries_max: usize) -> Result<Self, CacheError> {
        let regions = size / REGION_LEN as u64;
        if regions < REGIONS_MIN {
            return Err(CacheError::Small(size));
        }
        let name = path.display().to_string();
        let failed = |what| {
            let path = name.clone();
            move |error| CacheError::File { what, path, error }
        };
        let file = file::open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => CacheError::InUse(name.clone()),
            _ => failed("open")(error),
        })?;
        let size = regions * REGION_LEN as u64;
        let len = file.metadata().map_err(failed("inspect"))?.len();
        if len > size {
            file.set_len(size).map_err(failed("shorten"))?;
        }
        let ring = Arc::new(Ring::new(file, regions, entries_max));
        let thread_ring = Arc::clone(&ring);
        let writer = std::thread::Builder::new()
            .name("restblk-cache".to_owned())
            .spawn(move || run(&thread_ring))
            .map_err(failed("start the thread of"))?;
        Ok(Self {
            ring,
            reads: Semaphore::new(READS_MAX),
            path: name,
            size,
            writer: Some(writer),
            hits: AtomicU64::new(0),
            hit_bytes: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            puts: AtomicU64::new(0),
        })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The blob of this key, if it is there; whatever goes wrong, it is not.
    pub async fn get(&self, key: &Key) -> Option<Bytes> {
        let found = self.look(key).await;
        match &found {
            Some(blob) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                self.hit_bytes.fetch_add(blob.len() as u64, Ordering::Relaxed);
            }
            None => drop(self.misses.fetch_add(1, Ordering::Relaxed)),
        }
        found
    }

    async fn look(&self, key: &Key) -> Option<Bytes> {
        let hash = region::hash(key);
        let mut place = self.ring.index.find(hash)?;
        loop {
            let bytes = match self.ring.find(place)? {
                Found::Memory(bytes) => Some(bytes),
                Found::Disk => {
                    let ring = Arc::clone(&self.ring);
                    // Never closed.
                    let _turn = self.reads.acquire().await;
                    let read = tokio::task::spawn_blocking(move || ring.read(place)).await;
                    read.ok().flatten()
                }
            };
            let blob = bytes.and_then(|bytes| region::blob(&bytes.into(), key));
            if blob.is_some() {
                return blob;
            }
            let now = self.ring.index.find(hash)?;
            if now == place {
                self.bad.fetch_add(1, Ordering::Relaxed);
                self.ring.index.forget(hash, place.region, place.offset);
                return None;
            }
            // Its region's turn came, and it was put anew.
            place = now;
        }
    }

    /// Whether a blob of this key is there, most probably.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.ring.index.has(region::hash(key))
    }

    /// Puts the blob of this key, which is the same for ever; at most [`BLOB_LEN_MAX`] bytes. Does not wait.
    pub fn put(&self, key: &Key, blob: &[u8]) {
        if blob.len() <= BLOB_LEN_MAX && !self.has(key) {
            self.puts.fetch_add(1, Ordering::Relaxed);
            self.ring.put(key, blob);
        }
    }

    /// Whether so many bytes more push nothing out.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        self.ring.has_room(bytes)
    }

    /// Whether the disk is so far behind that what is put may be dropped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ring.is_full()
    }

    /// Whether the disk has not caught up with what was put.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.ring.is_behind()
    }

    /// What it did.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            size: self.size,
            entries: self.ring.index.len() as u64,
            hits: of(&self.hits),
            hit_bytes: of(&self.hit_bytes),
            misses: of(&self.misses),
            bad: of(&self.bad),
            puts: of(&self.puts),
            dropped: of(&self.ring.dropped),
            failed: of(&self.ring.failed),
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.ring.close();
        if let Some(writer) = self.writer.take() {
            // A panic of its own was told by itself.
            let _ = writer.join();
        }
    }
}

/// The writer's thread.
pub(crate) fn run(ring: &Ring) {
    let (to_disk, regions) = mpsc::channel::<Arc<Filling>>();
    let mut oldest = ring.load(to_disk);
    while let Ok(region) = regions.recv() {
        ring.write(region, &mut oldest);
    }
}

#[cfg(test)]
mod tests;
