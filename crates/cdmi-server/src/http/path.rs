//! From a request's path to what it names, or to a refusal.
//!
//! Invariant: a path that comes out has no empty, `.` or `..` segment, no NUL and no encoded slash in a name, and each name has at
//! most 255 bytes of UTF-8. (That it cannot leave the root through links is `store::root`'s.)

use crate::error::{Error, Result};
use crate::store::{HIDDEN, SNAPSHOTS};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Linux's limit for a name (NAME_MAX).
const NAME_BYTES_MAX: usize = 255;

/// What RFC 3986 leaves as it is, and the slash.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What a URI names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An object, or with a slash a container, below the root; the path has no slash at its ends.
    Node(Node),
    /// `cdmi_capabilities/…`, without that name and the slashes at its ends.
    Capabilities(String),
    /// `cdmi_domains/…`
    Domains(String),
    /// `cdmi_objectid/ID`, and what follows it.
    Id { id: String, rest: String, slash: bool },
}

/// An object or container by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) slash: bool,
}

impl Node {
    pub(super) fn new(path: &str, slash: bool) -> Self {
        Node {
            path: path.to_owned(),
            slash: slash || path.is_empty(),
        }
    }

    /// Whether it lies in a snapshot, or is the container of snapshots.
    pub(super) fn in_snapshots(&self) -> bool {
        self.path.split('/').any(|name| name == SNAPSHOTS)
    }

    /// Whether it is a snapshot itself.
    pub(super) fn is_snapshot(&self) -> bool {
        let mut names = self.path.rsplit('/');
        let (_, parent) = (names.next(), names.next());
        parent == Some(SNAPSHOTS) && !names.any(|name| name == SNAPSHOTS)
    }

    /// Refuses a change: snapshots are read-only, and names that begin with `cdmi_` are the specification's.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.in_snapshots() {
            return Err(Error::Forbidden("snapshots are read-only".to_owned()));
        }
        if self.path.split('/').any(|name| name.starts_with("cdmi_")) {
            return Err(Error::bad("names that begin with cdmi_ are reserved"));
        }
        Ok(())
    }
}

/// Reads a request's path. `lenient` takes empty segments for none, as the driver of 2014 may send them.
pub(super) fn parse(prefix: &str, raw: &str, lenient: bool) -> Result<Target> {
    let outside = || Error::NotFound(format!("{raw}; the root is {prefix}"));
    let inner = match raw.strip_prefix(prefix) {
        Some(inner) => inner,
        None if format!("{raw}/") == prefix => {
            return Ok(Target::Node(Node {
                path: String::new(),
                slash: false,
            }));
        }
        None => return Err(outside()),
    };
    let slash = inner.is_empty() || inner.ends_with('/');
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let mut names = Vec::new();
    for segment in inner.split('/') {
        if segment.is_empty() && (lenient || inner.is_empty()) {
            continue;
        }
        names.push(name(segment)?);
    }
    let rest = |names: &[String]| names[1..].join("/");
    Ok(match names.first().map(String::as_str) {
        Some("cdmi_capabilities") => Target::Capabilities(rest(&names)),
        Some("cdmi_domains") => Target::Domains(rest(&names)),
        Some("cdmi_objectid") if names.len() > 1 => Target::Id {
            id: names[1].clone(),
            rest: names[2..].join("/"),
            slash,
        },
        Some("cdmi_objectid") | Some(HIDDEN) => return Err(Error::NotFound(raw.to_owned())),
        _ => Target::Node(Node {
            path: names.join("/"),
            slash,
        }),
    })
}

fn name(segment: &str) -> Result<String> {
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    let refused = match bytes.as_slice() {
        b"" => "an empty name",
        b"." | b".." => "a name of dots",
        bytes if bytes.contains(&b'/') => "an encoded slash in a name",
        bytes if bytes.contains(&0) => "a NUL in a name",
        bytes if bytes.len() > NAME_BYTES_MAX => "a name over 255 bytes",
        _ => {
            return String::from_utf8(bytes).map_err(|_| Error::bad("the path has a name that is not UTF-8"));
        }
    };
    Err(Error::Bad(format!("the path has {refused}")))
}

/// Writes a path for a URI.
pub(super) fn encode(path: &str) -> String {
    utf8_percent_encode(path, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str, slash: bool) -> Target {
        Target::Node(Node {
            path: path.to_owned(),
            slash,
        })
    }

    #[test]
    fn paths_are_taken_apart() {
        let parse = |raw| parse("/cdmi/2.0.0/", raw, false).unwrap();
        assert_eq!(parse("/cdmi/2.0.0/"), node("", true));
        assert_eq!(parse("/cdmi/2.0.0"), node("", false));
        assert_eq!(parse("/cdmi/2.0.0/a/b%20c"), node("a/b c", false));
        assert_eq!(parse("/cdmi/2.0.0/a/"), node("a", true));
        assert_eq!(
            parse("/cdmi/2.0.0/cdmi_capabilities/container/"),
            Target::Capabilities("container".to_owned())
        );
        assert_eq!(encode("a/b c%é"), "a/b%20c%25%C3%A9");
    }

    #[test]
    fn tricks_are_refused() {
        let long = "x".repeat(256);
        for bad in [
            "..",
            "%2e%2e",
            "a/../b",
            "a//b",
            "/a",
            ".",
            "a%2fb",
            "a%00b",
            "%ff",
            "a/./b",
            "%2E%2E/x",
            long.as_str(),
        ] {
            let error = parse("/", &format!("/{bad}"), false).unwrap_err();
            assert_eq!(error.status(), 400, "{bad}");
        }
        assert_eq!(parse("/x/", "/y/a", false).unwrap_err().status(), 404);
        assert_eq!(parse("/", "/.cdmi-server/tmp", false).unwrap_err().status(), 404);
        assert_eq!(parse("/", "//a//b", true).unwrap(), node("a/b", false));
    }

    #[test]
    fn snapshots_are_known() {
        let at = |path: &str| Node::new(path, false);
        assert!(at("c/cdmi_snapshots/s").is_snapshot() && at("cdmi_snapshots/s").is_snapshot());
        assert!(!at("c/cdmi_snapshots/s/x").is_snapshot() && at("c/cdmi_snapshots/s/x").in_snapshots());
        assert!(at("c/cdmi_x").check_writable().is_err() && at("c/x").check_writable().is_ok());
    }
}
