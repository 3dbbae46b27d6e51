//! A store whose client dies: after so many requests, counted from when it is armed, nothing is done or answered any more. That a request was done
//! and not answered is, to whoever comes next, that the one after it was not done.

use async_trait::async_trait;
use bytes::Bytes;
use restblk_store::{
    Capabilities, Fetched, Flushed, Instance, Key, Lock, LockToken, MemoryStore, ObjectInfo, Page,
    Precondition, Store, StoreError, Written,
};
use restblk_types::Extent;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) struct Cut {
    inner: MemoryStore,
    /// Requests that are still answered.
    left: Mutex<Option<u64>>,
    is_dead: AtomicBool,
}

impl Cut {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            left: Mutex::new(None),
            is_dead: AtomicBool::new(false),
        }
    }

    /// So many requests are answered from now on.
    pub(crate) fn arm(&self, after: u64) {
        *self.left.lock().unwrap() = Some(after);
    }

    /// Whether there was one more than that.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Returns where the request is answered.
    async fn pass<T>(&self, work: impl Future<Output = T>) -> T {
        let is_answered = match &mut *self.left.lock().unwrap() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        };
        if is_answered {
            return work.await;
        }
        self.is_dead.store(true, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[async_trait]
impl Store for Cut {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        self.pass(self.inner.get(key, range)).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.pass(self.inner.head(key)).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        self.pass(self.inner.put(key, body, when)).await
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        self.pass(self.inner.write_at(key, offset, data, durable)).await
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.pass(self.inner.set_size(key, size)).await
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        self.pass(self.inner.punch(key, range)).await
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        self.pass(self.inner.flush(key, took)).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.pass(self.inner.delete(key, when)).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.pass(self.inner.list(folder, start, limit)).await
    }

    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        self.pass(self.inner.lock(key, owner, steal)).await
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.pass(self.inner.refresh_lock(key, token)).await
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.pass(self.inner.unlock(key, token)).await
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.inner.present_lock(key, token);
    }
}
