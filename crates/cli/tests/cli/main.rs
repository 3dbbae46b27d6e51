//! The built program against a server of canned answers: what it asks, prints, and ends with.
#![allow(clippy::unwrap_used, reason = "tests")]

mod completions;
mod errors;
mod everyday;
mod harness;
mod host;
mod keys;
mod pages;
mod pools;
