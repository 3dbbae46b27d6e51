//! Uploads in parts.

use crate::answer::{Answered, missing, put, refusal, with_status, with_tag, xml};
use crate::bucket::Bucket;
use crate::request::Asked;
use bytes::BytesMut;
use hyper::{Method, StatusCode};
use quick_xml::escape::escape;

pub(crate) fn answer(bucket: &mut Bucket, asked: &Asked) -> Answered {
    let Some(id) = asked.number::<u64>("uploadId") else {
        return begin(bucket, asked);
    };
    if !bucket.uploads.contains_key(&id) {
        return Err(missing("NoSuchUpload"));
    }
    match asked.method {
        Method::PUT => {
            let tag = bucket.tag(&asked.body);
            let number = asked.number("partNumber").unwrap_or(1);
            if let Some(parts) = bucket.uploads.get_mut(&id) {
                parts.insert(number, asked.body.clone());
            }
            Ok(with_tag(&tag))
        }
        Method::POST => complete(bucket, asked, id),
        Method::DELETE => {
            bucket.uploads.remove(&id);
            Ok(with_status(StatusCode::NO_CONTENT))
        }
        _ => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
    }
}

fn begin(bucket: &mut Bucket, asked: &Asked) -> Answered {
    if asked.method != Method::POST {
        return Err(missing("NoSuchUpload"));
    }
    let id = bucket.number();
    bucket.uploads.insert(id, Default::default());
    Ok(xml(format!(
        "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
        escape(asked.bucket.as_str()),
        escape(asked.key.as_str())
    )))
}

/// All parts that came, in the order of their numbers; the list in the body names the same, for a client that is not mistaken.
fn complete(bucket: &mut Bucket, asked: &Asked, id: u64) -> Answered {
    let parts = bucket.uploads.remove(&id).unwrap_or_default();
    let mut data = BytesMut::with_capacity(parts.values().map(|part| part.len()).sum());
    for part in parts.values() {
        data.extend_from_slice(part);
    }
    let tag = put(bucket, asked, data.freeze())?;
    Ok(xml(format!(
        "<CompleteMultipartUploadResult><Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
        escape(asked.key.as_str()),
        escape(tag.as_str())
    )))
}
