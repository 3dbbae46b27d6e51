//! The client of CDMI servers, in four dialects, and the search for the one that a server speaks.
//!
//! Invariants:
//! - A ranged write goes out only in the dialect that the store was opened with. Which one is safe is for `find_dialect`
//!   to prove on scratch objects: a server that does not know a dialect's ranged write loses data without a word.
//! - A ranged read is believed only as 206 with the `Content-Range` that was asked for (`srb` alone: 200 with the exact
//!   length).
//! - The server's extensions are used only where its capabilities advertise them.
//!
//! | | `srb` | `scality` | `cdmi1` | `cdmi2` |
//! |---|---|---|---|---|
//! | put | create, size 0, ranged write: three requests, not atomic | `PUT` | `PUT` | `PUT` |
//! | ranged write | `PUT`, `Range` | `PUT` by object ID, `Content-Range: bytes=a-b` | `PUT`, `Content-Range` | `PATCH`, `Content-Range` |
//! | size | `X-Scal-Truncate` | extension, else a zero byte at the new end | the same | the same |
//! | flush | `HEAD`, `X-Scal-Synchronize` | extension, else as `srb` | extension | extension |
//! | punch, lock | – | extension | extension | extension |

mod capabilities;
mod client;
mod container;
mod dialect;
mod find;
mod json;
mod lock;
mod object;
mod target;
mod write;

pub use client::CdmiStore;
pub use dialect::{Dialect, UnknownDialect};
pub use find::find_dialect;
