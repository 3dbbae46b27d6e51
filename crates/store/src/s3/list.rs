//! Listing a folder, page by page.

use super::client::{Ask, Server};
use super::xml;
use crate::http::quote;
use crate::{Entry, Key, Page, StoreError};
use http::Method;
use restblk_types::ErrorKind;

/// Most names of a page: the protocol's own limit.
const PAGE_MAX: usize = 1000;
/// A thousand names of a thousand bytes, quoted, with all that servers say of each.
const LIST_LEN_MAX: u64 = 8 << 20;

impl Server {
    pub(super) async fn children(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let shown = folder.map_or("/", Key::as_str);
        let mut target = format!(
            "{}?list-type=2&delimiter=%2F&encoding-type=url&max-keys={}",
            self.bucket.target(),
            limit.clamp(1, PAGE_MAX)
        );
        let prefix = self.bucket.folder(folder);
        if !prefix.is_empty() {
            target.push_str("&prefix=");
            target.extend(quote(&prefix));
        }
        if let Some(start) = start {
            target.push_str("&continuation-token=");
            target.extend(quote(start));
        }
        let mut ask = Ask::new(Method::GET, target, "list", &shown);
        ask.answer_len_max = LIST_LEN_MAX;
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let listing = xml::listing(&answer.body.into_bytes())
            .map_err(|reason| self.error(ErrorKind::Corrupt, "list", &shown, reason))?;
        let mut page = Page {
            entries: Vec::with_capacity(listing.objects.len()),
            next: listing.next,
        };
        for (name, size) in listing.objects {
            // What is no key, or no direct child, is none of ours.
            let Some(key) = self.bucket.key(&name) else {
                continue;
            };
            if name[prefix.len().min(name.len())..].contains('/') || !name.starts_with(&prefix) {
                continue;
            }
            page.entries.push(Entry { key, size });
        }
        Ok(page)
    }
}
