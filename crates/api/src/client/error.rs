//! What can go wrong between a caller and the daemon, and what to do about it.

use crate::ErrorBody;
use restblk_types::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket at the path.
    #[error("there is no daemon at {}: the socket does not exist", socket.display())]
    NoSocket {
        /// The path.
        socket: PathBuf,
    },
    /// The socket is there and nobody listens.
    #[error("no daemon answers at {}: nobody listens on the socket", socket.display())]
    Refused {
        /// The path.
        socket: PathBuf,
    },
    /// The caller may not use the socket.
    #[error("you may not use {}: permission denied", socket.display())]
    Denied {
        /// The path.
        socket: PathBuf,
    },
    /// The daemon did not answer in time.
    #[error("the daemon at {} did not answer {what} within {} s", socket.display(), after.as_secs())]
    TimedOut {
        /// The path.
        socket: PathBuf,
        /// Method and path of the call.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection could not be made, or broke before the whole answer was there.
    #[error("the connection to the daemon at {} broke: {reason}", socket.display())]
    Broken {
        /// The path.
        socket: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The answer is none of this API's: another program listens, or a daemon of another version.
    #[error("the answer of {} to {what} makes no sense: {reason}", socket.display())]
    Protocol {
        /// The path.
        socket: PathBuf,
        /// Method and path of the call.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The daemon said no.
    #[error(transparent)]
    Api(#[from] ErrorBody),
}

impl ClientError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSocket { .. } | Self::Refused { .. } | Self::TimedOut { .. } => ErrorKind::Unavailable,
            Self::Broken { .. } => ErrorKind::Retry,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Protocol { .. } => ErrorKind::Bug,
            Self::Api(body) => body.kind,
        }
    }

    /// Whether the daemon itself could not be talked to, as opposed to having said no.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::NoSocket { .. } | Self::Refused { .. } | Self::TimedOut { .. } | Self::Broken { .. }
        )
    }

    /// What to try next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSocket { .. } | Self::Refused { .. } => {
                "is the daemon running? See `systemctl status restblk`; by hand it is started with `restblk daemon`"
            }
            Self::Denied { .. } => {
                "run the command as root, or as a member of the socket's group (`ls -l` shows it)"
            }
            Self::TimedOut { .. } => {
                "see what the daemon is busy with: `journalctl -u restblk`, `restblk doctor`"
            }
            Self::Broken { .. } => {
                "whether the request took effect is not known; look before you repeat it. `journalctl -u restblk` tells why"
            }
            Self::Protocol { .. } => {
                "check that the command and the daemon are of the same version: `restblk doctor`"
            }
            Self::Api(body) => return body.hint.clone(),
        };
        Some(hint.to_owned())
    }

    /// The error in the form in which the daemon would have sent it.
    #[must_use]
    pub fn into_body(self) -> ErrorBody {
        let (kind, hint, message) = (self.kind(), self.hint(), self.to_string());
        ErrorBody { kind, message, hint }
    }
}
