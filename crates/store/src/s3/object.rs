//! Reading objects: bytes, sizes, states.

use super::client::{Ask, Server};
use super::settings::Encryption;
use super::sums;
use crate::http::range;
use crate::{Fetched, Key, ObjectInfo, StoreError};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, RANGE};
use http::{Method, StatusCode};
use restblk_types::{ErrorKind, Extent};

const CUSTOMER_ALGORITHM: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm");
const CUSTOMER_KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-key");
const CUSTOMER_DIGEST: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5");

impl Server {
    /// The headers of a customer's key, which reading and writing need.
    pub(super) fn customer_key(&self) -> Vec<(HeaderName, HeaderValue)> {
        let Encryption::Customer { key, digest } = &self.settings.encryption else {
            return Vec::new();
        };
        let (Ok(mut key), Ok(digest)) = (HeaderValue::try_from(key.expose()), HeaderValue::try_from(digest))
        else {
            // Base64 is a header's value.
            return Vec::new();
        };
        key.set_sensitive(true);
        vec![
            (CUSTOMER_ALGORITHM, HeaderValue::from_static("AES256")),
            (CUSTOMER_KEY, key),
            (CUSTOMER_DIGEST, digest),
        ]
    }

    fn read<'a>(&self, method: Method, key: &'a Key, operation: &'static str) -> Ask<'a> {
        let mut ask = Ask::new(method, self.bucket.object(key), operation, key);
        ask.headers = self.customer_key();
        ask
    }

    pub(super) async fn get_range(&self, key: &Key, range: Extent) -> Result<Fetched, StoreError> {
        if range.is_empty() {
            return Err(self.error(ErrorKind::Invalid, "read", key, "the range is empty"));
        }
        let mut ask = self.read(Method::GET, key, "read");
        ask.headers.push((RANGE, range::bytes(range)));
        ask.answer_len_max = range.len();
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        range::check(range, &answer).map_err(|(kind, reason)| self.error(kind, "read", key, reason))?;
        let etag = range::etag(&answer.headers);
        Ok(Fetched {
            payload: answer.body,
            etag,
        })
    }

    pub(super) async fn get_whole(&self, key: &Key) -> Result<Fetched, StoreError> {
        let mut ask = self.read(Method::GET, key, "read");
        if self.settings.checksum {
            ask.headers.push(sums::ask());
        }
        ask.answer_len_max = self.can.put_len_max;
        let answer = self.ask(&ask).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, &ask));
        }
        sums::hold(&answer.headers, &answer.body)
            .map_err(|reason| self.error(ErrorKind::Corrupt, "read", key, reason))?;
        let etag = range::etag(&answer.headers);
        Ok(Fetched {
            payload: answer.body,
            etag,
        })
    }

    /// Size and state. An answer to `HEAD` has no words: a refusal is asked again as a `GET`, which has.
    pub(super) async fn inspect(&self, key: &Key, operation: &'static str) -> Result<ObjectInfo, StoreError> {
        let ask = self.read(Method::HEAD, key, operation);
        let mut answer = self.ask(&ask).await?;
        if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
            let mut probe = self.read(Method::GET, key, operation);
            probe.headers.push((RANGE, HeaderValue::from_static("bytes=0-0")));
            let said = self.ask(&probe).await?;
            // Put right on the way (a region was learned), or an empty object.
            if !said.status.is_success() && said.status != StatusCode::RANGE_NOT_SATISFIABLE {
                return Err(self.refused(said, &probe));
            }
            answer = self.ask(&ask).await?;
        }
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let size = answer
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|len| len.to_str().ok()?.trim().parse().ok());
        let Some(size) = size else {
            let reason = "the answer tells no size (no Content-Length)";
            return Err(self.error(ErrorKind::Corrupt, operation, key, reason));
        };
        Ok(ObjectInfo {
            size,
            etag: range::etag(&answer.headers),
            in_place: false,
        })
    }
}
