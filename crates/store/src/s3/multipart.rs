//! Large bodies in parts: create the upload, send the parts in parallel, complete it.
//!
//! Until it is completed nothing of it can be seen. However it ends otherwise (a part fails, the request is dropped), the upload is aborted, and looked
//! at afterwards: a part that was under way may have arrived later. What is left behind when this host dies in the midst takes space until the
//! bucket's rule for unfinished uploads clears it (docs/stores.md).

use super::client::{Ask, Server};
use super::failure;
use super::xml;
use crate::http::{quote, range};
use crate::{ETag, Key, StoreError, Written};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use restblk_types::ErrorKind;
use std::sync::Arc;

/// Parts under way at once: with one connection each, enough to fill a line that one stream does not.
const PARALLEL: usize = 4;
/// The protocol's own limit.
const PARTS_MAX: u64 = 10_000;
/// Looks at an aborted upload until it has gone.
const ABORTS_MAX: usize = 3;

/// An upload that is neither completed nor aborted: it aborts itself when it is dropped.
struct Upload {
    at: Arc<Server>,
    key: Key,
    id: Option<String>,
}

impl Upload {
    /// Completed: nothing is left to abort.
    fn done(mut self) {
        self.id = None;
    }

    async fn abort(mut self) {
        if let Some(id) = self.id.take() {
            abort(&self.at, &self.key, &id).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (at, key) = (Arc::clone(&self.at), self.key.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort(&at, &key, &id).await });
        }
    }
}

fn with_id(at: &Server, key: &Key, id: &str, query: &str) -> String {
    let mut target = format!("{}?{query}uploadId=", at.bucket.object(key));
    target.extend(quote(id));
    target
}

async fn abort(at: &Server, key: &Key, id: &str) {
    let left = |why: &dyn std::fmt::Display| {
        tracing::warn!(
            object = %key, upload = id, %why,
            "an unfinished multipart upload may be left behind; the bucket's rule for unfinished uploads clears it"
        );
    };
    for _ in 0..ABORTS_MAX {
        let mut ask = Ask::new(
            Method::DELETE,
            with_id(at, key, id, ""),
            "abort the upload of",
            key,
        );
        ask.changes = true;
        match at.ask(&ask).await {
            Ok(answer) if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND => {}
            Ok(answer) => return left(&at.refused(answer, &ask)),
            Err(error) => return left(&error),
        }
        let ask = Ask::new(
            Method::GET,
            with_id(at, key, id, ""),
            "look for the upload of",
            key,
        );
        match at.ask(&ask).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => return,
            Ok(answer) if answer.status.is_success() => {
                if xml::count(&answer.body.into_bytes(), "Part").is_ok_and(|parts| parts == 0) {
                    return;
                }
            }
            Ok(answer) => return left(&at.refused(answer, &ask)),
            Err(error) => return left(&error),
        }
    }
    left(&"its parts come back");
}

impl Server {
    pub(super) async fn put_in_parts(at: &Arc<Self>, key: &Key, body: Bytes) -> Result<Written, StoreError> {
        let upload = Upload {
            id: Some(at.begin(key).await?),
            at: Arc::clone(at),
            key: key.clone(),
        };
        let id = upload.id.clone().unwrap_or_default();
        let tags = match at.send_parts(key, &id, &body).await {
            Ok(tags) => tags,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        match at.complete(key, &id, &tags).await {
            Ok(written) => {
                upload.done();
                Ok(written)
            }
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn begin(&self, key: &Key) -> Result<String, StoreError> {
        let target = format!("{}?uploads", self.bucket.object(key));
        let mut ask = Ask::new(Method::POST, target, "put", key);
        ask.headers = self.object_headers();
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        xml::field(&answer.body.into_bytes(), "UploadId").ok_or_else(|| {
            let reason = "the answer to a multipart upload's creation has no UploadId";
            self.error(ErrorKind::Unsupported, "put", key, reason)
        })
    }

    /// The parts' tags, in order.
    async fn send_parts(&self, key: &Key, id: &str, body: &Bytes) -> Result<Vec<String>, StoreError> {
        let len = body.len() as u64;
        let part_len = self.settings.part_len.max(len.div_ceil(PARTS_MAX));
        let parts = (0..len.div_ceil(part_len)).map(|number| {
            // Within a body that is in memory.
            let at = |offset: u64| usize::try_from(offset.min(len)).unwrap_or(body.len());
            let part = body.slice(at(number * part_len)..at((number + 1) * part_len));
            self.send_part(key, id, number + 1, part)
        });
        futures_util::stream::iter(parts)
            .buffered(PARALLEL)
            .try_collect()
            .await
    }

    async fn send_part(&self, key: &Key, id: &str, number: u64, part: Bytes) -> Result<String, StoreError> {
        let target = with_id(self, key, id, &format!("partNumber={number}&"));
        // It changes nothing that can be seen.
        let mut ask = Ask::new(Method::PUT, target, "put", key);
        ask.headers = self.customer_key();
        // Its SHA-256 is signed: no other sum is needed, and a sum of sums of parts would tell a reader nothing.
        ask.body = part;
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let tag = range::etag(&answer.headers).ok_or_else(|| {
            let reason = format!("the answer to part {number} of a multipart upload has no ETag");
            self.error(ErrorKind::Unsupported, "put", key, reason)
        })?;
        Ok(tag.0)
    }

    async fn complete(&self, key: &Key, id: &str, tags: &[String]) -> Result<Written, StoreError> {
        let mut ask = Ask::new(Method::POST, with_id(self, key, id, ""), "put", key);
        ask.body = Bytes::from(xml::complete(tags));
        ask.headers = self.customer_key();
        ask.changes = true;
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        // It may begin with 200, keep us waiting, and then fail.
        let body = answer.body.into_bytes();
        if let Some(failure) = xml::failure(&body) {
            let region = String::new();
            return Err(failure::refuse_late(&failure, &self.scene(&ask, &region)).at(&self.location));
        }
        match xml::field(&body, "ETag") {
            Some(tag) => Ok(Written {
                etag: Some(ETag(tag)),
                instance: None,
            }),
            None => {
                let reason = "the answer to a multipart upload's completion is none";
                Err(self.error(ErrorKind::Corrupt, "put", key, reason).ambiguous())
            }
        }
    }
}
