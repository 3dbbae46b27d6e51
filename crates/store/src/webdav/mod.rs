//! The client of WebDAV servers (RFC 4918), and of plain HTTP servers that take `PUT`.
//!
//! Invariants:
//! - A ranged write goes out only in the dialect that the store was opened with: a server that does not know it replaces the
//!   whole object without a word. [`find()`] proves on scratch objects which one a server honours, if any.
//! - A ranged write carries `If-Match: *`, so that it never makes an object of its part.
//! - A ranged read is believed only as 206 with the `Content-Range` that was asked for.
//! - ETags stand for states only where that was proved: weak ones and those of whole seconds do not.
//! - A change under a lock carries its token; one that is refused with it is looked into before it is called fenced.
//! - What belongs to this client alone is named `.restblk-tmp-…`, is in no listing, and is removed on every way out.
//!
//! | | by |
//! |---|---|
//! | put | `PUT`; where 404 or 409 says that folders are missing, `MKCOL` of those, and once more |
//! | exclusive create | `PUT` with `If-None-Match: *`; or `PUT` under a temporary name and `MOVE` with `Overwrite: F` |
//! | ranged write | `PUT` with `Content-Range`; or SabreDAV's `PATCH` with `X-Update-Range`; or not at all |
//! | list, usage | `PROPFIND`, the latter with RFC 4331's quotas |
//! | lock | `LOCK`, `UNLOCK`; a foreign one is found by `lockdiscovery` and ended by `UNLOCK` |
//! | flush | there is none: nothing is promised |

mod client;
mod create;
mod dialect;
mod find;
mod folder;
mod lock;
mod object;
mod properties;
mod write;

pub use client::{SETTINGS, WebdavStore};
pub use dialect::{Dialect, UnknownDialect};
pub use find::find;
