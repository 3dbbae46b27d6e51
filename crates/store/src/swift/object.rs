//! Objects and their container: read, put, removed, listed, measured.

use super::client::{Ask, SwiftStore};
use crate::http::{Answer, condition, quote, range};
use crate::{Entry, Fetched, Key, ObjectInfo, Page, Precondition, StoreError, Usage, Written};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, RANGE};
use http::{HeaderMap, Method, StatusCode};
use md5::{Digest, Md5};
use restblk_types::{ErrorKind, Extent};
use serde::Deserialize;
use std::fmt::Write;

const STATIC_LARGE_OBJECT: HeaderName = HeaderName::from_static("x-static-large-object");
const OBJECT_MANIFEST: HeaderName = HeaderName::from_static("x-object-manifest");
/// Swift's own limit, unless it was configured otherwise.
const LIST_MAX: usize = 10_000;
/// A page of names of 1 KiB.
const LIST_LEN_MAX: u64 = 32 << 20;

/// One line of a listing: an object, or what several begin with.
#[derive(Deserialize)]
struct Line {
    name: Option<String>,
    bytes: Option<u64>,
    subdir: Option<String>,
}

fn md5_hex(parts: impl Iterator<Item = Bytes>) -> String {
    let mut md5 = Md5::new();
    parts.for_each(|part| md5.update(&part));
    let mut text = String::with_capacity(32);
    for byte in md5.finalize() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

impl SwiftStore {
    pub(super) async fn get_range(&self, key: &Key, wanted: Extent) -> Result<Fetched, StoreError> {
        if wanted.is_empty() {
            return Err(self.error(ErrorKind::Invalid, "read", key, "the range is empty"));
        }
        let mut ask = Ask::new(Method::GET, self.place.object(key));
        ask.headers.push((RANGE, range::bytes(wanted)));
        ask.answer_len_max = wanted.len();
        let answer = self.read(ask, "read", key).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, "read", key, false));
        }
        range::check(wanted, &answer).map_err(|(kind, reason)| self.error(kind, "read", key, reason))?;
        Ok(Fetched {
            etag: range::etag(&answer.headers),
            payload: answer.body,
        })
    }

    pub(super) async fn get_whole(&self, key: &Key) -> Result<Fetched, StoreError> {
        let mut ask = Ask::new(Method::GET, self.place.object(key));
        ask.answer_len_max = self.can.put_len_max;
        let answer = self.read(ask, "read", key).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, "read", key, false));
        }
        self.compare(key, &answer)?;
        Ok(Fetched {
            etag: range::etag(&answer.headers),
            payload: answer.body,
        })
    }

    /// The body is what its MD5 says. The ETag of a large object is none of its bytes.
    fn compare(&self, key: &Key, answer: &Answer) -> Result<(), StoreError> {
        let headers = &answer.headers;
        if headers.contains_key(STATIC_LARGE_OBJECT) || headers.contains_key(OBJECT_MANIFEST) {
            return Ok(());
        }
        let Some(told) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else {
            return Ok(());
        };
        let told = told.trim_matches('"');
        let found = md5_hex(answer.body.parts().cloned());
        if told.len() == found.len() && !told.eq_ignore_ascii_case(&found) {
            let reason = format!("its bytes have the MD5 {found}, and Swift keeps {told} of it");
            return Err(self.error(ErrorKind::Corrupt, "read", key, reason));
        }
        Ok(())
    }

    pub(super) async fn inspect(&self, operation: &'static str, key: &Key) -> Result<ObjectInfo, StoreError> {
        let ask = Ask::new(Method::HEAD, self.place.object(key));
        let answer = self.read(ask, operation, key).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(answer, operation, key, false));
        }
        match number(&answer.headers, CONTENT_LENGTH.as_str()) {
            Some(size) => Ok(ObjectInfo {
                size,
                etag: range::etag(&answer.headers),
                in_place: true,
            }),
            None => {
                let reason = "the server does not tell its size (HEAD without Content-Length)";
                Err(self.error(ErrorKind::Corrupt, operation, key, reason))
            }
        }
    }

    fn condition(
        &self,
        operation: &'static str,
        key: &Key,
        when: &Precondition,
    ) -> Result<Option<(HeaderName, HeaderValue)>, StoreError> {
        condition::header(when, &self.can).map_err(|(kind, reason)| self.error(kind, operation, key, reason))
    }

    pub(super) async fn put_whole(
        &self,
        key: &Key,
        body: Bytes,
        when: &Precondition,
    ) -> Result<Written, StoreError> {
        let condition = self.condition("put", key, when)?;
        let md5 = md5_hex(std::iter::once(body.clone()));
        let mut ask = Ask::new(Method::PUT, self.place.object(key));
        ask.headers
            .push((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        ask.headers
            .extend(HeaderValue::try_from(&md5).ok().map(|md5| (ETAG, md5)));
        ask.headers.extend(condition);
        ask.body = body;
        let mut answer = self.ask(ask.clone(), "put", key, true).await?;
        if answer.status == StatusCode::NOT_FOUND {
            self.make_container(key).await?;
            answer = self.ask(ask, "put", key, true).await?;
        }
        match answer.status {
            status if status.is_success() => {}
            StatusCode::UNPROCESSABLE_ENTITY => {
                let reason =
                    "its bytes were damaged on the way, and the server took none of them (status 422)";
                return Err(self.error(ErrorKind::Retry, "put", key, reason));
            }
            // A change of the same moment by somebody else stays.
            StatusCode::CONFLICT if *when == Precondition::Always => {
                let reason = "somebody else changed it in the same moment (status 409)";
                return Err(self.error(ErrorKind::Retry, "put", key, reason));
            }
            _ => return Err(self.refused(answer, "put", key, true)),
        }
        let etag = range::etag(&answer.headers);
        if etag.as_ref().is_some_and(|etag| etag.0.trim_matches('"') != md5) {
            let reason = format!("Swift says that it keeps other bytes than it was sent ({md5})");
            return Err(self.error(ErrorKind::Corrupt, "put", key, reason).ambiguous());
        }
        Ok(Written {
            etag,
            ..Written::default()
        })
    }

    async fn make_container(&self, key: &Key) -> Result<(), StoreError> {
        let ask = Ask::new(Method::PUT, self.place.container.clone());
        let answer = self.ask(ask, "make a container for", key, true).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(answer, "make a container for", key, true))
    }

    pub(super) async fn remove(&self, key: &Key, when: &Precondition) -> Result<(), StoreError> {
        if *when == Precondition::Absent {
            self.inspect("delete", key).await?;
            return Err(self.error(ErrorKind::Conflict, "delete", key, "it exists"));
        }
        let mut ask = Ask::new(Method::DELETE, self.place.object(key));
        ask.headers.extend(self.condition("delete", key, when)?);
        let answer = self.ask(ask, "delete", key, true).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(answer, "delete", key, true))
    }

    /// `start` is the marker: the last name of the page before, from the container's top.
    pub(super) async fn children(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let shown = folder.map_or("/", Key::as_str);
        if !self.can.list {
            return Err(self.error(
                ErrorKind::Unsupported,
                "list",
                &shown,
                "listing was not seen to work",
            ));
        }
        let (prefix, limit) = (self.place.folder(folder), limit.clamp(1, LIST_MAX));
        let quoted = |text: &str| quote(text).collect::<String>();
        let mut target = format!(
            "{}?format=json&limit={limit}&delimiter=%2F&prefix={}",
            self.place.container,
            quoted(&prefix)
        );
        if let Some(start) = start {
            target.push_str("&marker=");
            target.push_str(&quoted(start));
        }
        let mut ask = Ask::new(Method::GET, target);
        ask.answer_len_max = LIST_LEN_MAX;
        let answer = self.ask(ask, "list", &shown, false).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Ok(Page::default()),
            _ => return Err(self.refused(answer, "list", &shown, false)),
        }
        let lines: Vec<Line> = serde_json::from_slice(&answer.body.into_bytes()).map_err(|error| {
            let reason = format!("its list is none of Swift's: {error}");
            self.error(ErrorKind::Corrupt, "list", &shown, reason)
        })?;
        let last = lines
            .last()
            .and_then(|line| line.name.clone().or(line.subdir.clone()));
        let mut page = Page {
            next: last.filter(|_| lines.len() >= limit),
            ..Page::default()
        };
        for line in lines {
            let name = line.name.as_deref().and_then(|name| name.strip_prefix(&prefix));
            let Some(name) = name else { continue };
            let name = folder.map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
            // What is no key is none of ours.
            if let Ok(key) = Key::new(name) {
                page.entries.push(Entry {
                    key,
                    size: line.bytes,
                });
            }
        }
        Ok(page)
    }

    async fn head_of(&self, target: &str) -> Result<Option<HeaderMap>, StoreError> {
        let ask = Ask::new(Method::HEAD, target.to_owned());
        let answer = self.ask(ask, "measure", &"the store", false).await?;
        match answer.status {
            status if status.is_success() => Ok(Some(answer.headers)),
            // Not made yet; or the account is not for this user to see.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            _ => Err(self.refused(answer, "measure", &"the store", false)),
        }
    }

    /// By the container's and the account's own counts, which follow changes after some seconds.
    pub(super) async fn measure(&self) -> Result<Usage, StoreError> {
        let container = self.head_of(&self.place.container).await?.unwrap_or_default();
        let account = self.head_of(&self.place.account).await?.unwrap_or_default();
        let used = number(&container, "x-container-bytes-used");
        let left = |headers: &HeaderMap, quota: &str, used: &str| {
            Some(number(headers, quota)?.saturating_sub(number(headers, used).unwrap_or(0)))
        };
        let available = [
            left(
                &container,
                "x-container-meta-quota-bytes",
                "x-container-bytes-used",
            ),
            left(&account, "x-account-meta-quota-bytes", "x-account-bytes-used"),
        ]
        .into_iter()
        .flatten()
        .min();
        Ok(Usage {
            total: used
                .zip(available)
                .and_then(|(used, available)| used.checked_add(available)),
            used,
            available,
        })
    }
}
