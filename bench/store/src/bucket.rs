//! What a bucket has: objects, uploads that are not complete, and counts.

use crate::counts::Counts;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use md5::{Digest, Md5};
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

/// The longest body whose tag is its MD5. A longer one has a tag that says nothing, as objects put in parts have with S3.
const MD5_MAX: usize = 1 << 20;

/// Buckets by name.
pub(crate) type Buckets = HashMap<String, Bucket>;

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Object>,
    /// Parts by their numbers, by the upload's id.
    pub(crate) uploads: HashMap<u64, BTreeMap<u32, Bytes>>,
    pub(crate) counts: Counts,
    /// Numbers given away: of uploads, and in the tags of long bodies.
    given: u64,
}

#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) data: Bytes,
    pub(crate) tag: String,
    /// What the client gave with it, to be given back.
    pub(crate) told: HeaderMap,
    pub(crate) put_at: SystemTime,
}

impl Bucket {
    pub(crate) fn number(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// The tag of a body that is about to be put.
    pub(crate) fn tag(&mut self, data: &[u8]) -> String {
        if data.len() > MD5_MAX {
            return format!("\"{:032x}-1\"", self.number());
        }
        let digest: String = Md5::digest(data)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("\"{digest}\"")
    }

    /// Puts an object; returns its tag.
    pub(crate) fn put(&mut self, key: String, data: Bytes, told: HeaderMap) -> String {
        let tag = self.tag(&data);
        let object = Object {
            data,
            tag: tag.clone(),
            told,
            put_at: SystemTime::now(),
        };
        self.objects.insert(key, object);
        tag
    }
}

/// Of a request's headers those that belong to the object.
pub(crate) fn told(headers: &HeaderMap) -> HeaderMap {
    let kept = |(name, _): &(&HeaderName, &HeaderValue)| {
        let name = name.as_str();
        name.starts_with("x-amz-meta-")
            || matches!(
                name,
                "content-type" | "content-encoding" | "x-amz-checksum-crc32c" | "x-amz-checksum-type"
            )
    };
    headers
        .iter()
        .filter(kept)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
