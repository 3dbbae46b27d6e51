//! `If-Match`, `If-None-Match` and `If-Range` (RFC 9110, 13), and the token of a lock.

use crate::error::{Error, Result};
use crate::store::{Conditions, LockToken, Tag, Tags};
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderName};

const LOCK: HeaderName = HeaderName::from_static("x-restblk-lock");

/// Reads the conditions of a request.
pub(super) fn read(headers: &HeaderMap, ignore_if_none_match: bool) -> Result<Conditions> {
    Ok(Conditions {
        if_match: tags(headers, IF_MATCH, false)?,
        if_none_match: if ignore_if_none_match {
            None
        } else {
            tags(headers, IF_NONE_MATCH, true)?
        },
        lock: lock_token(headers)?,
    })
}

/// The token in `X-Restblk-Lock`.
fn lock_token(headers: &HeaderMap) -> Result<Option<LockToken>> {
    let mut given = headers.get_all(LOCK).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        // What is no text is no token either.
        (Some(token), None) => LockToken::parse(token.to_str().unwrap_or_default()).map(Some),
        (Some(_), Some(_)) => Err(Error::bad("X-Restblk-Lock is there twice")),
    }
}

/// Whether `Range` holds: no `If-Range`, or one with the current tag.
pub(super) fn range_holds(headers: &HeaderMap, tag: Tag) -> bool {
    headers
        .get(IF_RANGE)
        .is_none_or(|value| value.as_bytes() == tag.to_string().as_bytes())
}

/// `weak`: whether `W/"x"` stands for `"x"`; in `If-Match` it matches nothing.
fn tags(headers: &HeaderMap, name: HeaderName, weak: bool) -> Result<Option<Tags>> {
    let mut list = Vec::new();
    let mut any = false;
    let mut given = false;
    for value in headers.get_all(&name) {
        given = true;
        let bad = || Error::Bad(format!("{name} is neither * nor a list of entity tags in quotes"));
        let text = value.to_str().map_err(|_| bad())?;
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let (strong, is_weak) = tag.strip_prefix("W/").map_or((tag, false), |tag| (tag, true));
            if tag == "*" {
                any = true;
            } else if strong.len() < 2 || !strong.starts_with('"') || !strong.ends_with('"') {
                return Err(bad());
            } else if weak || !is_weak {
                list.push(strong.to_owned());
            }
        }
    }
    Ok(given.then_some(if any { Tags::Any } else { Tags::List(list) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stars_and_nonsense() {
        let read_one = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, value.parse().unwrap());
            read(&headers, false).map(|conditions| conditions.if_match)
        };
        assert_eq!(read_one("*").unwrap(), Some(Tags::Any));
        assert_eq!(
            read_one("\"a\", W/\"b\" ,\"c\"").unwrap(),
            Some(Tags::List(vec!["\"a\"".into(), "\"c\"".into()]))
        );
        assert_eq!(read_one("abc").unwrap_err().status(), 400);
        assert!(read(&HeaderMap::new(), false).unwrap().if_match.is_none());
    }
}
