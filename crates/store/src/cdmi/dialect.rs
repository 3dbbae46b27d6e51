//! The dialects of CDMI that servers speak: names, and the few words in which they differ on the wire.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How a CDMI server wants to be spoken to. Pinned in a volume's metadata: a store spoken to in a dialect which it does
/// not know loses data silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// What the kernel driver of 2014 sends: `PUT` with `Range`, `X-Scal-Truncate`, `X-Scal-Synchronize`.
    Srb,
    /// CDMI 1.x with Scality's additions: `PUT` with `Content-Range: bytes=a-b` to `/cdmi_objectid/<ID>`.
    Scality,
    /// CDMI 1.0 and 1.1: `PUT` with `Content-Range: bytes a-b/*`.
    Cdmi1,
    /// CDMI 2.0: `PATCH` with `Content-Range: bytes a-b/*`, and the declared extensions of restblk's own server.
    Cdmi2,
}

impl Dialect {
    /// Every dialect, in the order in which they are tried: the specification's before the vendors'.
    pub const ALL: [Self; 4] = [Self::Cdmi2, Self::Cdmi1, Self::Scality, Self::Srb];

    /// The name in configuration and metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Srb => "srb",
            Self::Scality => "scality",
            Self::Cdmi1 => "cdmi1",
            Self::Cdmi2 => "cdmi2",
        }
    }

    /// What a ranged write is on the wire, in words.
    pub(super) const fn ranged_write(self) -> &'static str {
        match self {
            Self::Srb => "PUT with Range",
            Self::Scality => "PUT with Content-Range: bytes=a-b",
            Self::Cdmi1 => "PUT with Content-Range",
            Self::Cdmi2 => "PATCH with Content-Range",
        }
    }

    /// CDMI 1.x proper: queries are `?a:b;c`, and the version goes with each CDMI request.
    pub(super) const fn is_1x(self) -> bool {
        matches!(self, Self::Scality | Self::Cdmi1)
    }

    /// Scality's headers mean something.
    pub(super) const fn has_scal_headers(self) -> bool {
        matches!(self, Self::Srb | Self::Scality)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no dialect's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no dialect: choose cdmi2, cdmi1, scality, srb or auto")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;
    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::ALL
            .into_iter()
            .find(|d| d.as_str() == name)
            .ok_or_else(|| UnknownDialect(name.to_owned()))
    }
}
