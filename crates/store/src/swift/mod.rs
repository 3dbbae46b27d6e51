//! The client of OpenStack Swift.
//!
//! Invariants:
//! - Every request carries a token. One that the server no longer knows (401) is renewed once and the request sent again: a
//!   request without a right did nothing. A token is renewed before it ends.
//! - A body goes out with its MD5, which the server compares, and a whole object that comes back is compared with its own.
//! - That there is no object is believed when it was said twice: one that is being replaced is missing for a moment.
//! - Swift replaces objects as a whole and has no locks. It knows `If-None-Match: *` and lets several racers through, which is
//!   for the proof to see; of two changes the later one stays.
//!
//! Objects above 5 GiB, which need a manifest of segments, are never put here: bodies are at most 64 MiB.

mod auth;
mod client;
mod object;
mod place;
mod settings;

pub use client::SwiftStore;
pub(crate) use settings::NAMES as SETTINGS;
