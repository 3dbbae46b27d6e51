//! Changing objects: whole, in part, in size; removing them.

use super::client::WebdavStore;
use super::dialect::Ranged;
use crate::http::range::{self, header};
use crate::http::{Answer, Call, condition};
use crate::{Key, Precondition, Resize, StoreError, Written};
use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use http::{Method, StatusCode};
use restblk_types::{ErrorKind, Extent};
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(super) const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const PARTIAL: HeaderValue = HeaderValue::from_static("application/x-sabredav-partialupdate");
const UPDATE_RANGE: HeaderName = HeaderName::from_static("x-update-range");
const DEPTH: HeaderName = HeaderName::from_static("depth");
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
const ANYTHING: HeaderValue = HeaderValue::from_static("*");

/// A change that was not done, and the status of the answer, if there was one.
struct Refused {
    error: StoreError,
    status: Option<StatusCode>,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self { error, status: None }
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// What servers say of a put into a folder that is missing: 409 by RFC 4918 (9.7.1), 404, and nginx and lighttpd 500.
fn is_perhaps_orphan(status: StatusCode) -> bool {
    matches!(status.as_u16(), 403 | 404 | 409 | 500)
}

type Headers = Vec<(HeaderName, HeaderValue)>;

impl WebdavStore {
    fn condition(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<Headers, StoreError> {
        condition::header(when, &self.can)
            .map(Vec::from_iter)
            .map_err(|(kind, reason)| self.error(kind, operation, key, reason))
    }

    /// Sends a change of the object, with the lock's token where one is presented. `unmet` is what 412 means without a lock.
    async fn change(
        &self,
        mut call: Call,
        operation: &'static str,
        key: &Key,
        unmet: ErrorKind,
    ) -> Result<Answer, Refused> {
        let token = self.presented(key);
        call.headers.extend(token.as_ref().map(|token| token.condition()));
        let answer = self.ask(call, operation, key, true).await?;
        let status = answer.status;
        let error = match status {
            status if status.is_success() => return Ok(answer),
            StatusCode::PRECONDITION_FAILED | StatusCode::LOCKED => {
                self.kept_out(answer, operation, key, token, unmet).await
            }
            _ => self.refused(answer, operation, key, true),
        };
        Err(Refused {
            error,
            status: Some(status),
        })
    }

    /// Puts the body under this key; makes the folders above where they are missing.
    pub(super) async fn put_once(
        &self,
        key: &Key,
        body: Bytes,
        condition: Headers,
    ) -> Result<Answer, StoreError> {
        let call = || {
            let mut call = self.call(Method::PUT, self.target(key), condition.clone());
            call.headers.push((CONTENT_TYPE, BYTES));
            call.body = body.clone();
            call
        };
        let folder = self.folder_above(key);
        if self.folders.comes_first(&folder, body.len()) {
            // Where it fails, the body's own request says what is wrong.
            let _ = self.make_folders(key).await;
        }
        let failed = match self.change(call(), "put", key, ErrorKind::Conflict).await {
            Err(Refused {
                error,
                status: Some(status),
            }) if is_perhaps_orphan(status) => error,
            done => return Ok(done?),
        };
        if !self.make_folders(key).await? {
            // Not found is the folder: the object itself is what a put makes.
            let kind = if failed.kind() == ErrorKind::NotFound {
                ErrorKind::Invalid
            } else {
                return Err(failed);
            };
            return Err(self.error(kind, "put", key, failed.reason()));
        }
        Ok(self.change(call(), "put", key, ErrorKind::Conflict).await?)
    }

    pub(super) async fn put_whole(
        &self,
        key: &Key,
        body: Bytes,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let condition = self.condition("put", key, when)?;
        let nothing = body.is_empty();
        let answer = self.put_once(key, body, condition).await?;
        if nothing && answer.status != StatusCode::CREATED {
            self.see_it_empty(key).await?;
        }
        Ok(Written {
            etag: range::etag(&answer.headers),
            ..Written::default()
        })
    }

    /// Waits until an object that was made empty is told to be: for up to two seconds lighttpd tells the size of before.
    async fn see_it_empty(&self, key: &Key) -> Result<(), StoreError> {
        let until = Instant::now() + EMPTY_WITHIN;
        loop {
            let size = self
                .inspect("put", key)
                .await
                .map_err(StoreError::ambiguous)?
                .size;
            if size == 0 {
                return Ok(());
            }
            if Instant::now() >= until {
                let reason =
                    format!("the server was sent nothing, said that it took it, and still has {size} bytes");
                return Err(self.error(ErrorKind::Corrupt, "put", key, reason).ambiguous());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub(super) async fn write_range(&self, key: &Key, offset: u64, data: Bytes) -> Result<(), StoreError> {
        if !self.can.write_at {
            return Err(self.unsupported("write", key, "write in place"));
        }
        let Some(range) = Extent::new(offset, data.len() as u64) else {
            return Err(self.error(ErrorKind::Invalid, "write", key, "the range ends past 2^64-1"));
        };
        if range.is_empty() {
            return Ok(());
        }
        let (first, last) = (range.offset(), range.end() - 1);
        let (method, headers) = match self.dialect.ranged {
            Ranged::ContentRange => (
                Method::PUT,
                [
                    (CONTENT_RANGE, header(format_args!("bytes {first}-{last}/*"))),
                    (CONTENT_TYPE, BYTES),
                ],
            ),
            Ranged::UpdateRange => (
                Method::PATCH,
                [
                    (UPDATE_RANGE, header(format_args!("bytes={first}-{last}"))),
                    (CONTENT_TYPE, PARTIAL),
                ],
            ),
            Ranged::Whole => return Err(self.unsupported("write", key, "write in place")),
        };
        let mut call = self.call(method, self.target(key), headers.into());
        call.headers.push((IF_MATCH, ANYTHING));
        call.body = data;
        let answer = self.change(call, "write", key, ErrorKind::NotFound).await?;
        if answer.status == StatusCode::CREATED {
            let reason =
                "it did not exist, and the server made a new one of a ranged write (status 201 Created)";
            return Err(self.error(ErrorKind::NotFound, "write", key, reason).ambiguous());
        }
        Ok(())
    }

    /// Gaps read as zeros, so one zero byte at the new end is a larger size.
    pub(super) async fn grow_by_writing(&self, key: &Key, size: u64) -> Result<(), StoreError> {
        if self.can.resize != Resize::ByWriting {
            return Err(self.unsupported("resize", key, "set a size"));
        }
        let now = self.inspect("resize", key).await?.size;
        if size < now {
            return Err(self.unsupported("resize", key, "make an object smaller"));
        }
        if size == now {
            return Ok(());
        }
        self.write_range(key, size - 1, Bytes::from_static(&[0])).await
    }

    pub(super) async fn remove(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        if *when == Precondition::Absent {
            self.inspect("delete", key).await?;
            return Err(self.error(ErrorKind::Conflict, "delete", key, "it exists"));
        }
        let mut headers = self.condition("delete", key, when)?;
        // A folder of this name and all that is in it stay: they go with the depth "infinity" alone.
        headers.push((DEPTH, HeaderValue::from_static("0")));
        let call = self.call(Method::DELETE, self.target(key), headers);
        self.change(call, "delete", key, ErrorKind::Conflict).await?;
        Ok(())
    }
}
