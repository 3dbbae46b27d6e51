//! The operations of [`Mirrored`]: each says how it is tried again.

use super::list::Mirrored;
use super::retry::{Effect, Outcome, Request};
use crate::{
    Capabilities, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo, Page, Precondition, Store,
    StoreError, Usage, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::{ErrorKind, Extent};

#[async_trait]
impl Store for Mirrored {
    fn location(&self) -> String {
        self.current()
            .iter()
            .map(|mirror| mirror.store.location())
            .collect::<Vec<_>>()
            .join(",")
    }

    fn capabilities(&self) -> Capabilities {
        self.common_capabilities()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        let request = Request::new("read", key, Effect::Reads);
        self.run(request, |store| async move { store.get(key, range).await })
            .await
            .result
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        let request = Request::new("inspect", key, Effect::Reads);
        self.run(request, |store| async move { store.head(key).await })
            .await
            .result
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let request = Request::new("put", key, Effect::Changes);
        let attempt = |store: std::sync::Arc<dyn Store>| {
            let (body, when) = (body.clone(), when.clone());
            async move { store.put(key, body, when).await }
        };
        match self.run(request, attempt).await {
            Outcome {
                result: Err(error),
                ambiguous: true,
            } if error.kind() == ErrorKind::Conflict => self.was_it_mine(key, &body, error).await,
            outcome => outcome.result,
        }
    }

    /// After a lost answer a conflict stays one: empty objects cannot be told apart.
    async fn create(&self, key: &Key, when: Precondition) -> Result<Written, StoreError> {
        let request = Request::new("create", key, Effect::Changes);
        let attempt = |store: std::sync::Arc<dyn Store>| {
            let when = when.clone();
            async move { store.create(key, when).await }
        };
        self.run(request, attempt).await.result
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        let attempt = |store: std::sync::Arc<dyn Store>| {
            let data = data.clone();
            async move { store.write_at(key, offset, data, durable).await }
        };
        self.run(Request::new("write", key, Effect::Changes), attempt)
            .await
            .result
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        let request = Request::new("resize", key, Effect::Changes);
        self.run(request, |store| async move { store.set_size(key, size).await })
            .await
            .result
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        let request = Request::new("punch", key, Effect::Changes);
        self.run(request, |store| async move { store.punch(key, range).await })
            .await
            .result
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        self.flush_all(key, took).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        let attempt = |store: std::sync::Arc<dyn Store>| {
            let when = when.clone();
            async move { store.delete(key, when).await }
        };
        match self
            .run(Request::new("delete", key, Effect::Changes), attempt)
            .await
        {
            // The try whose answer was lost did it.
            Outcome {
                result: Err(error),
                ambiguous: true,
            } if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.result,
        }
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let object: &(dyn std::fmt::Display + Sync) = match folder {
            Some(folder) => folder,
            None => &"/",
        };
        let request = Request::new("list", object, Effect::Reads);
        self.run(
            request,
            |store| async move { store.list(folder, start, limit).await },
        )
        .await
        .result
    }

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        let request = Request::new("measure", &"the store", Effect::Reads);
        self.run(request, |store| async move { store.usage().await })
            .await
            .result
    }

    /// A lock whose answer was lost is held by nobody who knows its token: it is then broken and taken again.
    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        let lost = std::sync::atomic::AtomicBool::new(false);
        let attempt = |store: std::sync::Arc<dyn Store>| {
            let lost = &lost;
            async move {
                let steal = steal || lost.load(std::sync::atomic::Ordering::Relaxed);
                let taken = store.lock(key, owner, steal).await;
                if taken.as_ref().is_err_and(StoreError::is_ambiguous) {
                    lost.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                taken
            }
        };
        self.run(Request::new("lock", key, Effect::Changes), attempt)
            .await
            .result
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let request = Request::new("refresh the lock of", key, Effect::Flushes);
        self.run(
            request,
            |store| async move { store.refresh_lock(key, token).await },
        )
        .await
        .result
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let request = Request::new("unlock", key, Effect::Changes);
        self.run(request, |store| async move { store.unlock(key, token).await })
            .await
            .result
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.present(key, token);
    }
}

impl Mirrored {
    /// After a conditional put whose answer was lost and a conflict: equal bytes are this put's own.
    async fn was_it_mine(
        &self,
        key: &Key,
        body: &Bytes,
        conflict: StoreError,
    ) -> Result<Written, StoreError> {
        if body.is_empty() {
            let reason = "an earlier try was not answered and may have been the one that did it";
            return Err(conflict.because(reason).ambiguous());
        }
        let found = match self.head(key).await {
            Ok(info) if info.size == body.len() as u64 => self.get(key, None).await,
            Ok(_) => return Err(conflict),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) if found.payload.len() == body.len() => {
                let (etag, bytes) = (found.etag, found.payload.into_bytes());
                if bytes == *body {
                    let instance = None;
                    Ok(Written { etag, instance })
                } else {
                    Err(conflict)
                }
            }
            Ok(_) => Err(conflict),
            // Somebody deleted it since, so it was there: whose it was cannot be known.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(conflict.because("and the object has gone since").ambiguous())
            }
            Err(error) => Err(error.ambiguous()),
        }
    }
}
