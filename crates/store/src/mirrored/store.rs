//! The operations of [`Mirrored`]: each says how it is tried again.

use super::mirror::Mirror;
use super::retry::{Effect, Outcome, Request};
use super::set::Mirrored;
use crate::{
    Capabilities, Durability, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo, Page,
    Precondition, Store, StoreError, Usage, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::{ErrorKind, Extent};
use std::sync::Arc;

#[async_trait]
impl Store for Mirrored {
    fn location(&self) -> String {
        self.set
            .current()
            .iter()
            .map(|mirror| mirror.store.location())
            .collect::<Vec<_>>()
            .join(",")
    }

    fn capabilities(&self) -> Capabilities {
        self.set.capabilities.clone()
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        // What a whole object has is not known; those that are read whole are small.
        let hedge = Some(range.map_or(0, Extent::len));
        let request = Request {
            hedge,
            ..Request::on("read", key, Effect::Reads, range)
        };
        self.run(request, |store, _| store.get(key, range)).await.result
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        let request = Request {
            hedge: Some(0),
            ..Request::on("inspect", key, Effect::Reads, None)
        };
        self.run(request, |store, _| store.head(key)).await.result
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let request = Request::on("put", key, Effect::Changes, None);
        let put = self.run(request, |store, _| store.put(key, body.clone(), when.clone()));
        match put.await {
            Outcome {
                result: Err(error),
                ambiguous: true,
                ..
            } if error.kind() == ErrorKind::Conflict => self.was_it_mine(key, &body, error).await,
            outcome => {
                let written = outcome.result?;
                self.took(key, outcome.by, written.instance);
                Ok(written)
            }
        }
    }

    /// After a lost answer a conflict stays one: empty objects cannot be told apart.
    async fn create(&self, key: &Key, when: Precondition) -> Result<Written, StoreError> {
        let request = Request::on("create", key, Effect::Changes, None);
        let outcome = self
            .run(request, |store, _| store.create(key, when.clone()))
            .await;
        let written = outcome.result?;
        self.took(key, outcome.by, written.instance);
        Ok(written)
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        let touched = Extent::new(offset, data.len() as u64);
        let request = Request::on("write", key, Effect::Changes, touched);
        let outcome = self
            .run(request, |store, _| {
                store.write_at(key, offset, data.clone(), durable)
            })
            .await;
        let instance = outcome.result?;
        if !durable {
            self.took(key, outcome.by, instance);
        }
        Ok(instance)
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        let request = Request::on("resize", key, Effect::Changes, None);
        let outcome = self.run(request, |store, _| store.set_size(key, size)).await;
        let instance = outcome.result?;
        self.took(key, outcome.by, instance);
        Ok(instance)
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        let request = Request::on("punch", key, Effect::Changes, Some(range));
        let outcome = self.run(request, |store, _| store.punch(key, range)).await;
        let instance = outcome.result?;
        self.took(key, outcome.by, instance);
        Ok(instance)
    }

    async fn flush(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        self.flush_all(key, took).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        let request = Request::on("delete", key, Effect::Changes, None);
        let delete = self.run(request, |store, _| store.delete(key, when.clone()));
        let deleted = match delete.await {
            // The try whose answer was lost did it.
            Outcome {
                result: Err(error),
                ambiguous: true,
                ..
            } if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.result,
        };
        if deleted.is_ok() {
            self.set.dirty.forget(key);
        }
        deleted
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
        self.run(request, |store, _| store.list(folder, start, limit))
            .await
            .result
    }

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        let request = Request::new("measure", &"the store", Effect::Reads);
        self.run(request, |store, _| store.usage()).await.result
    }

    /// A lock whose answer was lost is held by nobody who knows its token: it is then broken and taken again.
    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        let lost = std::sync::atomic::AtomicBool::new(false);
        let request = Request::on("lock", key, Effect::Changes, None);
        let lock = self.run(request, |store, _| {
            let lost = &lost;
            Box::pin(async move {
                let steal = steal || lost.load(std::sync::atomic::Ordering::Relaxed);
                let taken = store.lock(key, owner, steal).await;
                if taken.as_ref().is_err_and(StoreError::is_ambiguous) {
                    lost.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                taken
            })
        });
        lock.await.result
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let request = Request::on("refresh the lock of", key, Effect::Flushes, None);
        self.run(request, |store, _| store.refresh_lock(key, token))
            .await
            .result
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let request = Request::on("unlock", key, Effect::Changes, None);
        self.run(request, |store, _| store.unlock(key, token))
            .await
            .result
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.set.present(key, token);
    }
}

impl Mirrored {
    /// A mirror has acknowledged a change that is not durable yet, perhaps with the name of the cache that has it.
    fn took(&self, key: &Key, by: Option<Arc<Mirror>>, cache: Option<Instance>) {
        if let Some(mirror) = by.filter(|_| self.set.capabilities.durability == Durability::OnFlush) {
            self.set.dirty.changed(key, mirror.id, cache.is_some());
        }
    }

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
