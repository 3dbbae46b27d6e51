//! The `Store` trait: whole objects, and ranges of them, over any REST protocol.
//!
//! Every method is one request, or the few that the protocol needs for it. Nothing is retried here. A method that the
//! store cannot do returns [`ErrorKind::Unsupported`](restblk_types::ErrorKind) and changes nothing; [`Capabilities`] tells beforehand.
//!
//! Bodies are checked: a `get` returns exactly the bytes asked for or an error (`Corrupt` for a body of the wrong
//! length, `Invalid` for a range past the end), never fewer.

use crate::http::{Greeter, StatsSnapshot};
use crate::{Capabilities, Flushed, Instance, Key, Payload, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::{ErrorKind, Extent};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// `write_at`, `set_size` and `punch` work on it. False for an object that was made by `put` where the protocol has
    /// objects of several kinds.
    pub in_place: bool,
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
    /// The volatile cache that holds it until a flush, where the store tells.
    pub instance: Option<Instance>,
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

/// Proof that a lock is held: what changes of the locked object carry. Whoever has it can change the object, so it is in no
/// log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LockToken(pub String);

impl fmt::Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockToken(…)")
    }
}

/// A lock that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What changes carry.
    pub token: LockToken,
    /// How long it lasts unless it is refreshed; `None`: until it is unlocked.
    pub lifetime: Option<Duration>,
}

/// How full a store is, in bytes, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Space in all.
    pub total: Option<u64>,
    /// Space in use.
    pub used: Option<u64>,
    /// Space that this client may still use.
    pub available: Option<u64>,
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

    /// Has who answers looked at on each connection of its network before its next use; the first greeter stays. Without a network there is
    /// nothing to do.
    fn set_greeter(&self, greeter: Arc<dyn Greeter>) {
        drop(greeter);
    }

    /// The whole object, or a range of it. `NotFound` where there is none. An empty range is `Invalid`.
    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError>;

    /// Size and state. `NotFound` where there is none.
    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError>;

    /// Creates or replaces the whole object (folders above it come by themselves). `Conflict` where the precondition
    /// does not hold; `Unsupported` where an object of another kind has the name (see `create`). Durable as [`Capabilities::durability`] says, a `flush` of the key being the way to make it so.
    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError>;

    /// Creates or replaces, as an empty object, one that [`Store::write_at`] and [`Store::set_size`] work on. The same as an empty
    /// `put` but where the protocol has objects of several kinds; there one kind does not replace the other: `Unsupported`.
    async fn create(&self, key: &Key, when: Precondition) -> Result<Written, StoreError> {
        self.put(key, Bytes::new(), when).await
    }

    /// Changes the bytes from `offset` in place, growing the object where they reach past its end. Idempotent. Offset and
    /// length are multiples of [`Capabilities::write_align`].
    /// `durable` asks for [`Capabilities::durable_write`]. `NotFound` where there is no object. Answers with the volatile
    /// cache that took it, where the store tells.
    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError>;

    /// Sets the size, a multiple of [`Capabilities::write_align`]; new bytes read as zeros. Growing only, unless
    /// [`crate::Resize::Native`]. Answers as `write_at` does.
    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError>;

    /// Makes a range read as zeros and frees its space. Within the object's size, in multiples of
    /// [`Capabilities::write_align`]. Answers as `write_at` does.
    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError>;

    /// Makes every change of the object that was answered before survive the server's power loss, *unless the server lost
    /// its power since*: the caller compares the caches that `took` its changes since its last good flush with the answer
    /// ([`Flushed::misses`]). A store of several servers flushes as many as it takes to cover `took`.
    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError>;

    /// Removes the object. `NotFound` where there is none, `Conflict` where the precondition does not hold.
    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError>;

    /// Objects directly under the folder `folder` (`None`: the top), from `start` (a [`Page::next`]), at most about `limit`.
    /// Sub-folders are not told. A missing folder is an empty one.
    async fn list(&self, folder: Option<&Key>, start: Option<&str>, limit: usize)
    -> Result<Page, StoreError>;

    /// How full the store is; `None` where it does not tell.
    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        Ok(None)
    }

    /// Takes the store's own lock on an object ([`Capabilities::lock`]) for `owner`, text for people. While it is held, a change
    /// of the object without its token fails with `Busy`, and one with a token of an earlier lock with `Fenced`. While nobody holds
    /// it, one with a token of an earlier lock fails with `Fenced`, or with `Unavailable` where it may just have run out: then
    /// the lock must be taken again, by whoever may. `Busy` where somebody holds it; with `steal` that holder's lock is broken.
    /// `NotFound` where there is no object.
    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        let _ = (owner, steal);
        Err(self.no_locks("lock", key))
    }

    /// Prolongs a lock by its lifetime. `Fenced` where it is no longer held.
    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let _ = token;
        Err(self.no_locks("refresh the lock of", key))
    }

    /// Lets a lock go; that it is no longer held is as good.
    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let _ = token;
        Err(self.no_locks("unlock", key))
    }

    /// From now on changes of the object through this client carry this token, or none. Sends no request.
    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        let _ = (key, token);
    }

    /// The error of a store without locks.
    #[doc(hidden)]
    fn no_locks(&self, operation: &'static str, key: &Key) -> StoreError {
        StoreError::new(ErrorKind::Unsupported, operation, key, "this store has no locks").at(self.location())
    }
}
