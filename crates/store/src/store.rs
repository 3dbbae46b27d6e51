//! The `Store` trait: whole objects, and ranges of them, over any REST protocol.
//!
//! Every method is one request, or the few that the protocol needs for it. Nothing is retried here. A method that the
//! store cannot do returns [`ErrorKind::Unsupported`](restblk_types::ErrorKind) and changes nothing; [`Capabilities`] tells beforehand.
//!
//! Bodies are checked: a `get` returns exactly the bytes asked for or an error (`Corrupt` for a body of the wrong
//! length, `Invalid` for a range past the end), never fewer.

use crate::http::StatsSnapshot;
use crate::{Capabilities, Key, Payload, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::Extent;
use std::fmt;

/// A store's opaque tag for one state of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag(pub String);

/// What must hold for a request to take effect; else it fails with `Conflict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    Always,
    /// The object does not exist (`If-None-Match: *`).
    Absent,
    /// The object is in this state (`If-Match`).
    Matches(ETag),
}

/// What a store knows of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size in bytes.
    pub size: u64,
    /// Its state, where the store tells.
    pub etag: Option<ETag>,
}

/// The bytes of an object or of a range of it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The bytes: exactly as many as were asked for.
    pub payload: Payload,
    /// The state of the object they came from, where the store tells.
    pub etag: Option<ETag>,
}

/// The outcome of a `put`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The object's state now, where the store tells.
    pub etag: Option<ETag>,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub key: Key,
    /// Size in bytes, where the listing tells.
    pub size: Option<u64>,
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects directly in the folder, in the store's order.
    pub entries: Vec<Entry>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<String>,
}

/// A client of one server (or of several, behind `Mirrored`).
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Where it goes, for people and logs: a URL without credentials, a folder, `memory`.
    fn location(&self) -> String;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Counters of the client's network, where it has one.
    fn network(&self) -> Option<StatsSnapshot> {
        None
    }

    /// The whole object, or a range of it. `NotFound` where there is none. An empty range is `Invalid`.
    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError>;

    /// Size and state. `NotFound` where there is none.
    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError>;

    /// Creates or replaces the whole object (folders above it come by themselves). `Conflict` where the precondition
    /// does not hold. Durable as [`Capabilities::durability`] says, a `flush` of the key being the way to make it so.
    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError>;

    /// Changes the bytes from `offset` in place, growing the object where they reach past its end. Idempotent.
    /// `durable` asks for [`Capabilities::durable_write`]. `NotFound` where there is no object.
    async fn write_at(&self, key: &Key, offset: u64, data: Bytes, durable: bool) -> Result<(), StoreError>;

    /// Sets the size; new bytes read as zeros. Growing only, unless [`crate::Resize::Native`].
    async fn set_size(&self, key: &Key, size: u64) -> Result<(), StoreError>;

    /// Makes a range read as zeros and frees its space. Within the object's size.
    async fn punch(&self, key: &Key, range: Extent) -> Result<(), StoreError>;

    /// Makes every write to the object that was answered before survive the server's power loss.
    async fn flush(&self, key: &Key) -> Result<(), StoreError>;

    /// Removes the object. `NotFound` where there is none, `Conflict` where the precondition does not hold.
    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError>;

    /// Objects directly under the folder `folder` (`None`: the top), from `start` (a [`Page::next`]), at most about `limit`.
    /// Sub-folders are not told. A missing folder is an empty one.
    async fn list(&self, folder: Option<&Key>, start: Option<&str>, limit: usize)
    -> Result<Page, StoreError>;
}
