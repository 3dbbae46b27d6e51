//! Large whole objects: blocks in parallel, and the list that makes them a blob.

use super::client::{Ask, AzureStore, x_ms};
use super::read::md5;
use crate::http::range::{etag, header};
use crate::{Key, StoreError, Written};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use http::Method;
use http::header::{HeaderName, HeaderValue};
use std::fmt::Write;

/// Bytes of a block but the last, and of the largest object that is put in one request.
const BLOCK_LEN: usize = 8 << 20;
/// Blocks under way at a time.
const PARALLEL: usize = 4;

/// The name of a block. Uploads of one name by several clients share the names of their blocks, so each has chance of its
/// own; all have one length, as the service demands.
fn block_id(upload: u128, number: usize) -> String {
    let mut id = [0; 24];
    id[..16].copy_from_slice(&upload.to_be_bytes());
    id[16..].copy_from_slice(&(number as u64).to_be_bytes());
    STANDARD.encode(id)
}

impl AzureStore {
    pub(super) fn is_large(&self, body: &Bytes) -> bool {
        body.len() > BLOCK_LEN
    }

    pub(super) async fn put_blocks(
        &self,
        key: &Key,
        body: &Bytes,
        condition: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Written, StoreError> {
        let upload: u128 = rand::random();
        let starts = (0..body.len()).step_by(BLOCK_LEN).enumerate();
        let blocks = starts.map(|(number, start)| {
            let end = body.len().min(start + BLOCK_LEN);
            self.put_block(key, block_id(upload, number), body.slice(start..end))
        });
        let ids: Vec<String> = stream::iter(blocks).buffered(PARALLEL).try_collect().await?;
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for id in ids {
            // Writing to a string cannot fail.
            let _ = write!(list, "<Uncommitted>{id}</Uncommitted>");
        }
        list.push_str("</BlockList>");
        let list = Bytes::from(list);
        let mut ask = Ask::new(Method::PUT, self.path("put", key)?)
            .query("comp=blocklist")
            .headers(condition);
        if self.checksum {
            let whole = header(format_args!("{}", md5([&body[..]])));
            ask = ask
                .headers([self.sum(&list)])
                .header(x_ms("x-ms-blob-content-md5"), whole);
        }
        let answer = self.change(ask.body(list), "put", key).await?;
        Ok(Written {
            etag: etag(&answer.headers),
            instance: None,
        })
    }

    async fn put_block(&self, key: &Key, id: String, block: Bytes) -> Result<String, StoreError> {
        let quoted: String = crate::http::quote(&id).collect();
        let ask = Ask::new(Method::PUT, self.path("put", key)?)
            .query(format!("comp=block&blockid={quoted}"))
            .headers(self.checksum.then(|| self.sum(&block)))
            .body(block);
        // A block alone changes nothing that anybody sees, whether its answer came or not.
        match self.change(ask, "put", key).await {
            Ok(_) => Ok(id),
            Err(error) => Err(error.without_effect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ids_differ_and_are_of_one_length() {
        let ids = [
            block_id(1, 0),
            block_id(1, 1),
            block_id(2, 0),
            block_id(u128::MAX, 49_999),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(id.len() == 32 && !ids[..at].contains(id), "{ids:?}");
        }
    }
}
