//! Why a stream cannot be believed.

use restblk_types::ErrorKind;

/// A stream that is not taken any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It does not begin as one does.
    #[error("this is no stream of restblk send: it does not begin as one")]
    NotAStream,
    /// Written by a later version, in a way that this one misreads.
    #[error("the stream needs {0}, which this version does not know; use a newer restblk")]
    Incompatible(String),
    /// Not what was sent.
    #[error("the stream is damaged at byte {at}: {why}; nothing from there on was used")]
    Damaged {
        /// Where the record begins.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It ended before its end.
    #[error("the stream was cut off after {at} bytes: its end is missing")]
    Cut {
        /// Bytes that there were.
        at: u64,
    },
    /// The sender says that it could not go on.
    #[error("the sender gave up: {0}")]
    GivenUp(String),
}

impl StreamError {
    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAStream => ErrorKind::Invalid,
            Self::Incompatible(_) => ErrorKind::Unsupported,
            Self::Damaged { .. } | Self::Cut { .. } => ErrorKind::Corrupt,
            Self::GivenUp(_) => ErrorKind::Retry,
        }
    }
}
