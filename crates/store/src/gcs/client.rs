//! The client of one bucket: what all its requests share, and the table of operations.

use super::failure;
use super::settings::Settings;
use super::token::Tokens;
use crate::http::{Answer, Call, Greeter, HttpClient, StatsSnapshot, quote};
use crate::s3::{Addressing, Bucket};
use crate::{
    Capabilities, Durability, Fetched, Flushed, Instance, Key, ObjectInfo, Page, Precondition, Resize, Store,
    StoreConfig, StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use restblk_types::{ErrorKind, Extent};
use std::fmt;
use std::sync::Arc;

/// Longest body of an answer whose body is of no interest.
const ANSWER_LEN_MAX: u64 = 256 << 10;
/// Above this a range does not get faster, and buffers get large.
const RANGE_LEN_MAX: u64 = 16 << 20;
/// Whole objects are metadata and segments, held in memory.
const PUT_LEN_MAX: u64 = 64 << 20;

/// A bucket of Google Cloud Storage.
#[derive(Debug)]
pub struct GcsStore {
    pub(super) http: HttpClient,
    pub(super) bucket: Bucket,
    pub(super) settings: Settings,
    pub(super) can: Capabilities,
    pub(super) location: String,
    tokens: Tokens,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Quoted path and query.
    pub(super) target: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    pub(super) answer_len_max: u64,
    pub(super) operation: &'static str,
    pub(super) object: &'a (dyn fmt::Display + Sync),
    /// It changes something.
    pub(super) changes: bool,
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        method: Method,
        target: String,
        operation: &'static str,
        object: &'a (dyn fmt::Display + Sync),
    ) -> Self {
        Self {
            method,
            target,
            headers: Vec::new(),
            body: Bytes::new(),
            answer_len_max: ANSWER_LEN_MAX,
            operation,
            object,
            changes: false,
        }
    }
}

/// Before anything was proved.
fn expected() -> Capabilities {
    Capabilities {
        exclusive_create: true,
        compare_and_set: true,
        atomic_put: true,
        write_at: false,
        write_align: 1,
        resize: Resize::None,
        punch: false,
        durability: Durability::OnWrite,
        durable_write: false,
        lock: false,
        list: true,
        range_len_max: RANGE_LEN_MAX,
        put_len_max: PUT_LEN_MAX,
    }
}

impl GcsStore {
    /// A bucket that was proved before to do this much. Sends no request.
    pub fn pinned(config: &StoreConfig, url: &str, can: Capabilities) -> Result<Self, StoreError> {
        let http = HttpClient::unauthenticated(config, url)?;
        let settings = Settings::read(config)?;
        Ok(Self {
            bucket: Bucket::of(http.endpoint(), Some(Addressing::Path))?,
            tokens: Tokens::new(settings.source.clone(), config),
            location: http.endpoint().to_string(),
            settings,
            can,
            http,
        })
    }

    /// A bucket that is there and can be listed; nothing else is proved yet.
    pub async fn connect(config: &StoreConfig, url: &str) -> Result<Self, StoreError> {
        let store = Self::pinned(config, url, expected())?;
        let target = format!("{}?maxResults=1&fields=nextPageToken", store.objects());
        let ask = Ask::new(Method::GET, target, "reach", &"the bucket");
        let answer = store.ask(&ask).await?;
        if answer.status.is_success() {
            return Ok(store);
        }
        Err(store.refused(answer, &ask))
    }

    /// The target of all objects of the bucket.
    pub(super) fn objects(&self) -> String {
        let name: String = quote(&self.bucket.name).collect();
        format!("/storage/v1/b/{name}/o")
    }

    /// The name of an object in its bucket.
    pub(super) fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.bucket.folder(None))
    }

    /// The target of an object: its name is one component of the path, its slashes quoted.
    pub(super) fn object(&self, key: &Key) -> String {
        let mut target = self.objects();
        target.push('/');
        target.extend(quote(&self.name(key)));
        target
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

    /// Sends the request with a token and reads the answer, whatever its status; once more with a new token where the first is not taken.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, StoreError> {
        let mut renewed = false;
        loop {
            let mut call = Call {
                method: ask.method.clone(),
                target: ask.target.clone(),
                headers: ask.headers.clone(),
                body: ask.body.clone(),
                answer_len_max: ask.answer_len_max,
            };
            let token = self.tokens.get().await.map_err(|none| {
                self.error(
                    none.kind(),
                    ask.operation,
                    ask.object,
                    format!("failed to {none}"),
                )
            })?;
            if let Some(token) = &token {
                let bearer = HeaderValue::try_from(format!("Bearer {}", token.secret.expose()));
                let Ok(mut bearer) = bearer else {
                    let reason = "the token that came is none";
                    return Err(self.error(ErrorKind::Denied, ask.operation, ask.object, reason));
                };
                bearer.set_sensitive(true);
                call.headers.push((AUTHORIZATION, bearer));
            }
            let answer = self.http.send(call).await.map_err(|error| {
                error
                    .into_store_error(ask.operation, ask.object, ask.changes)
                    .at(&self.location)
            })?;
            match &token {
                Some(used) if answer.status == StatusCode::UNAUTHORIZED => {
                    self.tokens.refused(used);
                    if renewed {
                        return Ok(answer);
                    }
                    renewed = true;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// The error of a refusal.
    pub(super) fn refused(&self, answer: Answer, ask: &Ask<'_>) -> StoreError {
        failure::refuse(answer, ask.operation, ask.object, &self.bucket.name, ask.changes).at(&self.location)
    }

    fn unsupported(&self, operation: &'static str, key: &Key, what: &str) -> StoreError {
        let reason = format!("Google Cloud Storage has no way to {what}");
        self.error(ErrorKind::Unsupported, operation, key, reason)
    }
}

#[async_trait]
impl Store for GcsStore {
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
        self.read(key, range).await
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.inspect(key, "inspect").await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        self.upload(key, &body, &when).await
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

    /// What was answered is durable. The object must be there.
    async fn flush(&self, key: &Key, _: &[Instance]) -> Result<Flushed, StoreError> {
        self.inspect(key, "flush").await.map(|_| Flushed::default())
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
}
