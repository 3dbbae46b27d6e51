//! Why a request to a store failed. Names the server, the operation and the object, and says by its kind what to do.

use restblk_types::ErrorKind;
use std::fmt;

/// A failed request to a store. Its message completes "failed to …".
#[derive(Clone, Debug, thiserror::Error)]
pub struct StoreError {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    server: String,
    reason: String,
    ambiguous: bool,
}

impl StoreError {
    /// An error of `operation` ("read", "write", …) on `object`, for this reason.
    pub fn new(kind: ErrorKind, operation: &'static str, object: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self {
            kind,
            operation,
            object: object.to_string(),
            server: String::new(),
            reason: reason.into(),
            ambiguous: false,
        }
    }

    /// Names the server (URL without credentials).
    #[must_use]
    pub fn at(mut self, server: impl fmt::Display) -> Self {
        self.server = server.to_string();
        self
    }

    /// Marks that the request may have taken effect all the same, now or later: its answer was lost.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        self.ambiguous = true;
        self
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// True where the request may have taken effect, now or later.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Why, without the operation and its object.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.object)?;
        if !self.server.is_empty() {
            write!(f, " at {}", self.server)?;
        }
        write!(f, ": {}", self.reason)
    }
}
