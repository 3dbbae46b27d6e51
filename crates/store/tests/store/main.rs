//! The store's tests against real servers: the conformance suite on every store, proofs, malice, TLS, mirrors.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod azure;
mod conformance;
mod gcs;
mod greeting;
mod liars;
mod malice;
mod mirrors;
mod proofs;
mod s3;
mod server;
mod tls;
