//! The `BlockDevice` trait: what an engine offers and what a transport attaches.
//!
//! Owns the contract between the two, its checks, and the one conversion of errors to errno.
//! Knows neither stores nor kernels.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod check;
mod device;
mod error;
mod limit;
mod memory;
mod ranges;
mod read_only;
mod sectors;

pub use check::{Checked, check_extent};
pub use device::{BlockDevice, Features, Geometry, Span, WriteFlags, spans_of};
pub use error::BlockError;
pub use limit::{Limited, Limiter};
pub use memory::MemoryDevice;
pub use ranges::{Range, Ranges};
pub use read_only::ReadOnly;
pub use sectors::Sectors;
