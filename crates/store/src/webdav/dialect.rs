//! How a server writes ranges and how it creates exclusively: the two things in which servers of HTTP differ.

use std::{fmt, str::FromStr};

/// How a part of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ranged {
    /// `PUT` with `Content-Range: bytes A-B/*`.
    ContentRange,
    /// SabreDAV's `PATCH` with `X-Update-Range: bytes=A-B`.
    UpdateRange,
    /// Not at all.
    Whole,
}

/// How an object is created where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Create {
    /// `PUT` with `If-None-Match: *`.
    Put,
    /// `MOVE` of a temporary object, with `Overwrite: F`.
    Move,
}

/// How a server wants to be spoken to. Pinned with the pool and with each volume: a ranged write that the server does not
/// know loses data silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub(super) ranged: Ranged,
    pub(super) create: Create,
}

impl Dialect {
    /// Every dialect by its name in configuration and metadata, in the order in which they are tried.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::new(Ranged::ContentRange, Create::Put), "content-range"),
        (
            Self::new(Ranged::ContentRange, Create::Move),
            "content-range+move",
        ),
        (Self::new(Ranged::UpdateRange, Create::Put), "update-range"),
        (Self::new(Ranged::UpdateRange, Create::Move), "update-range+move"),
        (Self::new(Ranged::Whole, Create::Put), "whole"),
        (Self::new(Ranged::Whole, Create::Move), "whole+move"),
    ];

    pub(super) const fn new(ranged: Ranged, create: Create) -> Self {
        Self { ranged, create }
    }
}

impl Ranged {
    /// On the wire, in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::ContentRange => "PUT with Content-Range",
            Self::UpdateRange => "PATCH with X-Update-Range",
            Self::Whole => "none",
        }
    }
}

impl Create {
    /// On the wire, in words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Put => "PUT with If-None-Match: *",
            Self::Move => "MOVE with Overwrite: F",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(dialect, _)| dialect == self)
            .map(|(_, name)| *name);
        f.pad(name.unwrap_or("unnamed"))
    }
}

/// A name that is no dialect's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is no dialect of WebDAV: choose {} or auto", Dialect::ALL.map(|(_, name)| name).join(", "))]
pub struct UnknownDialect {
    name: String,
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        let known = Self::ALL.into_iter().find(|(_, known)| *known == name);
        known.map(|(dialect, _)| dialect).ok_or_else(|| UnknownDialect {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (dialect, name) in Dialect::ALL {
            assert_eq!((dialect.to_string().as_str(), name.parse()), (name, Ok(dialect)));
        }
        assert!(
            "cdmi2"
                .parse::<Dialect>()
                .unwrap_err()
                .to_string()
                .contains("content-range+move")
        );
    }
}
