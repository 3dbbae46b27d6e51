//! Volumes on stores: which volumes a repository has, who holds them, and how their bytes are read and written.
//!
//! Knows stores by their trait alone: no HTTP, no kernel, no wall clock (times come in as text, ids as values).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod blocks;
pub mod convert;
pub mod direct;
mod error;
mod flush;
mod front;
mod guard;
mod lease;
pub mod log;
mod names;
mod repository;
mod side;
#[cfg(test)]
mod test_store;
mod trash;
mod volume;
mod volumes;

pub use error::EngineError;
pub use lease::{Claim, Lease, Takeover};
pub use repository::{Repository, Safety};
pub use side::{Side, in_blocks};
pub use trash::{TrashEntry, TrashState};
pub use volume::Volume;
pub use volumes::{NewVolume, SIZE_MAX, VolumeInfo};
