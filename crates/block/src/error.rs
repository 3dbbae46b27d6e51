//! Why a request to a device failed, and the one place where kinds become errno.

use restblk_types::ErrorKind;

/// A failed request to a block device.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BlockError {
    kind: ErrorKind,
    message: String,
}

impl BlockError {
    /// An error of this kind; the message completes "failed to …" and says what next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The errno that a block device's user sees: few, because the kernel's block layer knows few.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self.kind {
            ErrorKind::NoSpace => libc::ENOSPC,
            ErrorKind::Invalid => libc::EINVAL,
            ErrorKind::Unsupported => libc::EOPNOTSUPP,
            ErrorKind::Denied => libc::EPERM,
            ErrorKind::Corrupt => libc::EILSEQ,
            ErrorKind::Fenced => libc::ESTALE,
            _ => libc::EIO,
        }
    }
}
