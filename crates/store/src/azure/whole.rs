//! Whole objects: block blobs, put in one request or in blocks, and deleted.

use super::client::{Ask, AzureStore, x_ms};
use crate::http::range::etag;
use crate::{Key, Precondition, StoreError, Written};
use bytes::Bytes;
use http::Method;
use http::header::HeaderValue;
use restblk_types::ErrorKind;

/// Tries of a put that others come before.
const TRIES: u32 = 20;

/// What is put.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// An empty page blob.
    Pages,
    /// A block blob of these bytes.
    Bytes(&'a Bytes),
}

impl Content<'_> {
    fn operation(self) -> &'static str {
        match self {
            Self::Pages => "create",
            Self::Bytes(_) => "put",
        }
    }
}

impl AzureStore {
    /// Puts under the condition. Without one it looks which kind of blob is there, and puts only in place of that state: one
    /// kind never replaces the other, whatever the service would do.
    pub(super) async fn put_kind(
        &self,
        key: &Key,
        content: Content<'_>,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        self.sizes.forget(key);
        if *when != Precondition::Always {
            return self.put_once(key, content, when).await;
        }
        let (operation, pages) = (content.operation(), matches!(content, Content::Pages));
        for _ in 0..TRIES {
            let seen = match self.inspect(operation, key).await {
                Ok(found) if found.in_place != pages => return Err(self.other_kind(operation, key, pages)),
                Ok(found) => found.etag.map_or(Precondition::Always, Precondition::Matches),
                Err(error) if error.kind() == ErrorKind::NotFound => Precondition::Absent,
                Err(error) => return Err(error),
            };
            match self.put_once(key, content, &seen).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                done => return done,
            }
        }
        let reason = format!("others changed it each of the {TRIES} times that it was to be put");
        Err(self.error(ErrorKind::Retry, operation, key, reason))
    }

    async fn put_once(
        &self,
        key: &Key,
        content: Content<'_>,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let operation = content.operation();
        let condition = self.condition(operation, key, when)?;
        let ask = Ask::new(Method::PUT, self.path(operation, key)?);
        let kind = |kind| (x_ms("x-ms-blob-type"), HeaderValue::from_static(kind));
        let ask = match content {
            Content::Pages => ask
                .headers([kind("PageBlob")])
                .header(x_ms("x-ms-blob-content-length"), HeaderValue::from_static("0")),
            Content::Bytes(body) if self.is_large(body) => {
                return self.put_blocks(key, body, condition).await;
            }
            Content::Bytes(body) => ask
                .headers([kind("BlockBlob")])
                .headers(self.checksum.then(|| self.sum(body)))
                .body(body.clone()),
        };
        let answer = self.change(ask.headers(condition), operation, key).await?;
        Ok(Written {
            etag: etag(&answer.headers),
            instance: None,
        })
    }

    pub(super) async fn remove(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        if *when == Precondition::Absent {
            self.inspect("delete", key).await?;
            return Err(self.error(ErrorKind::Conflict, "delete", key, "it exists"));
        }
        self.sizes.forget(key);
        let ask =
            Ask::new(Method::DELETE, self.path("delete", key)?).headers(self.condition("delete", key, when)?);
        self.change(ask, "delete", key).await.map(drop)
    }
}
