//! The client of one server in one dialect: what all its requests share, and the table of operations.

use super::dialect::{Create, Dialect, Ranged};
use crate::folders::Folders;
use crate::http::{Answer, Call, Greeter, HttpClient, StatsSnapshot, quote, status};
use crate::presented::Presented;
use crate::{
    Capabilities, Durability, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo, Page,
    Precondition, Resize, Store, StoreConfig, StoreError, Usage, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use restblk_types::{ErrorKind, Extent};
use std::fmt;
use std::sync::Arc;

/// The names of all settings: `token_file`, whose first line is sent as a Bearer token.
pub const SETTINGS: &[&str] = &["token_file"];

/// Longest body of an answer whose body is of no interest.
const ANSWER_LEN_MAX: u64 = 64 << 10;
/// Above this a range does not get faster, and servers that limit bodies (nginx: 1 MiB unless told otherwise) refuse it.
const RANGE_LEN_MAX: u64 = 1 << 20;
/// Whole objects are metadata and segments, held in memory.
const PUT_LEN_MAX: u64 = 64 << 20;

/// A server of WebDAV or plain HTTP.
#[derive(Debug)]
pub struct WebdavStore {
    pub(super) http: HttpClient,
    pub(super) dialect: Dialect,
    pub(super) can: Capabilities,
    location: String,
    bearer: Option<HeaderValue>,
    pub(super) folders: Folders,
    pub(super) presented: Presented,
}

/// What such a server may be able to do; all of it is still to be proved.
pub(super) fn expected(dialect: Dialect) -> Capabilities {
    let in_place = dialect.ranged != Ranged::Whole;
    Capabilities {
        exclusive_create: true,
        // A MOVE cannot be conditional on the state that it replaces; puts and deletes can all the same.
        compare_and_set: true,
        // Servers write a body aside and rename it, or do not: nobody promises it.
        atomic_put: false,
        write_at: in_place,
        write_align: 1,
        resize: if in_place { Resize::ByWriting } else { Resize::None },
        punch: false,
        durability: Durability::Unstated,
        durable_write: false,
        lock: in_place,
        list: true,
        range_len_max: RANGE_LEN_MAX,
        put_len_max: PUT_LEN_MAX,
    }
}

/// A method of WebDAV.
pub(super) fn method(name: &'static str) -> Method {
    // A token of letters is always one.
    Method::from_bytes(name.as_bytes()).unwrap_or(Method::OPTIONS)
}

fn bearer(config: &StoreConfig) -> Result<Option<HeaderValue>, StoreError> {
    let Some(file) = config.settings.get("token_file") else {
        return Ok(None);
    };
    let wrong = |reason: String| {
        StoreError::new(
            ErrorKind::Invalid,
            "read",
            format!("the token file {file}"),
            reason,
        )
    };
    if config.user.is_some() {
        return Err(wrong("`user` is given too: keep one of the two".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let token = text.lines().next().unwrap_or_default().trim();
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| wrong("its first line cannot be sent as a token".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl WebdavStore {
    /// A server that was proved before to do this much in this dialect. Reads the configured files; sends no request.
    pub fn pinned(
        config: &StoreConfig,
        url: &str,
        dialect: Dialect,
        can: Capabilities,
    ) -> Result<Self, StoreError> {
        let http = HttpClient::new(config, url)?;
        Ok(Self {
            location: http.endpoint().to_string(),
            http,
            dialect,
            can,
            bearer: bearer(config)?,
            folders: Folders::default(),
            presented: Presented::default(),
        })
    }

    /// The object's path.
    pub(super) fn target(&self, key: &Key) -> String {
        let prefix = self.http.endpoint().prefix();
        let mut target = String::with_capacity(prefix.len() + key.as_str().len() + 16);
        target.push_str(prefix);
        for (at, component) in key.components().enumerate() {
            if at != 0 {
                target.push('/');
            }
            target.extend(quote(component));
        }
        target
    }

    pub(super) fn call(
        &self,
        method: Method,
        target: String,
        mut headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Call {
        if let Some(bearer) = &self.bearer {
            headers.push((AUTHORIZATION, bearer.clone()));
        }
        Call {
            method,
            target,
            headers,
            body: Bytes::new(),
            answer_len_max: ANSWER_LEN_MAX,
        }
    }

    /// Sends the call. The error names server, operation and object.
    pub(super) async fn ask(
        &self,
        call: Call,
        operation: &'static str,
        object: &(dyn fmt::Display + Sync),
        changes: bool,
    ) -> Result<Answer, StoreError> {
        self.http.send(call).await.map_err(|error| {
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

    pub(super) fn unsupported(
        &self,
        operation: &'static str,
        object: &dyn fmt::Display,
        what: &str,
    ) -> StoreError {
        let reason = format!("this server was not seen to {what}");
        self.error(ErrorKind::Unsupported, operation, object, reason)
    }
}

#[async_trait]
impl Store for WebdavStore {
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
        self.inspect("inspect", key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        if when == Precondition::Absent && self.can.exclusive_create && self.dialect.create == Create::Move {
            return self.create_by_move(key, body).await;
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
        if durable {
            return Err(self.unsupported("write", key, "write durably"));
        }
        self.write_range(key, offset, data).await.map(|()| None)
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.grow_by_writing(key, size).await.map(|()| None)
    }

    async fn punch(&self, key: &Key, _range: Extent) -> Result<Option<Instance>, StoreError> {
        Err(self.unsupported("punch", key, "free a range"))
    }

    /// Nothing is promised of writes; the object must be there all the same.
    async fn flush(&self, key: &Key, _took: &[Instance]) -> Result<Flushed, StoreError> {
        self.inspect("flush", key).await.map(|_| Flushed::default())
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.remove(key, &when).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        _start: Option<&str>,
        _limit: usize,
    ) -> Result<Page, StoreError> {
        self.children(folder).await
    }

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        self.quota().await
    }

    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        self.take_lock(key, owner, steal).await
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.prolong_lock(key, token).await
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.release_lock(key, token).await
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.presented.set(key, token);
    }
}
