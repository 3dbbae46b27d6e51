//! The embedded CDMI store: a directory of plain sparse files served as CDMI 2.0 over HTTP/1.1.
//!
//! Owns: the wire protocol ([`Mode`]), the safe way from a URI to a file, what is atomic and what is durable.
//! `docs/cdmi.md` is the contract: what of the specification is there and every extension byte for byte.
//!
//! Two layers. `store` is synchronous, knows files and nothing of HTTP; every one of its calls may block.
//! `http` is asynchronous, knows the protocol, and reaches the store through a bounded blocking pool.
//!
//! Invariants, each tested in `tests/`:
//! - an object `a/b` is the file `ROOT/a/b`, byte for byte; nothing outside ROOT is ever opened;
//! - a whole-object PUT is seen entire or not at all, also after a crash; a ranged write is received whole first;
//! - a flush is answered only after fsync of the file and of its directory;
//! - an entity tag never names two different contents that a client could have seen.
//!
//! Does not do: queues, domains beyond the one, serialization, query, access lists.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod config;
mod error;
mod http;
mod peer;
mod quirks;
mod server;
mod store;
mod tls;

pub use config::{Auth, Config, Limits, Mode, Tls, User};
pub use error::ServeError;
pub use quirks::{Landing, Late, Quirks};
pub use server::Server;
