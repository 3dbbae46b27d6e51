//! From a request to its answer.

use crate::bucket::{Bucket, Buckets, told};
use crate::request::Asked;
use crate::{list, read, upload};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use std::cell::RefCell;

pub(crate) type Answer = Response<Full<Bytes>>;
/// An answer, or a refusal.
pub(crate) type Answered<T = Answer> = Result<T, Box<Answer>>;

/// Under this name stands what is told of the buckets.
const TOLD: &str = "-";

pub(crate) async fn answer(
    request: Request<Incoming>,
    buckets: &RefCell<Buckets>,
) -> Result<Answer, hyper::Error> {
    let asked = Asked::read(request).await?;
    let mut buckets = buckets.borrow_mut();
    if asked.bucket == TOLD {
        return Ok(tell(&mut buckets, &asked));
    }
    let bucket = buckets.entry(asked.bucket.clone()).or_default();
    let of_object = !asked.key.is_empty();
    let answer = if of_object {
        object(bucket, &asked).unwrap_or_else(|refused| *refused)
    } else {
        match asked.method {
            Method::GET => xml(list::page(bucket, &asked)),
            Method::PUT | Method::HEAD => with_status(StatusCode::OK),
            _ => *refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    };
    let sent = answer.body().size_hint().lower();
    let received = asked.body.len() as u64;
    bucket.counts.add(&asked.method, of_object, received, sent);
    Ok(answer)
}

fn tell(buckets: &mut Buckets, asked: &Asked) -> Answer {
    if asked.method == Method::DELETE {
        buckets.remove(&asked.key);
        return with_status(StatusCode::NO_CONTENT);
    }
    let counts = &buckets.entry(asked.key.clone()).or_default().counts;
    match serde_json::to_vec(counts) {
        Ok(json) => Response::new(json.into()),
        Err(_) => with_status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn object(bucket: &mut Bucket, asked: &Asked) -> Answered {
    if asked.query.contains_key("uploadId") || asked.query.contains_key("uploads") {
        return upload::answer(bucket, asked);
    }
    match asked.method {
        Method::GET | Method::HEAD => read::answer(bucket, asked),
        Method::PUT => Ok(with_tag(&put(bucket, asked, asked.body.clone())?)),
        Method::DELETE => {
            conditions(bucket, asked)?;
            bucket.objects.remove(&asked.key);
            Ok(with_status(StatusCode::NO_CONTENT))
        }
        _ => Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
    }
}

/// Puts these bytes, where the request's conditions hold; returns the tag.
pub(crate) fn put(bucket: &mut Bucket, asked: &Asked, data: Bytes) -> Answered<String> {
    conditions(bucket, asked)?;
    Ok(bucket.put(asked.key.clone(), data, told(&asked.headers)))
}

/// Whether what the request makes a condition of a change holds.
fn conditions(bucket: &Bucket, asked: &Asked) -> Answered<()> {
    let now = bucket.objects.get(&asked.key);
    let failed = || refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    if asked.header("if-none-match").is_some() && now.is_some() {
        return Err(failed());
    }
    match (asked.header("if-match"), now) {
        (Some(_), None) => Err(missing("NoSuchKey")),
        (Some(tag), Some(now)) if tag != "*" && tag != now.tag => Err(failed()),
        _ => Ok(()),
    }
}

pub(crate) fn xml(text: String) -> Answer {
    let mut answer = Response::new(text.into());
    let kind = HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

pub(crate) fn with_status(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

pub(crate) fn with_tag(tag: &str) -> Answer {
    let mut answer = Answer::default();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

pub(crate) fn refusal(status: StatusCode, code: &str) -> Box<Answer> {
    let mut answer = xml(format!(
        "<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    ));
    *answer.status_mut() = status;
    Box::new(answer)
}

pub(crate) fn missing(code: &str) -> Box<Answer> {
    refusal(StatusCode::NOT_FOUND, code)
}
