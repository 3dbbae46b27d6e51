//! The client of one server in one dialect: what all its requests share, and the table of operations.

use super::capabilities::expected;
use super::dialect::Dialect;
use super::target;
use crate::folders::Folders;
use crate::http::{Answer, Call, Greeter, HttpClient, StatsSnapshot, status};
use crate::presented::Presented;
use crate::{
    Capabilities, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo, Page, Precondition, Resize,
    Store, StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use restblk_types::{ErrorKind, Extent};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

/// Longest body of an answer whose body is of no interest.
const ANSWER_LEN_MAX: u64 = 64 << 10;
const VERSION: HeaderName = HeaderName::from_static("x-cdmi-specification-version");

/// A CDMI server, spoken to in one dialect.
#[derive(Debug)]
pub struct CdmiStore {
    pub(super) http: Arc<HttpClient>,
    pub(super) dialect: Dialect,
    pub(super) can: Capabilities,
    location: String,
    /// Object IDs by name, for the dialect that writes to IDs.
    pub(super) ids: Mutex<HashMap<Key, String>>,
    /// The URI below which objects are reached by their IDs, once it was found.
    pub(super) id_root: OnceLock<String>,
    pub(super) containers: Folders,
    pub(super) presented: Presented,
}

impl CdmiStore {
    /// A server that was proved before to do this much in this dialect. Sends no request.
    #[must_use]
    pub fn pinned(http: Arc<HttpClient>, dialect: Dialect, can: Capabilities) -> Self {
        let location = http.endpoint().to_string();
        Self {
            http,
            dialect,
            can,
            location,
            ids: Mutex::default(),
            id_root: OnceLock::new(),
            containers: Folders::default(),
            presented: Presented::default(),
        }
    }

    /// A server in this dialect, with what it advertises; nothing is proved yet.
    pub async fn connect(http: Arc<HttpClient>, dialect: Dialect) -> Result<Self, StoreError> {
        let mut store = Self::pinned(http, dialect, expected(dialect));
        store.can = store.advertised().await?;
        Ok(store)
    }

    /// The dialect.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The HTTP client, for its figures.
    #[must_use]
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// The target of an object. A name that CDMI keeps for itself is refused.
    pub(super) fn target(&self, operation: &'static str, key: &Key) -> Result<String, StoreError> {
        match target::reserved(key) {
            Some(component) => {
                let reason = format!("\"{component}\" has a meaning of its own in CDMI: take another name");
                Err(self.error(ErrorKind::Invalid, operation, key, reason))
            }
            None => Ok(target::object(self.http.endpoint().prefix(), key)),
        }
    }

    pub(super) fn call(
        &self,
        method: Method,
        target: String,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Call {
        Call {
            method,
            target,
            headers,
            body: Bytes::new(),
            answer_len_max: ANSWER_LEN_MAX,
        }
    }

    /// The header with the version, which CDMI requests of 1.x carry and those of 2.0 must not.
    pub(super) fn version(&self) -> Option<(HeaderName, HeaderValue)> {
        // 1.0.1 is what the oldest clients send and every server of 1.x knows.
        self.dialect
            .is_1x()
            .then(|| (VERSION, HeaderValue::from_static("1.0.1")))
    }

    /// Sends the call. The error names server, operation and object.
    pub(super) async fn ask(
        &self,
        call: Call,
        operation: &'static str,
        object: &(dyn fmt::Display + Sync),
        changes: bool,
    ) -> Result<Answer, StoreError> {
        let answer = self.http.send(call).await;
        answer.map_err(|error| {
            error
                .into_store_error(operation, object, changes)
                .at(&self.location)
        })
    }

    /// [`status::refuse`], naming the server.
    pub(super) fn refused(
        &self,
        answer: Answer,
        operation: &'static str,
        object: &dyn fmt::Display,
        changes: bool,
    ) -> StoreError {
        status::refuse(answer, operation, object, changes).at(&self.location)
    }

    pub(super) fn error(
        &self,
        kind: ErrorKind,
        operation: &'static str,
        object: &dyn fmt::Display,
        reason: impl Into<String>,
    ) -> StoreError {
        StoreError::new(kind, operation, object, reason).at(&self.location)
    }

    pub(super) fn unsupported(&self, operation: &'static str, key: &Key, what: &str) -> StoreError {
        let reason = format!("this server has no way to {what} in the dialect {}", self.dialect);
        self.error(ErrorKind::Unsupported, operation, key, reason)
    }
}

#[async_trait]
impl Store for CdmiStore {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.can.clone()
    }

    fn network(&self) -> Option<StatsSnapshot> {
        Some(self.http.stats().snapshot())
    }

    fn set_greeter(&self, greeter: Arc<dyn Greeter>) {
        self.http.set_greeter(greeter);
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        match range {
            Some(range) => self.get_range(key, range).await,
            None => self.get_whole(key).await,
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.inspect(key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        if self.dialect == Dialect::Srb {
            return self.put_in_steps(key, body, &when).await;
        }
        self.put_whole(key, body, &when).await
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        self.write_range(key, offset, data, durable).await
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        match self.can.resize {
            Resize::Native if self.dialect == Dialect::Srb => self.truncate(key, size).await,
            Resize::Native => self.extend("resize", key, &format!("restblk_size={size}")).await,
            Resize::ByWriting => self.grow_by_writing(key, size).await,
            Resize::None => Err(self.unsupported("resize", key, "set a size")),
        }
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        if !self.can.punch {
            return Err(self.unsupported("punch", key, "free a range"));
        }
        if range.is_empty() {
            return Ok(None);
        }
        self.extend(
            "punch",
            key,
            &format!("restblk_punch={}-{}", range.offset(), range.end() - 1),
        )
        .await
    }

    async fn flush(&self, key: &Key, _took: &[Instance]) -> Result<Flushed, StoreError> {
        self.synchronize(key).await
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.remove(key, &when).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.children(folder, start, limit).await
    }

    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        self.take_lock(key, owner, steal).await
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.look_after_lock(key, token).await
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.release_lock(key, token).await
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.presented.set(key, token);
    }
}
