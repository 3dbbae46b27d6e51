//! What can go wrong, and which HTTP status says so. The one place where an errno becomes a status.
//!
//! [`ServeError`] is for whoever starts a server; [`Error`] is for whoever sent a request, and its text goes to them: it
//! names neither paths outside the store nor secrets.

use http::StatusCode;
use std::io;
use std::path::PathBuf;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The root directory cannot be used.
    #[error("failed to open the store {}: {source}", path.display())]
    Root {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root's file system has no `user.*` extended attributes.
    #[error(
        "failed to open the store {}: its file system keeps no user extended attributes, which hold object IDs and metadata; \
         use ext4, xfs, btrfs, zfs, or tmpfs on Linux 6.6 or newer", path.display()
    )]
    NoAttributes {
        /// The directory.
        path: PathBuf,
    },
    /// Another server has it.
    #[error("failed to open the store {}: another server is using it; stop that one or choose another directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// An address cannot be listened on.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file that the configuration names cannot be read or understood.
    #[error("failed to read {what} from {}: {reason}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The configuration contradicts itself.
    #[error("failed to start: {0}")]
    Config(String),
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Bad(String),
    #[error("authentication is required; send a user and password that this server knows")]
    Unauthorized,
    #[error("{0}")]
    Forbidden(String),
    #[error("no such object: {0}")]
    NotFound(String),
    #[error("{0} is a container; its URI ends with a slash")]
    IsContainer(String),
    #[error("this method cannot be used here; allowed: {0}")]
    Method(&'static str),
    #[error("this resource is {0}, which the Accept header does not allow")]
    NotAcceptable(&'static str),
    #[error("the request's body did not arrive in time")]
    Timeout,
    #[error("whoever sent the request has closed the connection; nothing was changed")]
    PeerGone,
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Locked(String),
    #[error("{0}")]
    Precondition(&'static str),
    #[error("not modified")]
    NotModified(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("the URI is longer than {0} bytes")]
    UriTooLong(usize),
    #[error("the request's header fields are longer than {0} bytes")]
    HeadTooLarge(usize),
    #[error("the range begins at or after the end of the object, which has {0} bytes")]
    Range(u64),
    #[error("failed to {what}: {source}")]
    Io { what: &'static str, source: io::Error },
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Error::Bad(text.into())
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Error::Bad(_) => StatusCode::BAD_REQUEST,
            Error::Unauthorized => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::IsContainer(_) => StatusCode::MOVED_PERMANENTLY,
            Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Error::Timeout | Error::PeerGone => StatusCode::REQUEST_TIMEOUT,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Locked(_) => StatusCode::LOCKED,
            Error::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Error::NotModified(_) => StatusCode::NOT_MODIFIED,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::UriTooLong(_) => StatusCode::URI_TOO_LONG,
            Error::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Error::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Error::Io { source, .. } => io_status(source),
        }
    }
}

fn io_status(error: &io::Error) -> StatusCode {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => StatusCode::INSUFFICIENT_STORAGE,
        Some(Errno::FBIG) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Errno::NOENT | Errno::NOTDIR) => StatusCode::NOT_FOUND,
        Some(Errno::NAMETOOLONG | Errno::INVAL) => StatusCode::BAD_REQUEST,
        Some(Errno::LOOP | Errno::XDEV | Errno::ACCESS | Errno::PERM | Errno::ROFS) => StatusCode::FORBIDDEN,
        Some(Errno::EXIST | Errno::NOTEMPTY | Errno::ISDIR | Errno::TXTBSY) => StatusCode::CONFLICT,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Says what was being done when a system call failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|source| Error::Io { what, source })
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|errno| Error::Io {
            what,
            source: errno.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_507() {
        let full: Result<()> = Err(rustix::io::Errno::NOSPC).doing("write");
        assert_eq!(full.unwrap_err().status(), 507);
        let link: Result<()> = Err(rustix::io::Errno::LOOP).doing("open");
        assert_eq!(link.unwrap_err().status(), 403);
    }
}
