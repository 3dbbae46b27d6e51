//! The client of Google Cloud Storage, by its JSON API.
//!
//! Invariants:
//! - The state of an object (its `ETag` to us) is its generation: every put makes a new one, and a precondition names it.
//! - A body goes up in one request with its CRC32C, which the service checks before it keeps anything.
//! - A ranged read is believed only as 206 with the `Content-Range` that was asked for; a whole one only if its CRC32C is right.
//! - Nothing is written in place: `write_at`, `set_size` and `punch` are `Unsupported`.
//!
//! | | request |
//! |---|---|
//! | get | `GET …/o/NAME?alt=media` |
//! | head | `GET …/o/NAME?fields=size,generation` |
//! | put | `POST /upload/…/o?uploadType=multipart`, `ifGenerationMatch=0` for what must not exist |
//! | delete | `DELETE …/o/NAME` |
//! | list | `GET …/o?prefix=…&delimiter=/` |
//!
//! Why the JSON API and why by hand: docs/decisions/0006-s3-by-own-http.md.

mod client;
mod failure;
mod list;
mod read;
mod settings;
mod token;
mod write;

pub use client::GcsStore;
pub(crate) use settings::NAMES as SETTINGS;
