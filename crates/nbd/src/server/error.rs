//! Why a server could not be set up.

use restblk_types::ErrorKind;
use std::io;

/// A failure to set a server up; messages complete "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An export of that name is there already.
    #[error("an export named \"{name}\" exists: remove it first or choose another name")]
    ExportExists {
        /// The name.
        name: String,
    },
    /// There is no export of that name.
    #[error("there is no export named \"{name}\"")]
    ExportUnknown {
        /// The name.
        name: String,
    },
    /// A name or description that the protocol cannot carry.
    #[error("an export's {what} has {len} bytes: from {min} to {max} are possible")]
    ExportText {
        /// "name" or "description".
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The least that is possible.
        min: usize,
        /// The most that is possible.
        max: usize,
    },
    /// Another process listens there.
    #[error("{address} is in use by another process: stop it or choose another address")]
    AddressInUse {
        /// Where.
        address: String,
    },
    /// The operating system refused to listen.
    #[error("listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("use {what} for TLS: {reason}")]
    Tls {
        /// The file, or what is made of the files.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl ServerError {
    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ExportExists { .. } => ErrorKind::Exists,
            Self::ExportUnknown { .. } => ErrorKind::NotFound,
            Self::ExportText { .. } | Self::Tls { .. } => ErrorKind::Invalid,
            Self::AddressInUse { .. } => ErrorKind::Busy,
            Self::Listen { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Unavailable,
            },
        }
    }
}
