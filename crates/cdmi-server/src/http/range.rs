//! `Range` and `Content-Range` (RFC 9110, 14), and the forms of them that the dialects send.

use super::query;
use crate::error::{Error, Result};

/// Which bytes a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All: no range, or one that RFC 9110 lets a server ignore (several ranges, another unit, bad syntax).
    Whole,
    /// From the first to before the end, within the object.
    Part(u64, u64),
    /// None of them exist.
    Unsatisfiable,
}

/// Reads a `Range` header against an object's size.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(set) = header.trim().strip_prefix("bytes=") else {
        return Wanted::Whole;
    };
    let Some((first, last)) = set.trim().split_once('-') else {
        return Wanted::Whole;
    };
    let part = match (first, last) {
        ("", "") => return Wanted::Whole,
        ("", length) => match query::number(length) {
            Ok(0) => return Wanted::Unsatisfiable,
            Ok(length) => (size.saturating_sub(length), size),
            Err(_) => return Wanted::Whole,
        },
        (first, "") => match query::number(first) {
            Ok(first) => (first, size),
            Err(_) => return Wanted::Whole,
        },
        _ => match query::range(set.trim()) {
            Ok((first, last)) => (first, last.saturating_add(1).min(size)),
            Err(_) => return Wanted::Whole,
        },
    };
    if part.0 < part.1 {
        Wanted::Part(part.0, part.1)
    } else {
        Wanted::Unsatisfiable
    }
}

/// Reads a `Content-Range` of a write: `bytes A-B/N` or `bytes A-B/*`; with `lax` also the `bytes=A-B` of some
/// vendors. Returns offset and length.
pub(super) fn written(header: &str, lax: bool) -> Result<(u64, u64)> {
    let bad = || Error::Bad(format!("Content-Range {header:?} is not of the form bytes A-B/N"));
    let header = header.trim();
    let set = match header.strip_prefix("bytes ") {
        Some(set) => set,
        None if lax => header.strip_prefix("bytes=").ok_or_else(bad)?,
        None => return Err(bad()),
    };
    let (set, total) = match set.split_once('/') {
        Some((set, total)) => (set, total),
        None if lax => (set, "*"),
        None => return Err(bad()),
    };
    let (first, last) = query::range(set.trim())?;
    if total != "*" && query::number(total)? <= last {
        return Err(Error::Bad(format!(
            "Content-Range {header:?} ends after its own total"
        )));
    }
    length(first, last)
}

/// Offset and length of an inclusive range.
pub(super) fn length(first: u64, last: u64) -> Result<(u64, u64)> {
    let length = (last - first)
        .checked_add(1)
        .ok_or_else(|| Error::bad("the range is too long"))?;
    Ok((first, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        for (header, wanted_part) in [
            ("bytes=0-3", Wanted::Part(0, 4)),
            ("bytes=4-99", Wanted::Part(4, 10)),
            ("bytes=4-", Wanted::Part(4, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-99", Wanted::Part(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=10-11", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=0-18446744073709551615", Wanted::Part(0, 10)),
        ] {
            assert_eq!(wanted(header, 10), wanted_part, "{header}");
        }
        assert_eq!(wanted("bytes=0-0", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn writes() {
        assert_eq!(written("bytes 4-7/10", false).unwrap(), (4, 4));
        assert_eq!(written("bytes 4-7/*", false).unwrap(), (4, 4));
        assert_eq!(written("bytes=4-7", true).unwrap(), (4, 4));
        for bad in [
            "bytes=4-7",
            "bytes 4-7",
            "bytes 7-4/10",
            "bytes 4-7/7",
            "bytes */10",
            "bytes 0-18446744073709551615/*",
            "4-7/10",
            "",
        ] {
            assert_eq!(written(bad, false).unwrap_err().status(), 400, "{bad}");
        }
    }
}
