//! Two servers that copy to each other what they were told, later: mirrors that lag, and that decide races each by itself.

use crate::{
    Capabilities, Fetched, Flushed, Instance, Key, MemoryStore, ObjectInfo, Page, Precondition, Store,
    StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use restblk_types::Extent;
use std::sync::Arc;
use std::time::Duration;

/// One of the two.
#[derive(Debug)]
pub struct Replicated {
    own: Arc<MemoryStore>,
    others: Arc<MemoryStore>,
    lag: Duration,
}

impl Replicated {
    /// Two servers, each of which shows what the other was told after `lag`.
    #[must_use]
    pub fn pair(lag: Duration) -> [Arc<dyn Store>; 2] {
        let [a, b] = [(); 2].map(|()| Arc::new(MemoryStore::new()));
        let one = |own: &Arc<MemoryStore>, others: &Arc<MemoryStore>| -> Arc<dyn Store> {
            Arc::new(Self {
                own: Arc::clone(own),
                others: Arc::clone(others),
                lag,
            })
        };
        [one(&a, &b), one(&b, &a)]
    }

    /// Does a change that was done here there, later.
    fn copy(
        &self,
        change: impl FnOnce(Arc<MemoryStore>) -> BoxFuture<'static, Result<(), StoreError>> + Send + 'static,
    ) {
        let (others, lag) = (Arc::clone(&self.others), self.lag);
        tokio::spawn(async move {
            tokio::time::sleep(lag).await;
            drop(change(others).await);
        });
    }
}

#[async_trait]
impl Store for Replicated {
    fn location(&self) -> String {
        "replicated".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            lock: false,
            ..self.own.capabilities()
        }
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        self.own.get(key, range).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.own.head(key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let written = self.own.put(key, body.clone(), when).await?;
        let key = key.clone();
        self.copy(|others| {
            Box::pin(async move { others.put(&key, body, Precondition::Always).await.map(drop) })
        });
        Ok(written)
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        let by = self.own.write_at(key, offset, data.clone(), durable).await?;
        let key = key.clone();
        self.copy(move |others| {
            Box::pin(async move { others.write_at(&key, offset, data, durable).await.map(drop) })
        });
        Ok(by)
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        let by = self.own.set_size(key, size).await?;
        let key = key.clone();
        self.copy(move |others| Box::pin(async move { others.set_size(&key, size).await.map(drop) }));
        Ok(by)
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        let by = self.own.punch(key, range).await?;
        let key = key.clone();
        self.copy(move |others| Box::pin(async move { others.punch(&key, range).await.map(drop) }));
        Ok(by)
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        self.own.flush(key, took).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.own.delete(key, when).await?;
        let key = key.clone();
        self.copy(|others| Box::pin(async move { others.delete(&key, Precondition::Always).await }));
        Ok(())
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.own.list(folder, start, limit).await
    }
}
