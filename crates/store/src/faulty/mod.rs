//! A store that fails on purpose, for tests: by chance from a seed, or by script.
//!
//! It wraps another store and changes what its caller sees, or when and how often the work is done, as networks and
//! servers do. It never invents data but for [`Fault::BitFlip`]. A late landing is done by a task of the runtime.

mod draw;
mod moved;
mod replicated;

use crate::http::StatsSnapshot;
use crate::{
    Capabilities, ETag, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo, Page, Payload,
    Precondition, Store, StoreError, Usage, Written,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use draw::Draw;
pub use draw::{Fault, Operation, Rate};
use futures_util::future::BoxFuture;
pub use moved::Moved;
pub use replicated::Replicated;
use restblk_types::{ErrorKind, Extent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A store with faults. See [`Fault`].
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    draw: Draw,
    down: AtomicBool,
}

type Work<T> = BoxFuture<'static, Result<T, StoreError>>;

impl Faulty {
    /// The store with these faults by chance; the same seed and order of calls give the same faults.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, seed: u64, rates: Vec<Rate>) -> Self {
        Self {
            inner,
            draw: Draw::new(seed, rates),
            down: AtomicBool::new(false),
        }
    }

    /// The store without faults by chance, for scripts.
    #[must_use]
    pub fn scripted(inner: Arc<dyn Store>) -> Self {
        Self::new(inner, 0, Vec::new())
    }

    /// The next call of this operation (`None`: of any) has this fault. Scripts are worked off in order, before chance.
    pub fn next(&self, operation: Option<Operation>, fault: Fault) {
        self.draw.next(operation, fault);
    }

    /// So many calls are done from now on; after them none is done or answered any more, as if the client had died. That a call was done and not
    /// answered is, to whoever comes next, that the one after it was not done.
    pub fn die_after(&self, calls: u64) {
        self.draw.die_after(calls);
    }

    /// Whether there was a call after those.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.draw.is_dead()
    }

    /// Forgets what of the script was not worked off.
    pub fn forget_script(&self) {
        self.draw.forget();
    }

    /// Turns the faults by chance off and on.
    pub fn set_faults(&self, on: bool) {
        self.draw.set_enabled(on);
    }

    /// While down every call fails with `Unavailable`, and nothing is done.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Calls that had a fault, since it was made.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.draw.drawn()
    }

    /// Calls, since it was made.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.draw.calls()
    }

    fn error(&self, kind: ErrorKind, operation: Operation, object: &str, reason: &str) -> StoreError {
        StoreError::new(kind, operation.as_str(), object, reason).at(self.inner.location())
    }

    /// Does the work with the fault. `changes`: a failure may be ambiguous.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        object: &str,
        fault: Option<Fault>,
        work: impl Fn(Arc<dyn Store>) -> Work<T> + Send + Sync,
    ) -> Result<T, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(self.error(ErrorKind::Unavailable, operation, object, "injected: it is down"));
        }
        let work = || work(Arc::clone(&self.inner));
        match fault {
            None | Some(Fault::BitFlip) => work().await,
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                work().await
            }
            Some(Fault::Duplicate) => {
                let first = work().await;
                drop(work().await);
                first
            }
            Some(Fault::LostAnswer | Fault::ShortBody) => {
                drop(work().await);
                let lost = self.error(
                    ErrorKind::Retry,
                    operation,
                    object,
                    "injected: the answer was lost",
                );
                Err(if operation.changes() {
                    lost.ambiguous()
                } else {
                    lost
                })
            }
            Some(Fault::LateLanding(after)) => {
                let work = work();
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    drop(work.await);
                });
                let late = self.error(
                    ErrorKind::Unavailable,
                    operation,
                    object,
                    "injected: no answer in time",
                );
                Err(if operation.changes() {
                    late.may_land_later()
                } else {
                    late
                })
            }
            Some(Fault::Refuse(kind)) => Err(self.error(kind, operation, object, "injected: refused")),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Silence(time)) => {
                tokio::time::sleep(time).await;
                let silent = self.error(
                    ErrorKind::Unavailable,
                    operation,
                    object,
                    "injected: no answer in time",
                );
                Err(if operation.changes() {
                    silent.may_land_later()
                } else {
                    silent
                })
            }
            Some(Fault::Busy(pause)) => {
                let busy = self.error(ErrorKind::Unavailable, operation, object, "injected: busy");
                Err(busy.with_retry_after(Some(pause)))
            }
        }
    }

    /// The bytes with one bit turned.
    fn flip(&self, bytes: &[u8]) -> Bytes {
        let mut bytes = BytesMut::from(bytes);
        if !bytes.is_empty() {
            let at = self.draw.below(bytes.len());
            bytes[at] ^= 1 << self.draw.below(8);
        }
        bytes.freeze()
    }

    /// What of a body arrives under this fault.
    fn arriving(&self, body: Bytes, fault: Option<&Fault>) -> Bytes {
        match fault {
            Some(Fault::BitFlip) => self.flip(&body),
            Some(Fault::ShortBody) => body.slice(..body.len() / 2),
            _ => body,
        }
    }
}

