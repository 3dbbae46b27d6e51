//! The client of one bucket on one server: what all its requests share, and the table of operations.

use super::bucket::{Bucket, amazon_host};
use super::credentials::Credentials;
use super::failure::{self, Scene};
use super::region::{self, Region};
use super::settings::Settings;
use super::sign::sign;
use crate::http::{Answer, Call, Greeter, HttpClient, StatsSnapshot};
use crate::{
    Capabilities, Durability, Fetched, Flushed, Instance, Key, ObjectInfo, Page, Precondition, Resize, Store,
    StoreConfig, StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use restblk_types::{ErrorKind, Extent};
use std::fmt;
use std::sync::Arc;

/// Longest body of an answer whose body is of no interest.
const ANSWER_LEN_MAX: u64 = 256 << 10;
/// Above this a range does not get faster, and buffers get large.
const RANGE_LEN_MAX: u64 = 16 << 20;
/// Whole objects are metadata and segments, held in memory.
const PUT_LEN_MAX: u64 = 64 << 20;
/// Times that a request is signed: at first, for the region that was told, with renewed credentials.
const SIGNED_MAX: usize = 3;

/// A bucket on an S3 server.
#[derive(Debug)]
pub struct S3Store {
    pub(super) at: Arc<Server>,
}

/// The server, its bucket, and who we are there: what also the end of a broken-off upload needs.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) http: HttpClient,
    pub(super) bucket: Bucket,
    pub(super) settings: Settings,
    pub(super) can: Capabilities,
    pub(super) location: String,
    credentials: Credentials,
    region: Region,
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

impl S3Store {
    /// A server that was proved before to do this much. Sends no request.
    pub fn pinned(config: &StoreConfig, url: &str, can: Capabilities) -> Result<Self, StoreError> {
        let http = HttpClient::unauthenticated(config, url)?;
        let settings = Settings::read(config)?;
        let bucket = Bucket::of(http.endpoint(), settings.addressing)?;
        let amazon = amazon_host(&http.endpoint().host_name());
        let region = Region::new(settings.region.clone(), amazon.and_then(|host| host.region));
        Ok(Self {
            at: Arc::new(Server {
                credentials: Credentials::new(config, &settings)?,
                location: http.endpoint().to_string(),
                http,
                bucket,
                settings,
                can,
                region,
            }),
        })
    }

    /// A server whose bucket is there and can be listed; nothing else is proved yet.
    pub async fn connect(config: &StoreConfig, url: &str) -> Result<Self, StoreError> {
        let store = Self::pinned(config, url, expected())?;
        store.at.reach().await?;
        Ok(store)
    }
}

impl Server {
    pub(super) fn error(
        &self,
        kind: ErrorKind,
        operation: &'static str,
        object: &dyn fmt::Display,
        reason: impl Into<String>,
    ) -> StoreError {
        StoreError::new(kind, operation, object, reason).at(&self.location)
    }

    /// Signs and sends the request, and reads the answer, whatever its status. What was refused for a reason that can be put right here goes
    /// out again.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, StoreError> {
        let mut signed = 0;
        loop {
            let mut call = Call {
                method: ask.method.clone(),
                target: ask.target.clone(),
                headers: ask.headers.clone(),
                body: ask.body.clone(),
                answer_len_max: ask.answer_len_max,
            };
            let credential = self
                .credentials
                .get()
                .await
                .map_err(|none| self.error(none.kind, ask.operation, ask.object, none.reason))?;
            let region = self.region.get();
            if let Some(credential) = &credential {
                sign(&mut call, self.http.endpoint(), &region, &credential.0)
                    .await
                    .map_err(|reason| {
                        let reason = format!("it cannot be signed: {reason}");
                        self.error(ErrorKind::Denied, ask.operation, ask.object, reason)
                    })?;
            }
            signed += 1;
            let answer = self.http.send(call).await.map_err(|error| {
                error
                    .into_store_error(ask.operation, ask.object, ask.changes)
                    .at(&self.location)
            })?;
            let may_be_cured = matches!(answer.status.as_u16(), 301 | 307 | 400 | 401 | 403);
            if !may_be_cured || signed == SIGNED_MAX {
                return Ok(answer);
            }
            let failure = failure::read(&answer);
            let moved = answer.status != http::StatusCode::FORBIDDEN
                || failure.as_ref().is_some_and(|f| f.region.is_some());
            if moved
                && self
                    .region
                    .learn(region::told(&answer, failure.as_ref()), &region)
            {
                continue;
            }
            if let Some(used) = &credential
                && failure::is_stale(failure.as_ref())
            {
                self.credentials.refused(used);
                if signed == 1 {
                    continue;
                }
            }
            return Ok(answer);
        }
    }

    /// The error of a refusal.
    pub(super) fn refused(&self, answer: Answer, ask: &Ask<'_>) -> StoreError {
        failure::refuse(answer, &self.scene(ask, &self.region.get())).at(&self.location)
    }

    pub(super) fn scene<'a>(&'a self, ask: &Ask<'a>, region: &'a str) -> Scene<'a> {
        Scene {
            operation: ask.operation,
            object: ask.object,
            changes: ask.changes,
            bucket: &self.bucket.name,
            region,
            source: self.credentials.source(),
        }
    }

    /// Whether the bucket is there for us. Learns the region on the way.
    async fn reach(&self) -> Result<(), StoreError> {
        let target = format!("{}?list-type=2&max-keys=1", self.bucket.target());
        let ask = Ask::new(Method::GET, target, "reach", &"the bucket");
        let answer = self.ask(&ask).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(answer, &ask))
    }

    pub(super) fn unsupported(&self, operation: &'static str, key: &Key, what: &str) -> StoreError {
        let reason = format!("S3 has no way to {what}");
        self.error(ErrorKind::Unsupported, operation, key, reason)
    }
}

#[async_trait]
impl Store for S3Store {
    fn location(&self) -> String {
        self.at.location.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.at.can.clone()
    }

    fn network(&self) -> Option<StatsSnapshot> {
        Some(self.at.http.stats().snapshot())
    }

    fn set_greeter(&self, greeter: Arc<dyn Greeter>) {
        self.at.http.set_greeter(greeter);
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        match range {
            Some(range) => self.at.get_range(key, range).await,
            None => self.at.get_whole(key).await,
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.at.inspect(key, "inspect").await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let in_parts = when == Precondition::Always && body.len() as u64 > self.at.settings.part_len;
        if in_parts {
            return Server::put_in_parts(&self.at, key, body).await;
        }
        self.at.put_whole(key, body, &when).await
    }

    async fn write_at(&self, key: &Key, _: u64, _: Bytes, _: bool) -> Result<Option<Instance>, StoreError> {
        Err(self.at.unsupported("write", key, "write in place"))
    }

    async fn set_size(&self, key: &Key, _: u64) -> Result<Option<Instance>, StoreError> {
        Err(self.at.unsupported("resize", key, "set a size"))
    }

    async fn punch(&self, key: &Key, _: Extent) -> Result<Option<Instance>, StoreError> {
        Err(self.at.unsupported("punch", key, "free a range"))
    }

    /// What was answered is durable. The object must be there.
    async fn flush(&self, key: &Key, _: &[Instance]) -> Result<Flushed, StoreError> {
        self.at.inspect(key, "flush").await.map(|_| Flushed::default())
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        self.at.remove(key, &when).await
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.at.children(folder, start, limit).await
    }
}
