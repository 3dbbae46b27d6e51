//! Why the engine could not do something.

use restblk_block::BlockError;
use restblk_format::FormatError;
use restblk_store::StoreError;
use restblk_types::ErrorKind;

/// A failure of the log layout. Its message completes "failed to …".
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct LogError {
    kind: ErrorKind,
    message: String,
}

impl LogError {
    /// A failure of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn corrupt(object: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        let message = format!(
            "read {object}: {why}; nothing of it was used: restore that object from the store's own versions or backups, or go back to a snapshot"
        );
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn fenced(object: impl std::fmt::Display) -> Self {
        let message = format!(
            "write {object}: another host has attached the volume since; this attachment has ended, detach it"
        );
        Self::new(ErrorKind::Fenced, message)
    }

    pub(crate) fn bug(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, what)
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<LogError> for BlockError {
    fn from(error: LogError) -> Self {
        Self::new(error.kind, error.message)
    }
}

/// A decoder's error, of this object.
pub(crate) fn format_error(object: impl std::fmt::Display) -> impl FnOnce(FormatError) -> LogError {
    move |error| match error.kind() {
        ErrorKind::Corrupt => LogError::corrupt(object, error),
        kind => LogError::new(kind, format!("read {object}: {error}")),
    }
}
