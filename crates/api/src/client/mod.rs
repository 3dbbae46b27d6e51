//! The client of the control API: one method for each path of [`crate::paths`].
//!
//! A call opens a connection, asks, reads the answer and closes: on a Unix socket that costs microseconds, and
//! nothing is kept that a restarted daemon could leave stale. The client is cheap to clone and holds no state but
//! the socket's path.
//!
//! Questions are given up after [`Client::patience`]. Calls that make, attach or delete something are not: a store may
//! need long for them, and giving up would leave it open whether they took effect. Dropping the future ends the wait.
//!
//! Does not: retry, cache, or start the daemon.

mod calls;
mod error;
mod request;
#[cfg(test)]
mod tests;
mod transfer;

pub use error::ClientError;
pub use transfer::{Download, Pieces};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the daemon listens unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/restblk/api.sock";

/// How long a question may take: longer than the daemon's own deadline for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client of one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

impl Client {
    /// A client of the daemon that listens on `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            patience: PATIENCE,
        }
    }

    /// Gives a question up after so long, instead of two minutes.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The socket that is asked.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}
