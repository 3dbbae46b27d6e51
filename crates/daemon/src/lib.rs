//! The host's daemon: configuration, pools, attachments, supervision, and the HTTP API on a Unix socket.
//!
//! ```text
//! http ── service ─┬─ pools ─────── store, engine
//!                  └─ attachment ── engine, transports, nbd exports, state (the host's disk)
//! ```
//! It wires what the other crates make, and owns what is remembered on the host.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod attachment;
mod cache;
mod clock;
mod config;
pub mod doctor;
mod error;
mod host;
mod http;
mod keys;
mod logging;
mod metered;
mod metrics;
mod patience;
mod pool;
mod pools;
mod run;
mod service;
mod state;
mod transports;
mod trash;

pub use restblk_loop::help as loop_helper;

pub use config::{Config, DEFAULT_PATH};
pub use logging::start_logging;
pub use run::run;
