//! What an answer's status means, in a store's words: for protocols that do not say more.

use super::client::{Answer, server_time};
use crate::StoreError;
use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use restblk_types::ErrorKind;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Most characters of a server's own words that are repeated.
const WORDS_LEN_MAX: usize = 200;

/// The error that an answer without success is. `changes`: the request changes something.
pub(crate) fn refuse(
    answer: Answer,
    operation: &'static str,
    object: &dyn fmt::Display,
    changes: bool,
) -> StoreError {
    let status = answer.status;
    let retry_after = retry_after(&answer);
    let (kind, meaning) = meaning(status, &answer);
    let mut reason = match status.canonical_reason() {
        Some(words) => format!("{meaning} (status {} {words}", status.as_u16()),
        None => format!("{meaning} (status {}", status.as_u16()),
    };
    let words = words(answer);
    if !words.is_empty() {
        reason.push_str(": ");
        reason.push_str(&words);
    }
    reason.push(')');
    let error = StoreError::new(kind, operation, object, reason).with_retry_after(retry_after);
    if changes { doubt(status, error) } else { error }
}

/// The error of a change, marked where this status leaves open whether it took effect.
pub(crate) fn doubt(status: StatusCode, error: StoreError) -> StoreError {
    match status.as_u16() {
        // The time of somebody between was over: the server behind may do it later.
        408 | 504 => error.may_land_later(),
        500 | 502 => error.ambiguous(),
        _ => error,
    }
}

/// What to do about the status, and why in words.
pub(crate) fn meaning(status: StatusCode, answer: &Answer) -> (ErrorKind, String) {
    use ErrorKind as K;
    let of = |kind, words: &str| (kind, words.to_owned());
    match status.as_u16() {
        401 => of(
            K::Denied,
            "it wants other credentials: check `user` and the password",
        ),
        403 => of(K::Denied, "these credentials have no right to do it"),
        404 | 410 => of(K::NotFound, "it does not exist"),
        405 | 501 | 505 => of(K::Unsupported, "the server cannot do it"),
        408 => of(K::Unavailable, "the server had waited too long for the request"),
        409 | 412 => of(K::Conflict, "somebody else changed it"),
        413 => of(K::Invalid, "the request is larger than the server takes"),
        414 => of(K::Invalid, "the name is longer than the server takes"),
        416 => of(K::Invalid, "the range is past its end"),
        429 => of(K::Unavailable, "the server asks for fewer requests"),
        503 => of(K::Unavailable, "the server is not available now"),
        502 | 504 => of(K::Unavailable, "the server behind does not answer"),
        507 => of(
            K::NoSpace,
            "the server has no space left, or the quota is used up",
        ),
        500..=599 => of(K::Retry, "the server failed"),
        300..=399 => {
            let to = answer
                .headers
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("nowhere");
            if to.ends_with('/') {
                return (
                    K::Invalid,
                    format!("a folder has its name, or the server has moved to {to}"),
                );
            }
            (
                K::Invalid,
                format!("the server has moved to {to}: write that in the store's URLs"),
            )
        }
        200..=299 => of(
            K::Unsupported,
            "the server answers with a success that is none of this request",
        ),
        _ => of(K::Invalid, "the server refuses the request"),
    }
}

/// The pause that the server asks for, in seconds or until a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(answer: &Answer) -> Option<Duration> {
    let asked = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    pause_asked(asked, server_time(&answer.headers), SystemTime::now())
}

/// A date is one of the server's clock, which `server_s` tells (seconds since 1970), where it does: ours may be another.
fn pause_asked(asked: &str, server_s: Option<u64>, now: SystemTime) -> Option<Duration> {
    let asked = asked.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(asked).ok()?;
    let now = server_s.map_or(now, |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s));
    Some(date.duration_since(now).unwrap_or_default())
}

/// The beginning of the server's own explanation, where it is text in one line.
fn words(answer: Answer) -> String {
    let bytes = answer.body.into_bytes();
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(4 * WORDS_LEN_MAX)]) else {
        return String::new();
    };
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    one_line(text)
}

/// The beginning of what a server says, in one line.
pub(crate) fn one_line(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_LEN_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_asked_for_in_seconds_or_by_a_date() {
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        // 784111777 s after 1970, the date of RFC 9110's examples.
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (asked, server_s, now, pause_s) in [
            ("120", None, 0, Some(120)),
            (" 0 ", Some(5), 7, Some(0)),
            (date, None, 784_111_767, Some(10)),
            (date, None, 784_111_787, Some(0)),
            // This host's clock is an hour ahead.
            (date, Some(784_111_770), 784_115_370, Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None, 784_111_767, Some(10)),
            ("soon", None, 0, None),
            ("-1", None, 0, None),
        ] {
            let pause = pause_asked(asked, server_s, at(now));
            assert_eq!(pause, pause_s.map(Duration::from_secs), "{asked}");
        }
    }
}
