//! The server against clients: a raw one that says exactly what a test wants, and other people's programs.
//!
//! Programs that are not installed are said to be skipped; `cargo xtask setup` installs them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod devices;
mod exports;
mod handshake;
mod malformed;
mod programs;
mod raw;
mod requests;
mod serve;
mod tls;