#[async_trait]
impl Store for Faulty {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn network(&self) -> Option<StatsSnapshot> {
        self.inner.network()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        let fault = self.draw.draw(Operation::Get);
        if fault == Some(Fault::ShortBody) {
            let reason = "injected: the body was cut short";
            return Err(self.error(ErrorKind::Corrupt, Operation::Get, key.as_str(), reason));
        }
        let flips = fault == Some(Fault::BitFlip);
        let owned = key.clone();
        let work = move |store: Arc<dyn Store>| -> Work<Fetched> {
            let key = owned.clone();
            Box::pin(async move { store.get(&key, range).await })
        };
        let mut found = self.run(Operation::Get, key.as_str(), fault, work).await?;
        if flips {
            found.payload = Payload::from(self.flip(&found.payload.into_bytes()));
        }
        Ok(found)
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        let fault = self.draw.draw(Operation::Head);
        let owned = key.clone();
        let work = move |store: Arc<dyn Store>| -> Work<ObjectInfo> {
            let key = owned.clone();
            Box::pin(async move { store.head(&key).await })
        };
        self.run(Operation::Head, key.as_str(), fault, work).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let fault = self.draw.draw(Operation::Put);
        if fault == Some(Fault::ShortBody) {
            // A put is whole or not at all.
            let cut = self.error(
                ErrorKind::Retry,
                Operation::Put,
                key.as_str(),
                "injected: the body was cut short",
            );
            return Err(cut.ambiguous());
        }
        let (owned, body) = (key.clone(), self.arriving(body, fault.as_ref()));
        let work = move |store: Arc<dyn Store>| -> Work<Written> {
            let (key, body, when) = (owned.clone(), body.clone(), when.clone());
            Box::pin(async move { store.put(&key, body, when).await })
        };
        self.run(Operation::Put, key.as_str(), fault, work).await
    }

    async fn create(&self, key: &Key, when: Precondition) -> Result<Written, StoreError> {
        let fault = self.draw.draw(Operation::Create);
        let owned = key.clone();
        let work = move |store: Arc<dyn Store>| -> Work<Written> {
            let (key, when) = (owned.clone(), when.clone());
            Box::pin(async move { store.create(&key, when).await })
        };
        self.run(Operation::Create, key.as_str(), fault, work).await
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        let fault = self.draw.draw(Operation::WriteAt);
        let (owned, data) = (key.clone(), self.arriving(data, fault.as_ref()));
        let work = move |store: Arc<dyn Store>| -> Work<Option<Instance>> {
            let (key, data) = (owned.clone(), data.clone());
            Box::pin(async move { store.write_at(&key, offset, data, durable).await })
        };
        self.run(Operation::WriteAt, key.as_str(), fault, work).await
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        let fault = self.draw.draw(Operation::SetSize);
        let owned = key.clone();
        let work = move |store: Arc<dyn Store>| -> Work<Option<Instance>> {
            let key = owned.clone();
            Box::pin(async move { store.set_size(&key, size).await })
        };
        self.run(Operation::SetSize, key.as_str(), fault, work).await
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        let fault = self.draw.draw(Operation::Punch);
        let owned = key.clone();
        let work = move |store: Arc<dyn Store>| -> Work<Option<Instance>> {
            let key = owned.clone();
            Box::pin(async move { store.punch(&key, range).await })
        };
        self.run(Operation::Punch, key.as_str(), fault, work).await
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        let fault = self.draw.draw(Operation::Flush);
        let (owned, took) = (key.clone(), took.to_vec());
        let work = move |store: Arc<dyn Store>| -> Work<Flushed> {
            let (key, took) = (owned.clone(), took.clone());
            Box::pin(async move { store.flush(&key, &took).await })
        };
        self.run(Operation::Flush, key.as_str(), fault, work).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        let fault = self.draw.draw(Operation::Delete);
        let owned = key.clone();
        let work = move |store: Arc<dyn Store>| -> Work<()> {
            let (key, when) = (owned.clone(), when.clone());
            Box::pin(async move { store.delete(&key, when).await })
        };
        self.run(Operation::Delete, key.as_str(), fault, work).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let fault = self.draw.draw(Operation::List);
        let (object, start) = (folder.cloned(), start.map(str::to_owned));
        let work = move |store: Arc<dyn Store>| -> Work<Page> {
            let (folder, start) = (object.clone(), start.clone());
            Box::pin(async move { store.list(folder.as_ref(), start.as_deref(), limit).await })
        };
        self.run(Operation::List, folder.map_or("/", Key::as_str), fault, work)
            .await
    }

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        let fault = self.draw.draw(Operation::Usage);
        let work = move |store: Arc<dyn Store>| -> Work<Option<Usage>> {
            Box::pin(async move { store.usage().await })
        };
        self.run(Operation::Usage, "the store", fault, work).await
    }

    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        let fault = self.draw.draw(Operation::Lock);
        let (owned, owner) = (key.clone(), owner.to_owned());
        let work = move |store: Arc<dyn Store>| -> Work<Lock> {
            let (key, owner) = (owned.clone(), owner.clone());
            Box::pin(async move { store.lock(&key, &owner, steal).await })
        };
        self.run(Operation::Lock, key.as_str(), fault, work).await
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let fault = self.draw.draw(Operation::RefreshLock);
        let (owned, token) = (key.clone(), token.clone());
        let work = move |store: Arc<dyn Store>| -> Work<()> {
            let (key, token) = (owned.clone(), token.clone());
            Box::pin(async move { store.refresh_lock(&key, &token).await })
        };
        self.run(Operation::RefreshLock, key.as_str(), fault, work).await
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let fault = self.draw.draw(Operation::Unlock);
        let (owned, token) = (key.clone(), token.clone());
        let work = move |store: Arc<dyn Store>| -> Work<()> {
            let (key, token) = (owned.clone(), token.clone());
            Box::pin(async move { store.unlock(&key, &token).await })
        };
        self.run(Operation::Unlock, key.as_str(), fault, work).await
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.inner.present_lock(key, token);
    }
}

/// An ETag that no store gives.
#[must_use]
pub fn foreign_etag() -> ETag {
    ETag("\"restblk-no-such-state\"".to_owned())
}
