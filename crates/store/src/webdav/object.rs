//! Reading objects: bytes, sizes, states.

use super::client::WebdavStore;
use crate::http::range;
use crate::{Fetched, Key, ObjectInfo, StoreError};
use http::header::{CONTENT_LENGTH, RANGE};
use http::{Method, StatusCode};
use restblk_types::{ErrorKind, Extent};

impl WebdavStore {
    pub(super) async fn get_range(&self, key: &Key, wanted: Extent) -> Result<Fetched, StoreError> {
        if wanted.is_empty() {
            return Err(self.error(ErrorKind::Invalid, "read", key, "the range is empty"));
        }
        let mut call = self.call(Method::GET, self.target(key), vec![(RANGE, range::bytes(wanted))]);
        call.answer_len_max = wanted.len();
        let answer = self.ask(call, "read", key, false).await?;
        match answer.status {
            // Servers answer a range of an empty object with all of it (RFC 9110, 14.1.2).
            StatusCode::OK if answer.body.is_empty() => {
                let reason = format!("the range {wanted} is past its end at 0");
                return Err(self.error(ErrorKind::Invalid, "read", key, reason));
            }
            status if status.is_success() => {}
            _ => return Err(self.refused(answer, "read", key, false)),
        }
        range::check(wanted, &answer).map_err(|(kind, reason)| self.error(kind, "read", key, reason))?;
        Ok(Fetched {
            etag: range::etag(&answer.headers),
            payload: answer.body,
        })
    }

    pub(super) async fn get_whole(&self, key: &Key) -> Result<Fetched, StoreError> {
        let mut call = self.call(Method::GET, self.target(key), Vec::new());
        call.answer_len_max = self.can.put_len_max;
        let answer = self.ask(call, "read", key, false).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, "read", key, false));
        }
        Ok(Fetched {
            etag: range::etag(&answer.headers),
            payload: answer.body,
        })
    }

    pub(super) async fn inspect(&self, operation: &'static str, key: &Key) -> Result<ObjectInfo, StoreError> {
        let call = self.call(Method::HEAD, self.target(key), Vec::new());
        let answer = self.ask(call, operation, key, false).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, operation, key, false));
        }
        let etag = range::etag(&answer.headers);
        let told = answer
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|len| len.to_str().ok()?.trim().parse().ok());
        let size = match told {
            Some(size) => size,
            None => self.is_empty(operation, key).await?,
        };
        Ok(ObjectInfo {
            size,
            etag,
            in_place: true,
        })
    }

    /// The size of an object of which a `HEAD` does not tell it: Apache leaves a length of 0 out. Anything else is `Corrupt`.
    async fn is_empty(&self, operation: &'static str, key: &Key) -> Result<u64, StoreError> {
        let mut call = self.call(Method::GET, self.target(key), Vec::new());
        call.answer_len_max = 0;
        match self.ask(call, operation, key, false).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok(0),
            Ok(answer) => Err(self.refused(answer, operation, key, false)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let reason = "the server does not tell its size (HEAD without Content-Length)";
                Err(self.error(ErrorKind::Corrupt, operation, key, reason))
            }
            Err(error) => Err(error),
        }
    }
}
