//! Stores: one trait, a client for each protocol, and wrappers that do one thing each.
//!
//! ```text
//! engine ── Store ── Mirrored ── CdmiStore ── http ── server
//!                 │           └─ FileStore, MemoryStore
//!                 └ Faulty (tests)
//! ```
//! A client speaks to one server and tries each request once. What a failure means for the next try is in the
//! error's kind; trying again, and elsewhere, is the business of `Mirrored` alone.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod capabilities;
mod error;
mod key;
mod payload;
mod store;

pub use capabilities::{Capabilities, Durability, Resize};
pub use error::StoreError;
pub use key::{Key, KeyError};
pub use payload::Payload;
pub use store::{ETag, Entry, Fetched, ObjectInfo, Page, Precondition, Store, Written};
