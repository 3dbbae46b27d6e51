//! A disposable cache of what never changes, in one file on a local disk (an SSD).
//!
//! Nothing depends on it: whatever goes wrong with its disk is a miss, and the file may be deleted at any time that nobody has it
//! open. What it gives back is checked on every read, its key too, so that a disk that lies is a miss as well.
//!
//! ```text
//! the file      regions of 4 MiB, written whole, one after the other, and around again (`region`)
//! in memory     where each blob is (`index`); the region that is being filled, and those on their way to the disk (`ring`)
//! ```
//! A region is written in one piece, so the disk sees large writes in order, whatever the blobs' sizes. When its turn comes again, what was
//! read since is put into the region that is being filled; the rest is forgotten: first in, first out, with a second chance.
//!
//! Putting never waits. While the disk is behind, what is put is dropped, and counted. After a restart the tables at the regions' starts
//! tell what is there; until they are read everything is a miss.
//!
//! Own code, because the libraries there are bring a memory cache, a runtime and formats of their own for what is five small files here
//! (docs/decisions/0014).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod cache;
mod file;
mod index;
mod region;
mod ring;
#[cfg(all(test, feature = "shuttle"))]
mod schedules;
mod sync;

pub use cache::{Cache, Figures};
pub use region::{BLOB_LEN_MAX, KEY_LEN, Key, REGION_LEN};

/// Why a cache cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Its size.
    #[error(
        "a cache of {0} bytes is too small: it has at least {min} MiB",
        min = (cache::REGIONS_MIN * REGION_LEN as u64) >> 20
    )]
    Small(u64),
    /// Its file.
    #[error("cannot {what} the cache's file {path}: {error}")]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// Another process.
    #[error("the cache's file {0} is in use by another process: give each daemon a folder of its own")]
    InUse(String),
}
