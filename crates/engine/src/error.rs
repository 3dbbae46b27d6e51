//! Why an operation on a repository or a volume failed.

use restblk_block::BlockError;
use restblk_format::FormatError;
use restblk_log::LogError;
use restblk_store::StoreError;
use restblk_types::ErrorKind;

/// A failed operation; the message completes "failed to …" and says what next.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log layout could not do it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record on the store cannot be read.
    #[error("read {object}: {source}")]
    Record {
        /// The object that holds it.
        object: String,
        /// Why.
        source: FormatError,
    },
    /// The request cannot be met as things are.
    #[error("{message}")]
    Refused {
        /// What to do about it.
        kind: ErrorKind,
        /// What and why.
        message: String,
    },
}

impl EngineError {
    /// A refusal of this kind.
    pub fn refused(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Refused {
            kind,
            message: message.into(),
        }
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(e) => e.kind(),
            Self::Log(e) => e.kind(),
            Self::Record { source, .. } => source.kind(),
            Self::Refused { kind, .. } => *kind,
        }
    }
}

impl From<EngineError> for BlockError {
    fn from(error: EngineError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
