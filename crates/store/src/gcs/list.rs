//! Listing a folder, page by page.

use super::client::{Ask, GcsStore};
use crate::http::quote;
use crate::{Entry, Key, Page, StoreError};
use http::Method;
use restblk_types::ErrorKind;
use serde::Deserialize;

/// Most names of a page: the protocol's own limit.
const PAGE_MAX: usize = 1000;
const LIST_LEN_MAX: u64 = 8 << 20;

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    items: Vec<Item>,
    #[serde(rename = "nextPageToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    size: Option<String>,
}

impl GcsStore {
    pub(super) async fn children(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let shown = folder.map_or("/", Key::as_str);
        let mut target = format!(
            "{}?delimiter=%2F&maxResults={}&fields=items(name,size),nextPageToken",
            self.objects(),
            limit.clamp(1, PAGE_MAX)
        );
        let prefix = self.bucket.folder(folder);
        for (name, value) in [("prefix", Some(prefix.as_str())), ("pageToken", start)] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                target.push('&');
                target.push_str(name);
                target.push('=');
                target.extend(quote(value));
            }
        }
        let mut ask = Ask::new(Method::GET, target, "list", &shown);
        ask.answer_len_max = LIST_LEN_MAX;
        let answer = self.ask(&ask).await?;
        if !answer.status.is_success() {
            return Err(self.refused(answer, &ask));
        }
        let listing: Listing = serde_json::from_slice(&answer.body.into_bytes()).map_err(|error| {
            let reason = format!("its list is none: {error}");
            self.error(ErrorKind::Corrupt, "list", &shown, reason)
        })?;
        let entry = |item: Item| {
            // What is no key, or no direct child, is none of ours.
            let inner = item.name.strip_prefix(&prefix)?;
            let key = self.bucket.key(&item.name).filter(|_| !inner.contains('/'))?;
            Some(Entry {
                key,
                size: item.size.and_then(|size| size.parse().ok()),
            })
        };
        Ok(Page {
            entries: listing.items.into_iter().filter_map(entry).collect(),
            next: listing.next.filter(|next| !next.is_empty()),
        })
    }
}
