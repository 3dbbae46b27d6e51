//! Reading objects: bytes, sizes, generations.

use super::client::{Ask, GcsStore};
use crate::http::range;
use crate::{ETag, Fetched, Key, ObjectInfo, StoreError, checksum};
use http::header::{HeaderName, RANGE};
use http::{HeaderMap, Method, StatusCode};
use restblk_types::{ErrorKind, Extent};
use serde::Deserialize;

const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
const HASH: HeaderName = HeaderName::from_static("x-goog-hash");

/// An object's metadata. Numbers of 64 bits are text in this API.
#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) size: Option<String>,
    pub(super) generation: Option<String>,
    pub(super) crc32c: Option<String>,
}

/// The CRC32C that the headers tell: `crc32c=…,md5=…`, in one line or in several.
fn told(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(HASH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|sum| sum.trim().strip_prefix("crc32c="))
}

impl GcsStore {
    pub(super) async fn read(&self, key: &Key, part: Option<Extent>) -> Result<Fetched, StoreError> {
        let mut ask = Ask::new(Method::GET, self.object(key) + "?alt=media", "read", key);
        ask.answer_len_max = self.can.put_len_max;
        if let Some(part) = part {
            if part.is_empty() {
                return Err(self.error(ErrorKind::Invalid, "read", key, "the range is empty"));
            }
            ask.headers.push((RANGE, range::bytes(part)));
            ask.answer_len_max = part.len();
        }
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let checked = match part {
            Some(part) => range::check(part, &answer),
            None if answer.status != StatusCode::OK => Err((
                ErrorKind::Corrupt,
                format!("status {} is no whole object", answer.status),
            )),
            None => match told(&answer.headers) {
                Some(told) => {
                    checksum::holds(told, &answer.body).map_err(|reason| (ErrorKind::Corrupt, reason))
                }
                None => Ok(()),
            },
        };
        checked.map_err(|(kind, reason)| self.error(kind, "read", key, reason))?;
        let generation = answer
            .headers
            .get(GENERATION)
            .and_then(|value| value.to_str().ok());
        Ok(Fetched {
            etag: generation.map(|generation| ETag(generation.to_owned())),
            payload: answer.body,
        })
    }

    pub(super) async fn inspect(&self, key: &Key, operation: &'static str) -> Result<ObjectInfo, StoreError> {
        let ask = Ask::new(
            Method::GET,
            self.object(key) + "?fields=size,generation",
            operation,
            key,
        );
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let found: Result<Metadata, _> = serde_json::from_slice(&answer.body.into_bytes());
        let found = found
            .ok()
            .and_then(|found| Some((found.size?.parse().ok()?, found.generation)));
        let Some((size, generation)) = found else {
            let reason = "the answer tells no size";
            return Err(self.error(ErrorKind::Corrupt, operation, key, reason));
        };
        Ok(ObjectInfo {
            size,
            etag: generation.map(ETag),
            in_place: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_found_among_others() {
        let headers = HeaderMap::from_iter([(HASH, "md5=AA==,crc32c=BB==".parse().unwrap())]);
        assert_eq!(told(&headers), Some("BB=="));
        let headers = HeaderMap::from_iter([(HASH, "md5=AA==".parse().unwrap())]);
        assert_eq!(told(&headers), None);
    }
}
