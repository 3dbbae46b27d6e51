//! A store for tests: memory whose ranged requests wait at a gate and are written down.

use async_trait::async_trait;
use bytes::Bytes;
use restblk_store::{
    Capabilities, Fetched, Flushed, Instance, Key, MemoryStore, ObjectInfo, Page, Precondition, Store,
    StoreError, Written,
};
use restblk_types::{ErrorKind, Extent};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) inner: MemoryStore,
    gate: Semaphore,
    reads: Mutex<Vec<(u64, u64)>>,
    writes: Mutex<Vec<(u64, u64)>>,
    in_flight: AtomicUsize,
    most: AtomicUsize,
    pub(crate) flushes: AtomicUsize,
    /// The cache that takes changes and is flushed, where it is not that of `inner`.
    pub(crate) instance: Mutex<Option<Instance>>,
    /// Every flush fails for good.
    pub(crate) broken: AtomicBool,
    /// No flush reaches the store.
    pub(crate) away: AtomicBool,
}

impl Gated {
    pub(crate) fn new(inner: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            inner,
            gate: Semaphore::new(0),
            reads: Mutex::default(),
            writes: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
            instance: Mutex::default(),
            broken: AtomicBool::new(false),
            away: AtomicBool::new(false),
        })
    }

    fn by(&self, inner: Option<Instance>) -> Option<Instance> {
        self.instance.lock().unwrap().or(inner)
    }

    /// Lets everything through, for ever.
    pub(crate) fn open(&self) {
        self.gate.close();
    }

    /// Waits until so many requests stand at the gate.
    pub(crate) async fn arrivals(&self, count: usize) {
        while self.in_flight.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn reads(&self) -> Vec<(u64, u64)> {
        self.reads.lock().unwrap().clone()
    }

    pub(crate) fn writes(&self) -> Vec<(u64, u64)> {
        self.writes.lock().unwrap().clone()
    }

    pub(crate) fn in_flight_most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    async fn pass(&self) -> Passing<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let passing = Passing(&self.in_flight);
        let _ = self.gate.acquire().await;
        tokio::task::yield_now().await;
        passing
    }
}

struct Passing<'a>(&'a AtomicUsize);

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Gated {
    fn location(&self) -> String {
        "gated".into()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        let Some(range) = range else {
            return self.inner.get(key, None).await;
        };
        self.reads.lock().unwrap().push((range.offset(), range.len()));
        let _passing = self.pass().await;
        self.inner.get(key, Some(range)).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.inner.head(key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let mut written = self.inner.put(key, body, when).await?;
        written.instance = self.by(written.instance);
        Ok(written)
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        self.writes.lock().unwrap().push((offset, data.len() as u64));
        let _passing = self.pass().await;
        self.inner
            .write_at(key, offset, data, durable)
            .await
            .map(|by| self.by(by))
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.inner.set_size(key, size).await.map(|by| self.by(by))
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        self.inner.punch(key, range).await.map(|by| self.by(by))
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                ErrorKind::NoSpace,
                "flush",
                key,
                "the disk under the store is full",
            ));
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                ErrorKind::Unavailable,
                "flush",
                key,
                "nobody answers",
            ));
        }
        let flushed = self.inner.flush(key, took).await?;
        Ok(Flushed::by(self.by(flushed.instances.first().copied())))
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.inner.delete(key, when).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.inner.list(folder, start, limit).await
    }
}
