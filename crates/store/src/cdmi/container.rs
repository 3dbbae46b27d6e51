//! Containers: made where they are missing, listed page by page.

use super::client::CdmiStore;
use super::dialect::Dialect;
use super::{json, target};
use crate::http::{Answer, Call};
use crate::{Entry, Key, Page, StoreError};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use restblk_types::ErrorKind;

const CONTAINER: HeaderValue = HeaderValue::from_static("application/cdmi-container");
/// A list of 100,000 names.
const LIST_LEN_MAX: u64 = 32 << 20;
/// Containers that are made above an object, at most.
const DEPTH_MAX: usize = 450;

impl CdmiStore {
    /// Makes the container, and those above it where they are missing. One that is there is left as it is.
    pub(super) async fn make_container(&self, path: &str, object: &Key) -> Result<(), StoreError> {
        let mut missing = vec![path];
        // Going up once and down once: a server that says "not found" of what was just made is not asked for ever.
        let mut climbing = true;
        while let Some(&path) = missing.last() {
            let answer = self
                .ask(self.container_put(path), "make a container for", object, true)
                .await?;
            match answer.status {
                // Made, or made by somebody else.
                status
                    if status.is_success()
                        || status == StatusCode::CONFLICT
                        || status == StatusCode::PRECONDITION_FAILED =>
                {
                    missing.pop();
                    climbing = false;
                }
                StatusCode::NOT_FOUND if climbing && missing.len() < DEPTH_MAX => {
                    match target::parent(path) {
                        Some(parent) => missing.push(parent),
                        None => return Err(self.refused(answer, "make a container for", object, true)),
                    }
                }
                _ => return Err(self.refused(answer, "make a container for", object, true)),
            }
        }
        self.containers.seen(path);
        Ok(())
    }

    fn container_put(&self, path: &str) -> Call {
        // The 2014 dialect knows no bodies here.
        if self.dialect == Dialect::Srb {
            return self.call(Method::PUT, path.to_owned(), Vec::new());
        }
        let mut headers = vec![(CONTENT_TYPE, CONTAINER), (ACCEPT, CONTAINER)];
        headers.extend(self.version());
        let mut call = self.call(Method::PUT, path.to_owned(), headers);
        call.body = Bytes::from_static(b"{}");
        // The answer has the container's children.
        call.answer_len_max = LIST_LEN_MAX;
        call
    }

    pub(super) async fn children(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let shown = folder.map_or("/", Key::as_str);
        let fail = |kind, reason: String| Err(self.error(kind, "list", &shown, reason));
        let first: usize = match start.map(str::parse) {
            None => 0,
            Some(Ok(first)) => first,
            Some(Err(_)) => {
                return fail(
                    ErrorKind::Invalid,
                    "the start is none of this server's".to_owned(),
                );
            }
        };
        let limit = limit.clamp(1, 100_000);
        let answer = self.ask_children(folder, &shown, first, limit).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Page::default()),
            // Past the last child.
            StatusCode::BAD_REQUEST | StatusCode::RANGE_NOT_SATISFIABLE if first > 0 => {
                return Ok(Page::default());
            }
            _ => return Err(self.refused(answer, "list", &shown, false)),
        }
        let srb = self.dialect == Dialect::Srb;
        let children = match json::children(&answer.body.into_bytes(), srb) {
            Ok(children) => children,
            Err(reason) => return fail(ErrorKind::Corrupt, reason),
        };
        let came = children.len();
        let mut page = Page::default();
        for name in children {
            // Containers end with a slash; what is no key is none of ours.
            let name = folder.map_or_else(|| name.clone(), |folder| format!("{folder}/{name}"));
            if let Ok(key) = Key::new(name) {
                page.entries.push(Entry { key, size: None });
            }
        }
        // A server that ignores the range sends all at once: more than were asked for, and no page after.
        page.next = (!srb && came == limit).then(|| (first + came).to_string());
        Ok(page)
    }

    async fn ask_children(
        &self,
        folder: Option<&Key>,
        shown: &&str,
        first: usize,
        limit: usize,
    ) -> Result<Answer, StoreError> {
        let path = target::folder(self.http.endpoint().prefix(), folder);
        let last = first.saturating_add(limit) - 1;
        let query = match self.dialect {
            Dialect::Srb => String::new(),
            Dialect::Cdmi2 => format!("?children={first}-{last}&childrenrange"),
            Dialect::Cdmi1 | Dialect::Scality => format!("?children:{first}-{last};childrenrange"),
        };
        let answer = self
            .ask(self.list_call(path.clone() + &query), "list", shown, false)
            .await?;
        // A container may have moved within this server: asked once more, there.
        let moved = match answer.status.as_u16() {
            301 | 302 | 307 | 308 => answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()),
            _ => None,
        };
        let Some(to) = moved.and_then(|to| self.path_here(to)) else {
            return Ok(answer);
        };
        let to = if to.contains('?') { to } else { to + &query };
        self.ask(self.list_call(to), "list", shown, false).await
    }

    fn list_call(&self, target: String) -> Call {
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![(ACCEPT, CONTAINER)];
        if self.dialect == Dialect::Srb {
            let version = HeaderName::from_static("x-cdmi-specification-version");
            headers.push((version, HeaderValue::from_static("1.0.1")));
        }
        headers.extend(self.version());
        let mut call = self.call(Method::GET, target, headers);
        call.answer_len_max = LIST_LEN_MAX;
        call
    }

    /// The path of a location on this very server; credentials follow nowhere else.
    fn path_here(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(location.to_owned());
        }
        let base = self.http.endpoint().to_string();
        let origin = base.strip_suffix(self.http.endpoint().prefix())?;
        let path = location.strip_prefix(origin)?;
        path.starts_with('/').then(|| path.to_owned())
    }
}
