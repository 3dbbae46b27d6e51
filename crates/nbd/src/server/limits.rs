//! What clients may take of the server.

use std::time::Duration;

/// Bounds that hold whatever clients do. A client over one is made to wait, or loses its connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of requests in flight on one connection; at least 32 MiB, the longest request.
    pub connection_bytes: usize,
    /// Bytes of requests in flight on all connections; at least 32 MiB.
    pub server_bytes: usize,
    /// Bytes of free buffers that are kept for the next requests.
    pub pool_bytes: usize,
    /// Requests in flight on one connection.
    pub requests_per_connection: u16,
    /// Open connections; more are closed at once.
    pub connections: usize,
    /// How long a client may take from connecting to the end of the handshake.
    pub handshake: Duration,
    /// How long a client may take to send the rest of a request it began, or to take in any of a reply.
    /// Without it, slow clients could hold the server's bytes for ever. `None` waits for ever.
    pub stall: Option<Duration>,
}

impl Default for Limits {
    /// 64 MiB a connection, 128 MiB in all, 32 MiB kept, 256 requests, 256 connections, 30 s, 60 s.
    fn default() -> Self {
        Self {
            connection_bytes: 64 << 20,
            server_bytes: 128 << 20,
            pool_bytes: 32 << 20,
            requests_per_connection: 256,
            connections: 256,
            handshake: Duration::from_secs(30),
            stall: Some(Duration::from_secs(60)),
        }
    }
}
