//! Whole and ranged reads.

use crate::answer::{Answer, Answered, missing, refusal, with_status};
use crate::bucket::{Bucket, Object};
use crate::request::Asked;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED,
};
use hyper::{Method, StatusCode};
use std::ops::Range;

pub(crate) fn answer(bucket: &Bucket, asked: &Asked) -> Answered {
    let Some(object) = bucket.objects.get(&asked.key) else {
        // A HEAD is answered without a body.
        return Err(match asked.method {
            Method::HEAD => Box::new(with_status(StatusCode::NOT_FOUND)),
            _ => missing("NoSuchKey"),
        });
    };
    let named = |tags: &str| tags == "*" || tags == object.tag;
    if asked.header("if-match").is_some_and(|tags| !named(tags)) {
        return Err(refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
    }
    if asked.header("if-none-match").is_some_and(named) {
        return Err(Box::new(with_status(StatusCode::NOT_MODIFIED)));
    }
    let mut answer = Answer::default();
    let sum_is_wanted = asked.header("x-amz-checksum-mode").is_some();
    describe(
        &mut answer,
        object,
        sum_is_wanted && asked.header("range").is_none(),
    );
    let len = object.data.len();
    let mut bytes = 0..len;
    if let Some(range) = asked.header("range").and_then(|range| parsed(range, len)) {
        if range.is_empty() {
            return Err(refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"));
        }
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let told = format!("bytes {}-{}/{len}", range.start, range.end - 1);
        set(&mut answer, CONTENT_RANGE, &told);
        bytes = range;
    }
    if asked.method == Method::HEAD {
        set(&mut answer, CONTENT_LENGTH, &bytes.len().to_string());
    } else {
        *answer.body_mut() = object.data.slice(bytes).into();
    }
    Ok(answer)
}

fn describe(answer: &mut Answer, object: &Object, with_sum: bool) {
    set(answer, ETAG, &object.tag);
    set(answer, LAST_MODIFIED, &httpdate::fmt_http_date(object.put_at));
    set(answer, ACCEPT_RANGES, "bytes");
    for (name, value) in &object.told {
        if with_sum || !name.as_str().starts_with("x-amz-checksum") {
            answer.headers_mut().insert(name, value.clone());
        }
    }
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// `bytes=A-B`, `bytes=A-` or `bytes=-N` of so many bytes, empty where nothing is there; none for what is no range.
fn parsed(range: &str, len: usize) -> Option<Range<usize>> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (from.parse(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => from..to.saturating_add(1).min(len),
        (Ok(from), Err(_)) => from..len,
        (Err(_), Ok(last)) => len.saturating_sub(last)..len,
        (Err(_), Err(_)) => return None,
    };
    Some(if range.start < range.end { range } else { 0..0 })
}

#[cfg(test)]
mod tests {
    use super::parsed;

    #[test]
    fn ranges() {
        for (range, wanted) in [
            ("bytes=0-9", Some(0..10)),
            ("bytes=90-", Some(90..100)),
            ("bytes=-1", Some(99..100)),
            ("bytes=95-200", Some(95..100)),
            ("bytes=100-", Some(0..0)),
            ("bytes=9-3", Some(0..0)),
            ("bytes=-", None),
            ("blocks=0-1", None),
        ] {
            assert_eq!(parsed(range, 100), wanted, "{range}");
        }
    }
}
