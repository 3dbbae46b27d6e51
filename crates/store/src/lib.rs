//! Stores: one trait, a client for each protocol, and wrappers that do one thing each.
//!
//! ```text
//! engine ── Store ── Mirrored ── CdmiStore, S3Store, AzureStore, GcsStore, SwiftStore, WebdavStore ── http ── server
//!                 │           └─ FileStore, MemoryStore
//!                 └ Faulty (tests)
//! ```
//! A client speaks to one server and tries each request once. What a failure means for the next try is in the
//! error's kind; trying again, and elsewhere, is the business of `Mirrored` alone.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod azure;
mod capabilities;
pub mod cdmi;
mod checksum;
mod config;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod file;
mod folders;
pub mod gcs;
pub mod http;
mod instance;
mod key;
pub mod memory;
pub mod mirrored;
mod open;
mod payload;
mod presented;
pub mod prove;
mod renewed;
pub mod s3;
mod store;
pub mod swift;
pub mod webdav;

pub use azure::AzureStore;
pub use capabilities::{Capabilities, Durability, Resize};
pub use cdmi::{CdmiStore, Dialect, find_dialect};
pub use config::{StoreConfig, StoreKind, UnknownKind};
pub use error::StoreError;
pub use file::FileStore;
pub use gcs::GcsStore;
pub use http::HttpClient;
pub use instance::{Flushed, Instance, NoInstance};
pub use key::{Key, KeyError};
pub use memory::MemoryStore;
pub use mirrored::{
    Marker, MirrorOptions, MirrorState, MirrorStatus, Mirrored, MirroredFigures, Outage, RetryPolicy,
    clean_up, within,
};
pub use open::{Opened, OpenedMirror, open, open_mirror, open_mirror_pinned, open_pinned};
pub use payload::Payload;
pub use prove::{MirrorProof, Proof, prove};
pub use s3::S3Store;
pub use store::{
    ETag, Entry, Fetched, Lock, LockToken, ObjectInfo, Page, Precondition, Store, Usage, Written,
};
pub use swift::SwiftStore;
pub use webdav::WebdavStore;
