//! What a caller does next with an error. Every error type of the workspace has a `kind()`, and the
//! three boundaries (errno in `block`, HTTP status in `daemon`, exit code in `cli`) convert only this.

use serde::{Deserialize, Serialize};

/// The class of a failure, named for what the caller should do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request may or may not have taken effect and may be sent again: a reset connection, a 503.
    Retry,
    /// The server cannot be reached or did not answer in time; another mirror, or a later try, may.
    Unavailable,
    /// A precondition did not hold: somebody else changed the object. Read it again, then decide.
    Conflict,
    /// A newer attachment owns the volume: stop, for ever.
    Fenced,
    /// The named thing does not exist.
    NotFound,
    /// The name is taken.
    Exists,
    /// The thing is in use: attached, open, mounted. Free it first.
    Busy,
    /// The request makes no sense as it was put; putting it again will not help.
    Invalid,
    /// Neither this store, nor this kernel, nor this version can do it.
    Unsupported,
    /// Wrong or missing credentials or rights.
    Denied,
    /// No space, or over a quota.
    NoSpace,
    /// Bytes are not what was written. Never returned as data.
    Corrupt,
    /// A broken invariant of ours.
    Bug,
}

impl ErrorKind {
    /// True where the same request, sent again, can succeed without anybody doing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Retry | Self::Unavailable)
    }

    /// The name in listings, logs and the API, `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Fenced => "fenced",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Busy => "busy",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Denied => "denied",
            Self::NoSpace => "no_space",
            Self::Corrupt => "corrupt",
            Self::Bug => "bug",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
