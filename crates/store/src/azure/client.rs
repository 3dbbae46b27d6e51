//! The client of one container: what all its requests share, and the table of operations.

use super::credentials::Credentials;
use super::settings::{Settings, Source};
use super::target::{self, Place};
use super::whole::Content;
use super::{pages, status};
use crate::http::range::header;
use crate::http::{Answer, Call, Greeter, HttpClient, StatsSnapshot, condition};
use crate::presented::{Presented, sent};
use crate::{
    Capabilities, Durability, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo, Page,
    Precondition, Resize, Store, StoreConfig, StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use restblk_types::{ErrorKind, Extent};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Which form of the protocol is spoken: the first with what is used here that all services of today know.
const VERSION: HeaderValue = HeaderValue::from_static("2021-08-06");
/// Longest body of an answer whose body is of no interest.
const ANSWER_LEN_MAX: u64 = 64 << 10;
/// What the service takes in one request that writes pages; ranges are read by the same measure, up to which it tells an MD5.
const RANGE_LEN_MAX: u64 = 4 << 20;
/// Whole objects are metadata and segments, held in memory.
const PUT_LEN_MAX: u64 = 1 << 30;

/// A container of Azure Blob, or a folder of one.
#[derive(Debug)]
pub struct AzureStore {
    pub(super) http: HttpClient,
    pub(super) place: Place,
    pub(super) checksum: bool,
    can: Capabilities,
    credentials: Credentials,
    location: String,
    /// The IDs of leases that changes carry.
    presented: Presented,
    pub(super) sizes: pages::Sizes,
}

/// A request, but for what all have.
pub(super) struct Ask {
    method: Method,
    path: String,
    query: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    answer_len_max: u64,
}

/// A header's name of Azure's own.
pub(super) const fn x_ms(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

impl Ask {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            answer_len_max: ANSWER_LEN_MAX,
        }
    }

    pub(super) fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn headers(mut self, more: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        self.headers.extend(more);
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    pub(super) fn answer_len_max(mut self, len: u64) -> Self {
        self.answer_len_max = len;
        self
    }

    fn call(&self, timeout_s: Option<u64>) -> Call {
        let mut target = self.path.clone();
        let timeout = timeout_s.map(|seconds| format!("timeout={seconds}"));
        let mut mark = '?';
        for part in [Some(&self.query), timeout.as_ref()].into_iter().flatten() {
            if !part.is_empty() {
                target.push(mark);
                target.push_str(part);
                mark = '&';
            }
        }
        let mut headers = Vec::with_capacity(self.headers.len() + 4);
        headers.push((x_ms("x-ms-version"), VERSION));
        let date = httpdate::fmt_http_date(SystemTime::now());
        headers.push((x_ms("x-ms-date"), header(format_args!("{date}"))));
        let request: u128 = rand::random();
        headers.push((
            x_ms("x-ms-client-request-id"),
            header(format_args!("{request:032x}")),
        ));
        headers.extend_from_slice(&self.headers);
        Call {
            method: self.method.clone(),
            target,
            headers,
            body: self.body.clone(),
            answer_len_max: self.answer_len_max,
        }
    }
}

/// What the service is documented to do.
fn expected() -> Capabilities {
    Capabilities {
        exclusive_create: true,
        compare_and_set: true,
        atomic_put: true,
        write_at: true,
        write_align: pages::PAGE_LEN,
        resize: Resize::Native,
        punch: true,
        durability: Durability::OnWrite,
        durable_write: true,
        lock: true,
        list: true,
        range_len_max: RANGE_LEN_MAX,
        put_len_max: PUT_LEN_MAX,
    }
}

impl AzureStore {
    /// The same, as it was proved before to do this much.
    #[must_use]
    pub fn pinned(mut self, can: Capabilities) -> Self {
        self.can = can;
        self
    }

    /// A client of this URL. Reads the configured files; sends no request.
    pub fn new(config: &StoreConfig, url: &str) -> Result<Self, StoreError> {
        let settings = Settings::read(config)?;
        let http = HttpClient::unauthenticated(config, url)?;
        let bearer = !matches!(
            settings.source,
            Source::Anonymous | Source::Key { .. } | Source::Sas
        );
        if bearer && !http.endpoint().is_tls() {
            let reason = "a token may not go over http, where others can read and use it: write https://";
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "open",
                http.endpoint(),
                reason,
            ));
        }
        Ok(Self {
            place: Place::find(http.endpoint(), settings.account.as_deref())?,
            location: http.endpoint().to_string(),
            credentials: Credentials::new(&settings, config)?,
            checksum: settings.checksum,
            can: expected(),
            presented: Presented::default(),
            sizes: pages::Sizes::default(),
            http,
        })
    }

    /// Fails, with the reason, unless the container is there and the credentials open it.
    pub(crate) async fn greet(&self) -> Result<(), StoreError> {
        let nobody = Key::new(".restblk/probe/nobody")
            .map_err(|bad| StoreError::new(ErrorKind::Bug, "inspect", "the store", bad.to_string()))?;
        match self.inspect("inspect", &nobody).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The path of an object. A name that the service would change is refused.
    pub(super) fn path(&self, operation: &'static str, key: &Key) -> Result<String, StoreError> {
        match target::unfit(key) {
            Some(reason) => Err(self.error(ErrorKind::Invalid, operation, key, reason)),
            None => Ok(self.place.blob(key)),
        }
    }

    /// Sends the request, once more where the credentials were refused and others are there meanwhile. The error names server,
    /// operation and object.
    pub(super) async fn ask(
        &self,
        ask: Ask,
        operation: &'static str,
        object: &(dyn fmt::Display + Sync),
        changes: bool,
    ) -> Result<Answer, StoreError> {
        // At the service the time begins later than here: it gives up when we do, and never much later.
        let timeout_s = changes.then(|| self.http.patience(ask.body.len()).as_secs().max(1));
        let mut again = true;
        loop {
            let credential = self.credentials.current().await?;
            let mut call = ask.call(timeout_s);
            if credential.authorize(&mut call).is_none() {
                let reason = "these credentials cannot stand in a request";
                return Err(self.error(ErrorKind::Invalid, operation, object, reason));
            }
            let sent = self.http.send(call).await;
            let answer = sent.map_err(|failed| {
                let failed = failed.into_store_error(operation, object, changes);
                failed.at(&self.location)
            })?;
            if again && status::is_denied(&answer) && self.credentials.forget(&credential) {
                again = false;
                continue;
            }
            return Ok(answer);
        }
    }

    /// Sends a change of an object, with its lease's ID where one is presented. Anything but a success is the error.
    pub(super) async fn change(
        &self,
        ask: Ask,
        operation: &'static str,
        key: &Key,
    ) -> Result<Answer, StoreError> {
        let lease = self
            .presented
            .get(key)
            .map(|id| (x_ms("x-ms-lease-id"), sent(&id)));
        let answer = self.ask(ask.headers(lease), operation, key, true).await?;
        self.success(answer, operation, key, true)
    }

    pub(super) fn success(
        &self,
        answer: Answer,
        operation: &'static str,
        object: &dyn fmt::Display,
        changes: bool,
    ) -> Result<Answer, StoreError> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.refused(&answer, operation, object, changes))
    }

    /// [`status::refuse`], naming the server.
    pub(super) fn refused(
        &self,
        answer: &Answer,
        operation: &'static str,
        object: &dyn fmt::Display,
        changes: bool,
    ) -> StoreError {
        let hint = |rights| self.credentials.hint(rights);
        status::refuse(answer, operation, object, changes, &hint, &self.place.container).at(&self.location)
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

    /// `Unsupported` for what the store was not seen to do.
    fn able(
        &self,
        can: bool,
        operation: &'static str,
        object: &dyn fmt::Display,
        what: &str,
    ) -> Result<(), StoreError> {
        if can {
            return Ok(());
        }
        let reason = format!("this server was not seen to {what}");
        Err(self.error(ErrorKind::Unsupported, operation, object, reason))
    }

    /// The header that makes a change conditional.
    pub(super) fn condition(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<Option<(HeaderName, HeaderValue)>, StoreError> {
        condition::header(when, &self.can).map_err(|(kind, reason)| self.error(kind, operation, key, reason))
    }
}

#[async_trait]
impl Store for AzureStore {
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
            None => self.get_whole(key, PUT_LEN_MAX).await,
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.inspect("inspect", key).await
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        self.put_kind(key, Content::Bytes(&body), &when).await
    }

    async fn create(&self, key: &Key, when: Precondition) -> Result<Written, StoreError> {
        self.put_kind(key, Content::Pages, &when).await
    }

    // What is answered is durable: no volatile cache has it, and none is told.
    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        _durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        self.able(self.can.write_at, "write", key, "write in place")?;
        self.write_pages(key, offset, data, RANGE_LEN_MAX).await?;
        Ok(None)
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.able(self.can.resize != Resize::None, "resize", key, "set sizes")?;
        self.resize(key, size).await.map(|()| None)
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        self.able(self.can.punch, "punch", key, "clear pages")?;
        self.clear_pages(key, range).await.map(|()| None)
    }

    async fn flush(&self, key: &Key, _: &[Instance]) -> Result<Flushed, StoreError> {
        // The object must be there all the same.
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
        let shown = folder.map_or("/", Key::as_str);
        self.able(self.can.list, "list", &shown, "list what it has")?;
        self.children(folder, start, limit).await
    }

    async fn lock(&self, key: &Key, _owner: &str, steal: bool) -> Result<Lock, StoreError> {
        self.able(self.can.lock, "lock", key, "keep others out by leases")?;
        self.acquire_lease(key, steal).await
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.renew_lease(key, token).await
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.release_lease(key, token).await
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.presented.set(key, token);
    }
}
