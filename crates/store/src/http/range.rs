//! Ranges of objects and their states in headers: what every client writes and checks the same way.

use super::client::Answer;
use crate::ETag;
use http::header::{CONTENT_RANGE, ETAG, HeaderValue};
use http::{HeaderMap, StatusCode};
use restblk_types::{ErrorKind, Extent};
use std::io::Write;

/// A header's value made of digits and the like, without a detour through a `String`.
pub(crate) fn header(args: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut buf = [0_u8; 64];
    let mut rest = &mut buf[..];
    // Three numbers of 20 digits cannot be; two and the words fit.
    let fits = rest.write_fmt(args).is_ok();
    let len = 64 - rest.len();
    debug_assert!(fits, "64 bytes hold a range");
    HeaderValue::from_bytes(&buf[..len]).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
}

/// The object's state, where it can be told from others.
pub(crate) fn etag(headers: &HeaderMap) -> Option<ETag> {
    let tag = headers.get(ETAG)?.to_str().ok()?.trim();
    // A weak tag does not tell states apart.
    (!tag.starts_with("W/")).then(|| ETag(tag.to_owned()))
}

/// `Content-Range: bytes A-B/N` or `…/*`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim();
    let (range, _) = text
        .strip_prefix("bytes")?
        .trim_start_matches([' ', '='])
        .split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

/// The size of the whole, in a `Content-Range`.
fn total(headers: &HeaderMap) -> Option<u64> {
    let (_, total) = headers.get(CONTENT_RANGE)?.to_str().ok()?.split_once('/')?;
    total.trim().parse().ok()
}

/// `Range: bytes=A-B`. The range is not empty.
pub(crate) fn bytes(range: Extent) -> HeaderValue {
    header(format_args!(
        "bytes={}-{}",
        range.offset(),
        range.end().saturating_sub(1)
    ))
}

/// Whether a successful answer to a ranged read is exactly the range: else the kind of the error and why.
pub(crate) fn check(range: Extent, answer: &Answer) -> Result<(), (ErrorKind, String)> {
    let (first, last) = (range.offset(), range.end().saturating_sub(1));
    let len = answer.body.len() as u64;
    let corrupt = |reason: String| Err((ErrorKind::Corrupt, reason));
    match (answer.status, content_range(&answer.headers)) {
        (StatusCode::PARTIAL_CONTENT, Some(found)) if found == (first, last) => {}
        (StatusCode::PARTIAL_CONTENT, Some((found, end))) if found == first && end < last => {
            let reason = format!("the range {range} is past its end at {}", end.saturating_add(1));
            return Err((ErrorKind::Invalid, reason));
        }
        (StatusCode::PARTIAL_CONTENT, Some((found, end))) => {
            return corrupt(format!(
                "bytes {first}-{last} were asked for and {found}-{end} were sent"
            ));
        }
        // Azure's emulator of an empty object: `bytes 0--1/0`.
        (StatusCode::PARTIAL_CONTENT, None) if total(&answer.headers).is_some_and(|total| total <= first) => {
            return Err((ErrorKind::Invalid, format!("the range {range} is past its end")));
        }
        (StatusCode::PARTIAL_CONTENT, None) => {
            return corrupt(
                "the answer does not say which bytes it has (206 without Content-Range)".to_owned(),
            );
        }
        (status, _) => {
            let reason = format!(
                "it answers a ranged read with the whole object (status {status}): ranges do not work there"
            );
            return Err((ErrorKind::Unsupported, reason));
        }
    }
    if len != range.len() {
        return corrupt(format!(
            "{} bytes were announced and {len} were sent",
            range.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_fits_in_a_header() {
        let value = header(format_args!("bytes {}-{}/*", u64::MAX, u64::MAX));
        assert_eq!(value, "bytes 18446744073709551615-18446744073709551615/*");
    }

    #[test]
    fn content_ranges_are_read() {
        let of = |text: &'static str| {
            content_range(&HeaderMap::from_iter([(
                CONTENT_RANGE,
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(of("bytes 4-7/10"), Some((4, 7)));
        assert_eq!(of("bytes 4-7/*"), Some((4, 7)));
        for bad in ["bytes */10", "bytes 4-7", "4-7/8", "bytes a-b/c", "bytes -7/8"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
