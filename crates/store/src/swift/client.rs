//! The client of one container: what all its requests share, and the table of operations.

use super::auth::Tokens;
use super::place::Place;
use crate::http::{Answer, Call, Greeter, HttpClient, StatsSnapshot, status};
use crate::{
    Capabilities, Durability, Fetched, Flushed, Instance, Key, ObjectInfo, Page, Precondition, Resize, Store,
    StoreConfig, StoreError, Usage, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use restblk_types::{ErrorKind, Extent};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// Longest body of an answer whose body is of no interest.
const ANSWER_LEN_MAX: u64 = 64 << 10;
/// Above this a range does not get faster, and buffers get large.
const RANGE_LEN_MAX: u64 = 16 << 20;
/// Whole objects are metadata and segments, held in memory; Swift itself takes 5 GiB.
const PUT_LEN_MAX: u64 = 64 << 20;

/// A rename and an open are well within it.
const MISSING_FOR: Duration = Duration::from_millis(50);

/// A container of Swift, or a part of one below a prefix.
#[derive(Debug)]
pub struct SwiftStore {
    http: HttpClient,
    tokens: Tokens,
    pub(super) place: Place,
    pub(super) can: Capabilities,
    location: String,
}

/// What Swift may be able to do; all of it is still to be proved.
fn expected() -> Capabilities {
    Capabilities {
        exclusive_create: true,
        compare_and_set: true,
        // A reader never sees half of an object, but may be told that there is none while it is replaced.
        atomic_put: false,
        write_at: false,
        write_align: 1,
        resize: Resize::None,
        punch: false,
        // Object servers fsync before they answer.
        durability: Durability::OnWrite,
        durable_write: false,
        lock: false,
        list: true,
        range_len_max: RANGE_LEN_MAX,
        put_len_max: PUT_LEN_MAX,
    }
}

/// A request to Swift, which may be sent twice.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    pub(super) answer_len_max: u64,
}

impl Ask {
    pub(super) fn new(method: Method, target: String) -> Self {
        Self {
            method,
            target,
            headers: Vec::new(),
            body: Bytes::new(),
            answer_len_max: ANSWER_LEN_MAX,
        }
    }
}

impl SwiftStore {
    /// A container that is not proved yet. Reads the configured files; sends no request.
    pub fn new(config: &StoreConfig, url: &str) -> Result<Self, StoreError> {
        Self::pinned(config, url, expected())
    }

    /// A container that was proved before to do this much. Reads the configured files; sends no request.
    pub fn pinned(config: &StoreConfig, url: &str, can: Capabilities) -> Result<Self, StoreError> {
        let http = HttpClient::unauthenticated(config, url)?;
        let Some(place) = Place::read(http.endpoint().prefix()) else {
            let reason =
                "a container's URL is https://HOST/v1/ACCOUNT/CONTAINER, with a prefix after it if you like";
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "open",
                http.endpoint(),
                reason,
            ));
        };
        Ok(Self {
            location: http.endpoint().to_string(),
            http,
            tokens: Tokens::new(config)?,
            place,
            can,
        })
    }

    /// Sends the request with a token; once more with a new one where the server no longer knows it. The error names server,
    /// operation and object.
    pub(super) async fn ask(
        &self,
        ask: Ask,
        operation: &'static str,
        object: &(dyn fmt::Display + Sync),
        changes: bool,
    ) -> Result<Answer, StoreError> {
        let mut again = false;
        loop {
            let token = self.tokens.get().await.map_err(|error| {
                let reason = format!("failed to {error}");
                StoreError::new(error.kind(), operation, object, reason).at(&self.location)
            })?;
            let Ask {
                method,
                target,
                mut headers,
                body,
                answer_len_max,
            } = ask.clone();
            headers.push((AUTH_TOKEN, token.value.clone()));
            let call = Call {
                method,
                target,
                headers,
                body,
                answer_len_max,
            };
            let answer = self.http.send(call).await.map_err(|error| {
                error
                    .into_store_error(operation, object, changes)
                    .at(&self.location)
            })?;
            if answer.status != StatusCode::UNAUTHORIZED || again {
                return Ok(answer);
            }
            self.tokens.forget(&token);
            again = true;
        }
    }

    /// Sends a request that reads an object. That there is none is believed when it is said twice: an object server looks a
    /// file up and opens it then, and one that is replaced in between is missing for that moment.
    pub(super) async fn read(
        &self,
        ask: Ask,
        operation: &'static str,
        key: &Key,
    ) -> Result<Answer, StoreError> {
        let answer = self.ask(ask.clone(), operation, key, false).await?;
        if answer.status != StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        tokio::time::sleep(MISSING_FOR).await;
        self.ask(ask, operation, key, false).await
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
        let reason = format!("Swift has no way to {what}, or was not seen to keep it");
        self.error(ErrorKind::Unsupported, operation, key, reason)
    }
}

#[async_trait]
impl Store for SwiftStore {
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
        self.put_whole(key, body, &when).await
    }

    async fn write_at(&self, key: &Key, _: u64, _: Bytes, _: bool) -> Result<Option<Instance>, StoreError> {
        Err(self.unsupported("write", key, "write in place"))
    }

    async fn set_size(&self, key: &Key, _: u64) -> Result<Option<Instance>, StoreError> {
        Err(self.unsupported("resize", key, "set a size"))
    }

    async fn punch(&self, key: &Key, _: Extent) -> Result<Option<Instance>, StoreError> {
        Err(self.unsupported("punch", key, "free a range"))
    }

    async fn flush(&self, key: &Key, _: &[Instance]) -> Result<Flushed, StoreError> {
        self.inspect("flush", key).await.map(|_| Flushed::default())
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

    async fn usage(&self) -> Result<Option<Usage>, StoreError> {
        self.measure().await.map(Some)
    }
}
