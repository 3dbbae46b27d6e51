//! Changing objects: whole, in part, in size; flushing and removing them.

use super::client::CdmiStore;
use super::dialect::Dialect;
use super::target;
use crate::http::range::{etag, header};
use crate::http::{Answer, Call, condition};
use crate::{Durability, Flushed, Instance, Key, Precondition, StoreError, Written};
use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, Method, StatusCode};
use restblk_types::{ErrorKind, Extent};

const TRUNCATE: HeaderName = HeaderName::from_static("x-scal-truncate");
const SYNCHRONIZE: HeaderName = HeaderName::from_static("x-scal-synchronize");
const INSTANCE: HeaderName = HeaderName::from_static("restblk-instance");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const ANYTHING: HeaderValue = HeaderValue::from_static("*");

/// The volatile cache that answered, where the server tells; what is none is as good as nothing.
fn instance(headers: &HeaderMap) -> Option<Instance> {
    headers.get(INSTANCE)?.to_str().ok()?.parse().ok()
}

impl CdmiStore {
    fn condition(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<Option<(HeaderName, HeaderValue)>, StoreError> {
        condition::header(when, &self.can).map_err(|(kind, reason)| self.error(kind, operation, key, reason))
    }

    /// Sends a change, with the lock's token where one is presented; an answer with success, or the error.
    async fn change(&self, call: Call, operation: &'static str, key: &Key) -> Result<Answer, StoreError> {
        let answer = self.ask_locked(call, operation, key, true).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(self.refused(answer, operation, key, true))
    }

    /// Sends the call with the lock's token, where one is presented. What the lock keeps out is an error.
    async fn ask_locked(
        &self,
        mut call: Call,
        operation: &'static str,
        key: &Key,
        changes: bool,
    ) -> Result<Answer, StoreError> {
        let condition = self.lock_condition(key);
        let kind = match condition {
            Some(_) => ErrorKind::Fenced,
            None => ErrorKind::Busy,
        };
        call.headers.extend(condition);
        let answer = self.ask(call, operation, key, changes).await?;
        if answer.status == StatusCode::LOCKED {
            return Err(self.kept_out(answer, kind, operation, key));
        }
        Ok(answer)
    }

    /// Puts the body; makes the containers above where they are missing.
    async fn put_once(
        &self,
        key: &Key,
        body: Bytes,
        condition: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Answer, StoreError> {
        let target = self.target("put", key)?;
        let call = |body: Bytes| {
            let mut headers = vec![(CONTENT_TYPE, BYTES)];
            headers.extend(condition.clone());
            Call {
                body,
                ..self.call(Method::PUT, target.clone(), headers)
            }
        };
        if let Some(container) = target::parent(&target)
            && self.containers.comes_first(container, body.len())
        {
            // Where it fails, the body's own request says what is wrong.
            let _ = self.make_container(container, key).await;
        }
        match self.change(call(body.clone()), "put", key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some(container) = target::parent(&target) else {
                    return Err(error);
                };
                self.make_container(container, key).await?;
                self.change(call(body), "put", key).await
            }
            done => done,
        }
    }

    pub(super) async fn put_whole(
        &self,
        key: &Key,
        body: Bytes,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let condition = self.condition("put", key, when)?;
        self.forget_id(key);
        let answer = self.put_once(key, body, condition).await?;
        Ok(Written {
            etag: etag(&answer.headers),
            instance: instance(&answer.headers),
        })
    }

    /// The 2014 dialect has no request that replaces an object: it is created empty, or cut to nothing, and then written.
    /// A reader may see it empty in between.
    pub(super) async fn put_in_steps(
        &self,
        key: &Key,
        body: Bytes,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let only_new = *when == Precondition::Absent;
        self.condition("put", key, when)?;
        match self
            .put_once(key, Bytes::new(), Some((IF_NONE_MATCH, ANYTHING)))
            .await
        {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Conflict && !only_new => {
                self.truncate(key, 0).await?;
            }
            Err(error) => return Err(error),
        }
        if !body.is_empty() {
            // From here on the object is changed, whatever the last step says.
            self.write_range(key, 0, body, false)
                .await
                .map_err(StoreError::ambiguous)?;
        }
        Ok(Written::default())
    }

    pub(super) async fn write_range(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        if !self.can.write_at || (durable && !self.can.durable_write) {
            let what = if durable {
                "write durably"
            } else {
                "write in place"
            };
            return Err(self.unsupported("write", key, what));
        }
        let Some(range) = Extent::new(offset, data.len() as u64) else {
            return Err(self.error(ErrorKind::Invalid, "write", key, "the range ends past 2^64-1"));
        };
        if range.is_empty() {
            return Ok(None);
        }
        if self.dialect == Dialect::Scality {
            return self.write_by_id(key, range, data, durable).await;
        }
        let target = self.target("write", key)?;
        let answer = self
            .change(self.ranged(target, range, data, durable), "write", key)
            .await?;
        self.written(key, &answer)
    }

    fn ranged(&self, mut target: String, range: Extent, body: Bytes, durable: bool) -> Call {
        let (first, last) = (range.offset(), range.end() - 1);
        let (method, place) = match self.dialect {
            Dialect::Cdmi2 => (
                Method::PATCH,
                (CONTENT_RANGE, header(format_args!("bytes {first}-{last}/*"))),
            ),
            Dialect::Cdmi1 => (
                Method::PUT,
                (CONTENT_RANGE, header(format_args!("bytes {first}-{last}/*"))),
            ),
            Dialect::Scality => (
                Method::PUT,
                (CONTENT_RANGE, header(format_args!("bytes={first}-{last}"))),
            ),
            Dialect::Srb => (Method::PUT, (RANGE, header(format_args!("bytes={first}-{last}")))),
        };
        if durable {
            target.push_str("?restblk_flush");
        }
        Call {
            body,
            ..self.call(method, target, vec![place, (CONTENT_TYPE, BYTES)])
        }
    }

    /// A ranged write that created something was none.
    fn written(&self, key: &Key, answer: &Answer) -> Result<Option<Instance>, StoreError> {
        match answer.status {
            StatusCode::CREATED if self.dialect != Dialect::Srb => {
                let reason =
                    "it did not exist, and the server made a new one of a ranged write (status 201 Created)";
                Err(self.error(ErrorKind::NotFound, "write", key, reason).ambiguous())
            }
            _ => Ok(instance(&answer.headers)),
        }
    }

    /// Scality's servers take ranged writes at object IDs. An ID from memory that has gone is looked up again.
    async fn write_by_id(
        &self,
        key: &Key,
        range: Extent,
        data: Bytes,
        durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        loop {
            let remembered = self.ids.lock().is_ok_and(|ids| ids.contains_key(key));
            let target = self.target_by_id(key).await?;
            let call = self.ranged(target, range, data.clone(), durable);
            match self.change(call, "write", key).await {
                Err(error) if error.kind() == ErrorKind::NotFound && self.forget_id(key) && remembered => {}
                done => return self.written(key, &done?),
            }
        }
    }

    pub(super) async fn truncate(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        let to = (TRUNCATE, header(format_args!("{size}")));
        let call = self.call(Method::PUT, self.target("resize", key)?, vec![to]);
        let answer = self.change(call, "resize", key).await?;
        Ok(instance(&answer.headers))
    }

    /// One of the server's extensions, a `PATCH` without a body.
    pub(super) async fn extend(
        &self,
        operation: &'static str,
        key: &Key,
        query: &str,
    ) -> Result<Option<Instance>, StoreError> {
        let target = format!("{}?{query}", self.target(operation, key)?);
        let call = self.call(Method::PATCH, target, Vec::new());
        let answer = self.change(call, operation, key).await?;
        Ok(instance(&answer.headers))
    }

    /// Gaps read as zeros, so one zero byte at the new end is a larger size.
    pub(super) async fn grow_by_writing(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        let now = self.inspect(key).await?.size;
        if size < now {
            return Err(self.unsupported("resize", key, "make an object smaller"));
        }
        if size == now {
            return Ok(None);
        }
        self.write_range(key, size - 1, Bytes::from_static(&[0]), false)
            .await
    }

    pub(super) async fn synchronize(&self, key: &Key) -> Result<Flushed, StoreError> {
        if self.can.durability != Durability::OnFlush {
            // Nothing is promised, or all of it at the write. The object must be there all the same.
            return self.inspect(key).await.map(|_| Flushed::default());
        }
        let target = self.target("flush", key)?;
        let call = if self.dialect.has_scal_headers() {
            self.call(
                Method::HEAD,
                target,
                vec![(SYNCHRONIZE, HeaderValue::from_static("data"))],
            )
        } else {
            self.call(Method::PATCH, target + "?restblk_flush", Vec::new())
        };
        let answer = self.ask_locked(call, "flush", key, false).await?;
        match answer.status.as_u16() {
            200..=299 => Ok(Flushed::by(instance(&answer.headers))),
            // Earlier writes may be lost: asking again would hide it.
            500 | 507 => {
                let failed = self.refused(answer, "flush", key, false);
                let reason = format!(
                    "the server could not keep earlier writes, and which is unknown: {}",
                    failed.reason()
                );
                Err(self.error(ErrorKind::Corrupt, "flush", key, reason))
            }
            _ => Err(self.refused(answer, "flush", key, false)),
        }
    }

    pub(super) async fn remove(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        if *when == Precondition::Absent {
            self.inspect(key).await?;
            return Err(self.error(ErrorKind::Conflict, "delete", key, "it exists"));
        }
        let condition = self.condition("delete", key, when)?;
        self.forget_id(key);
        let call = self.call(
            Method::DELETE,
            self.target("delete", key)?,
            condition.into_iter().collect(),
        );
        self.change(call, "delete", key).await.map(drop)
    }
}
