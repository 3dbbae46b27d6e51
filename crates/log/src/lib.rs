//! The log layout: a volume of immutable segments on any store that decides races of creates.
//!
//! Writes are gathered in a batch, which becomes a segment (`batch`, `upload`); what is on the store is put into the map
//! (`applier`); the map goes to the store with a head that names it (`checkpoint`). Attaching claims an epoch and recovers the
//! last head and the log after it (`recover`). Formats: `restblk_format::log`.
//!
//! With a [journal](Disk) a write is on the host's disk before it is answered, and a flush waits for that disk alone
//! ([`Durability::Local`]) or for the store; without one, writes that were not flushed end with the process. Time and randomness come in: everything here runs under a virtual clock.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod ahead;
mod ancestors;
mod applier;
mod batch;
mod changes;
pub mod check;
mod checkpoint;
mod children;
mod clone;
mod core;
mod defect;
mod destroy;
mod device;
mod diff;
mod error;
mod file_disk;
mod flatten;
mod frames;
mod gc;
mod group;
mod journal;
mod local;
mod look;
mod memory;
mod pages;
mod pieces;
mod receive;
mod recover;
mod runs;
mod send;
mod series;
mod shelf;
mod snapshot;
mod spare;
mod state;
mod table;
mod tree;
mod upload;
mod usage;
mod view;
mod warm;
mod whole;

#[cfg(test)]
mod cold_tests;
#[cfg(test)]
mod crypt_tests;
#[cfg(test)]
mod sim_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod test_volume;

pub use changes::{Change, Changes};
pub use children::Child;
pub use core::Hold;
pub use destroy::{check_no_clones, destroy};
pub use device::LogVolume;
pub use error::LogError;
pub use file_disk::FileDisk;
pub use flatten::Progress;
pub use group::snapshot_together;
pub use journal::Disk;
pub use local::Local;
pub use look::look;
pub use memory::{MEMORY, MEMORY_MIN, Memory};
pub use receive::{Receive, Receiver};
pub use recover::{check_size, create, create_half};
pub use restblk_cache::Cache;
pub use restblk_format::log::{Codec, DataKey, Head, Snapshot};
pub use restblk_format::stream;
pub use restblk_types::Durability;
pub use send::Sending;
pub use usage::{Figures, Usage, usage};
pub use view::SnapshotView;

/// Who attaches.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Random: what this writer knows its own objects by.
    pub nonce: [u8; 16],
    /// The host's name, for people.
    pub hostname: String,
    /// Now, RFC 3339, UTC.
    pub since: String,
    /// The volume's data key, where it is encrypted.
    pub key: Option<DataKey>,
}

/// How a volume is served.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How data is packed, until [`LogVolume::set_codec`] says otherwise.
    pub codec: Codec,
    /// What a flush waits for.
    pub durability: Durability,
    /// Segments in the map that are not in a head, after which a checkpoint is made: a recovery reads so many at the most, and
    /// those on their way.
    pub segments_per_checkpoint: u32,
    /// Garbage is collected when less than this part of the blocks on the store is alive.
    pub live_min: f64,
}

impl Default for Options {
    /// LZ4, a checkpoint after 1 GiB, garbage up to two fifths.
    fn default() -> Self {
        Self {
            codec: Codec::Lz4,
            durability: Durability::Remote,
            segments_per_checkpoint: 128,
            live_min: 0.6,
        }
    }
}
