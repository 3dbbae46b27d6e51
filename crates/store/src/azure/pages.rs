//! Page blobs: made empty, grown, written and cleared in place.

use super::client::{Ask, AzureStore, x_ms};
use super::read::md5;
use crate::http::range::header;
use crate::{ETag, Key, Precondition, StoreError};
use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use restblk_types::{ErrorKind, Extent};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Bytes of a page: what offsets, lengths and sizes are multiples of.
pub(super) const PAGE_LEN: u64 = 512;
/// The largest page blob.
const SIZE_MAX: u64 = 8 << 40;
const SIZES_MAX: usize = 4096;
/// Tries to grow a blob that others grow too.
const TRIES: u32 = 20;

/// How long blobs were seen to be at least. A blob that others make shorter, which no volume is, is found out by the
/// service's refusal.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<HashMap<Key, u64>>);

impl Sizes {
    fn at_least(&self, key: &Key) -> u64 {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(key).copied().unwrap_or(0)
    }

    fn note(&self, key: &Key, size: u64) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sizes.len() >= SIZES_MAX && !sizes.contains_key(key) {
            sizes.clear();
        }
        sizes.insert(key.clone(), size);
    }

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl AzureStore {
    fn check_aligned(&self, operation: &'static str, key: &Key, numbers: &[u64]) -> Result<(), StoreError> {
        if numbers.iter().all(|number| number.is_multiple_of(PAGE_LEN)) {
            return Ok(());
        }
        let reason = format!("page blobs are changed in multiples of {PAGE_LEN} bytes");
        Err(self.error(ErrorKind::Invalid, operation, key, reason))
    }

    fn page(
        &self,
        key: &Key,
        operation: &'static str,
        range: Extent,
        what: &'static str,
    ) -> Result<Ask, StoreError> {
        let (first, last) = (range.offset(), range.end() - 1);
        Ok(Ask::new(Method::PUT, self.path(operation, key)?)
            .query("comp=page")
            .header(x_ms("x-ms-page-write"), HeaderValue::from_static(what))
            .header(x_ms("x-ms-range"), header(format_args!("bytes={first}-{last}"))))
    }

    pub(super) async fn write_pages(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        len_max: u64,
    ) -> Result<(), StoreError> {
        let len = data.len() as u64;
        let invalid = |reason: String| Err(self.error(ErrorKind::Invalid, "write", key, reason));
        let Some(range) = Extent::new(offset, len) else {
            return invalid("the range ends past 2^64-1".to_owned());
        };
        if range.is_empty() {
            return Ok(());
        }
        self.check_aligned("write", key, &[offset, len])?;
        if len > len_max {
            return invalid(format!(
                "{len} bytes at a time are more than the {len_max} that are possible"
            ));
        }
        let sum = self.checksum.then(|| self.sum(&data));
        let mut known = self.sizes.at_least(key) >= range.end();
        loop {
            if !known {
                self.grow(key, range.end()).await?;
            }
            let ask = self.page(key, "write", range, "update")?;
            let written = self
                .change(ask.headers(sum.clone()).body(data.clone()), "write", key)
                .await;
            match written {
                // The service's word for a range past the end: somebody made it shorter since it was looked at.
                Err(error) if error.kind() == ErrorKind::Invalid && known => known = false,
                Err(error) => {
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) {
                        self.sizes.forget(key);
                    }
                    return Err(error);
                }
                Ok(_) => return Ok(()),
            }
        }
    }

    /// The header with which the service checks what came.
    pub(super) fn sum(&self, data: &Bytes) -> (HeaderName, HeaderValue) {
        (
            HeaderName::from_static("content-md5"),
            header(format_args!("{}", md5([&data[..]]))),
        )
    }

    pub(super) async fn clear_pages(&self, key: &Key, range: Extent) -> Result<(), StoreError> {
        self.check_aligned("punch", key, &[range.offset(), range.len()])?;
        if range.is_empty() {
            return Ok(());
        }
        let ask = self.page(key, "punch", range, "clear")?;
        self.change(ask, "punch", key).await.map(drop)
    }

    fn check_size(&self, operation: &'static str, key: &Key, size: u64) -> Result<(), StoreError> {
        if size <= SIZE_MAX {
            return Ok(());
        }
        let reason = format!("a page blob has at most {SIZE_MAX} bytes (8 TiB)");
        Err(self.error(ErrorKind::Invalid, operation, key, reason))
    }

    async fn set_length(
        &self,
        operation: &'static str,
        key: &Key,
        size: u64,
        seen: Option<ETag>,
    ) -> Result<(), StoreError> {
        self.check_size(operation, key, size)?;
        let when = seen.map_or(Precondition::Always, Precondition::Matches);
        let ask = Ask::new(Method::PUT, self.path(operation, key)?)
            .query("comp=properties")
            .header(x_ms("x-ms-blob-content-length"), header(format_args!("{size}")))
            .headers(self.condition(operation, key, &when)?);
        self.change(ask, operation, key).await?;
        self.sizes.note(key, size);
        Ok(())
    }

    pub(super) async fn resize(&self, key: &Key, size: u64) -> Result<(), StoreError> {
        self.check_aligned("resize", key, &[size])?;
        self.check_size("resize", key, size)?;
        self.sizes.forget(key);
        let set = self.set_length("resize", key, size, None).await;
        match set {
            // Not every service says in one word that a block blob has no size to be set.
            Err(error)
                if error.kind() == ErrorKind::Invalid && !self.inspect("resize", key).await?.in_place =>
            {
                Err(self.other_kind("resize", key, true))
            }
            set => set,
        }
    }

    /// Makes a blob at least this long, whoever else makes it longer at the same time.
    async fn grow(&self, key: &Key, size: u64) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            let found = self.inspect("write", key).await?;
            if !found.in_place {
                return Err(self.other_kind("write", key, true));
            }
            if found.size >= size {
                self.sizes.note(key, found.size);
                return Ok(());
            }
            tries += 1;
            match self.set_length("write", key, size, found.etag).await {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let reason =
                        format!("others changed it each of the {TRIES} times that it was to be made longer");
                    return Err(self.error(ErrorKind::Retry, "write", key, reason));
                }
                grown => return grown,
            }
        }
    }

    pub(super) fn other_kind(&self, operation: &'static str, key: &Key, pages: bool) -> StoreError {
        let reason = if pages {
            "it is no page blob, and only those are changed in place"
        } else {
            "a page blob, which is changed in place, has its name: delete it first"
        };
        self.error(ErrorKind::Unsupported, operation, key, reason)
    }
}
