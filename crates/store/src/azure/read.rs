//! Reading: sizes, states and kinds of blobs, their bytes and ranges of them.

use super::client::{Ask, AzureStore, x_ms};
use crate::http::range::{self, etag};
use crate::{Fetched, Key, ObjectInfo, Payload, StoreError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use md5::{Digest, Md5};
use restblk_types::{ErrorKind, Extent};

const CONTENT_MD5: &str = "content-md5";

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

pub(super) fn md5<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part);
    }
    STANDARD.encode(digest.finalize())
}

impl AzureStore {
    pub(super) async fn inspect(&self, operation: &'static str, key: &Key) -> Result<ObjectInfo, StoreError> {
        let ask = Ask::new(Method::HEAD, self.path(operation, key)?);
        let answer = self.ask(ask, operation, key, false).await?;
        let answer = self.success(answer, operation, key, false)?;
        let corrupt = |what: &str| self.error(ErrorKind::Corrupt, operation, key, what);
        let size = text(&answer.headers, CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok());
        let size = size.ok_or_else(|| corrupt("its size is not told"))?;
        let kind = text(&answer.headers, "x-ms-blob-type");
        let kind = kind.ok_or_else(|| corrupt("the answer has no x-ms-blob-type: is this Azure Blob?"))?;
        Ok(ObjectInfo {
            size,
            etag: etag(&answer.headers),
            in_place: kind == "PageBlob",
        })
    }

    pub(super) async fn get_range(&self, key: &Key, extent: Extent) -> Result<Fetched, StoreError> {
        if extent.is_empty() {
            return Err(self.error(ErrorKind::Invalid, "read", key, "the range is empty"));
        }
        let mut ask = Ask::new(Method::GET, self.path("read", key)?)
            .header(x_ms("x-ms-range"), range::bytes(extent))
            .answer_len_max(extent.len());
        // The service tells it for ranges of up to 4 MiB, and refuses to for longer ones.
        if self.checksum && extent.len() <= 4 << 20 {
            let yes = HeaderValue::from_static("true");
            ask = ask.header(x_ms("x-ms-range-get-content-md5"), yes);
        }
        let answer = self.ask(ask, "read", key, false).await?;
        let answer = self.success(answer, "read", key, false)?;
        range::check(extent, &answer).map_err(|(kind, reason)| self.error(kind, "read", key, reason))?;
        self.check_md5(key, &answer.headers, &answer.body)?;
        Ok(Fetched {
            etag: etag(&answer.headers),
            payload: answer.body,
        })
    }

    pub(super) async fn get_whole(&self, key: &Key, len_max: u64) -> Result<Fetched, StoreError> {
        let ask = Ask::new(Method::GET, self.path("read", key)?).answer_len_max(len_max);
        let answer = self.ask(ask, "read", key, false).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(&answer, "read", key, false));
        }
        // That of a page blob is what somebody once said, and no write changes it.
        if text(&answer.headers, "x-ms-blob-type") == Some("BlockBlob") {
            self.check_md5(key, &answer.headers, &answer.body)?;
        }
        Ok(Fetched {
            etag: etag(&answer.headers),
            payload: answer.body,
        })
    }

    /// The bytes are those of which the answer tells the MD5, where it tells one.
    fn check_md5(&self, key: &Key, headers: &HeaderMap, body: &Payload) -> Result<(), StoreError> {
        let Some(told) = text(headers, CONTENT_MD5).filter(|_| self.checksum) else {
            return Ok(());
        };
        if md5(body.parts().map(|part| &part[..])) == told {
            return Ok(());
        }
        let reason = format!(
            "its {} bytes are not those of the MD5 that came with them",
            body.len()
        );
        Err(self.error(ErrorKind::Corrupt, "read", key, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_is_as_the_header_has_it() {
        assert_eq!(md5([&b"ab"[..], b"c"]), "kAFQmDzST7DWlj99KOF/cg==");
    }
}
