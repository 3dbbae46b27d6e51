//! The network block device protocol, at both ends.
//!
//! [`Server`] offers volumes to any NBD client over Unix sockets and TCP, with TLS. [`NbdTransport`] makes a volume
//! a device of the kernel's own NBD client, whose sockets are served by the same transmission code in this process.
//!
//! Invariants: whatever a client sends, the server neither panics nor holds more memory than its [`Limits`] say;
//! every request that was accepted is answered or its connection is closed; requests in flight are never dropped
//! half-way when a connection, an export or the server goes away. It does not know what a volume is kept in.
//!
//! Numbers and layouts are those of the NBD protocol document (`doc/proto.md` of the network block device project).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod kernel;
mod proto;
mod server;
mod sockbuf;
mod transmission;

pub use kernel::{NbdOptions, NbdTransport};
pub use server::{
    ExportInfo, Exports, Limits, Listening, Server, ServerError, ServerStats, Tls, TlsFiles, UnixAccess,
};
