//! A store whose client dies: from one request on, counted from when it is armed, nothing is answered any more.

use async_trait::async_trait;
use bytes::Bytes;
use restblk_store::{
    Capabilities, Fetched, Flushed, Instance, Key, Lock, LockToken, MemoryStore, ObjectInfo, Page,
    Precondition, Store, StoreError, Written,
};
use restblk_types::Extent;
use std::sync::Mutex;

/// See the module.
#[derive(Debug)]
pub(crate) struct Cut {
    inner: MemoryStore,
    /// Requests that are still answered, and whether the one after them is carried out.
    left: Mutex<Option<(u64, bool)>>,
}

impl Cut {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            left: Mutex::new(None),
        }
    }

    /// So many requests are answered from now on; the next one is the last, carried out or not.
    pub(crate) fn arm(&self, after: u64, is_done: bool) {
        *self.left.lock().unwrap() = Some((after, is_done));
    }

    /// Whether the last request was reached.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(*self.left.lock().unwrap(), Some((0, false)))
    }

    /// Returns where the request is answered; what is done of the last one is done first.
    async fn pass<T>(&self, work: impl Future<Output = T>) -> T {
        let is_done = {
            let mut left = self.left.lock().unwrap();
            match &mut *left {
                None => None,
                Some((0, is_done)) => Some(std::mem::take(is_done)),
                Some((count, _)) => {
                    *count -= 1;
                    None
                }
            }
        };
        match is_done {
            None => return work.await,
            Some(true) => drop(work.await),
            Some(false) => {}
        }
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
