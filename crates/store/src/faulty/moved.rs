//! A name behind which another server turns up without a new connection, as through a balancer.

use crate::{
    Capabilities, Fetched, Flushed, Instance, Key, MemoryStore, ObjectInfo, Page, Precondition, Store,
    StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::Extent;
use std::sync::{Arc, Mutex, PoisonError};

/// The name.
#[derive(Debug)]
pub struct Moved {
    now: Mutex<Arc<MemoryStore>>,
}

impl Moved {
    /// It leads to this server first.
    #[must_use]
    pub fn new(first: Arc<MemoryStore>) -> Self {
        Self {
            now: Mutex::new(first),
        }
    }

    /// It leads to another one from now on.
    pub fn to(&self, other: MemoryStore) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(other);
    }

    fn now(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for Moved {
    fn location(&self) -> String {
        "moved".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        self.now().capabilities()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        self.now().get(key, range).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.now().head(key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        self.now().put(key, body, when).await
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        self.now().write_at(key, offset, data, durable).await
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.now().set_size(key, size).await
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        self.now().punch(key, range).await
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        self.now().flush(key, took).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.now().delete(key, when).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.now().list(folder, start, limit).await
    }
}
