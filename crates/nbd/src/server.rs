//! The server for NBD clients: listeners, handshake, TLS, exports and their bounds.
//!
//! A connection: accepted (if the server is not full) → handshake within its time-out → transmission on one export
//! until the client leaves, the export is removed or the server closes. Requests in flight always finish first.

mod connection;
mod error;
mod exports;
mod handshake;
mod limits;
mod listen;
mod options;
mod tls;

pub use error::ServerError;
pub use exports::{ExportInfo, Exports};
pub use limits::Limits;
pub use listen::{Listening, UnixAccess};
pub use tls::{Tls, TlsFiles};

use crate::transmission::{Account, Budget, Pool};
use std::sync::Arc;
use tokio::sync::watch;

/// An NBD server. Cloning it gives another handle on the same one.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What a server is doing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStats {
    /// Open connections, those in the handshake included.
    pub connections: usize,
    /// Bytes of requests in flight and of replies that clients have not yet taken.
    pub bytes_in_flight: usize,
}

#[derive(Debug)]
pub(crate) struct Shared {
    exports: Arc<Exports>,
    limits: Limits,
    tls: Tls,
    pool: Arc<Pool>,
    budget: Arc<Budget>,
    /// Open connections.
    connections: watch::Sender<usize>,
    closing: watch::Sender<bool>,
}

impl Server {
    /// A server of these exports, which may change at any time. It listens nowhere yet.
    #[must_use]
    pub fn new(exports: Arc<Exports>, limits: Limits, tls: Tls) -> Self {
        let shared = Shared {
            exports,
            tls,
            pool: Arc::new(Pool::new(limits.pool_bytes)),
            budget: Arc::new(Budget::new(limits.server_bytes)),
            limits,
            connections: watch::Sender::new(0),
            closing: watch::Sender::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What it is doing now.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        ServerStats {
            connections: *self.shared.connections.borrow(),
            bytes_in_flight: self.shared.budget.used(),
        }
    }

    /// Stops accepting and reading, lets what is in flight finish, and returns when every connection is closed.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self
            .shared
            .connections
            .subscribe()
            .wait_for(|open| *open == 0)
            .await;
    }
}

impl Shared {
    /// Done when the server closes.
    async fn closing(&self) {
        // The sender is in `self`, so waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    fn account(&self) -> Arc<Account> {
        Account::new(
            Arc::clone(&self.pool),
            Arc::clone(&self.budget),
            self.limits.connection_bytes,
            self.limits.requests_per_connection,
        )
    }
}
