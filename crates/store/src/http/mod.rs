//! One HTTP/1.1 client for every protocol: endpoints, TLS, Basic authentication, kept connections, time-outs, figures.
//!
//! Invariants:
//! - A request is sent at most once. What was provably never written goes out on another connection instead.
//! - A connection carries one request at a time and is driven by the task that waits for the answer: no task of its own, no
//!   hop between threads. Dropping the request closes the connection.
//! - A connection is kept only after an answer that was read to its announced end, with nothing behind it. After a time-out,
//!   a short or overlong body, an early answer or any error it is closed, so no late answer can be taken for another's. So it is after the
//!   refusal of a large body, which may not have been read.
//! - A client that was given a [`Greeter`] uses no connection before that has looked at who answers there.
//! - Secrets appear in no message, log or debug output.
//!
//! It does not retry, follow redirects, or know what a status means to a protocol.

mod client;
pub(crate) mod condition;
mod connect;
mod connection;
mod endpoint;
mod error;
mod greet;
mod pool;
pub(crate) mod range;
mod relay;
mod secret;
mod stats;
pub(crate) mod status;
mod tls;
pub(crate) mod xml;

pub use client::HttpClient;
pub(crate) use client::{Answer, Call, password, server_time};
pub(crate) use endpoint::quote;
pub use endpoint::{Endpoint, EndpointError};
pub use greet::Greeter;
pub use secret::Secret;
pub use stats::{LATENCY_BOUNDS_US, Stats, StatsSnapshot};
