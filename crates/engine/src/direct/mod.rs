//! The direct layout: one object on the store is the volume, byte for byte.
//!
//! ```text
//! DirectDevice ── split ── Lanes (bounded, merging) ── Store
//!             └─ Flusher (group commit)
//! ```
//! Invariants:
//! - A write is acknowledged when the store has acknowledged every part of it; a flush when the store's own flush,
//!   begun after those writes, has. There is no cache and no journal here: nothing to lose, nothing to replay.
//! - A flush that fails for good fails the device: which writes were lost is unknown, so nothing is pretended.
//! - A fenced device answers every request with `Fenced`, for ever.

mod device;
mod flusher;
mod lanes;
mod split;

pub use device::{DirectDevice, Tuning};

#[cfg(test)]
mod failure_tests;
