//! What a transport is, and what the host knows about block devices.
//!
//! A transport turns a [`restblk_block::BlockDevice`] into a node under /dev, and nothing more: it knows no
//! store, no engine and no API. Each lives in a crate of its own (`ublk`, `nbd`, `loop`).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod error;
pub mod holders;
pub mod inherited;
pub mod links;
pub mod loopdev;
pub mod memory;
mod transport;

pub use error::DeviceError;
pub use transport::{AttachSpec, Attached, Availability, Recovery, Transport, TransportKind};
