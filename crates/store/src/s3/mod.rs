//! The client of S3: Amazon's, Ceph's, MinIO's, Garage's and their like.
//!
//! Invariants:
//! - Every request is signed with what is sent: the body's SHA-256, all headers that change what it does.
//! - A ranged read is believed only as 206 with the `Content-Range` that was asked for; a whole one only if its checksum, where
//!   the server tells one, is right.
//! - A conditional `put` is one `PUT`, never a multipart upload: what was proved with a small body holds for every body.
//! - A multipart upload is completed or aborted, also when the request is dropped.
//! - A request is sent again here only when the server refused it unread and said how to put it right (another region, a
//!   token that had expired), or asked for exactly that (409 `ConditionalRequestConflict`).
//! - S3 cannot write in place: `write_at`, `set_size` and `punch` are `Unsupported`.
//!
//! | | request |
//! |---|---|
//! | get, head | `GET`, `HEAD`; a refused `HEAD`, which has no words, is asked again as a `GET` of one byte |
//! | put | `PUT`; above the multipart size and without condition: create, parts in parallel, complete |
//! | delete | `HEAD` (S3 calls the deletion of what is missing a success), `DELETE` |
//! | list | `GET ?list-type=2` with the delimiter `/` |
//!
//! Signing and the loading of credentials are Apache OpenDAL's reqsign (docs/decisions/0006-s3-by-own-http.md); it reaches the services that hand
//! out credentials through our HTTP client.

mod bucket;
mod client;
mod credentials;
mod failure;
mod list;
mod multipart;
mod object;
mod region;
mod settings;
mod sign;
mod sums;
mod transport;
mod write;
mod xml;

pub(crate) use bucket::Bucket;
pub use client::S3Store;
pub(crate) use settings::Addressing;
pub(crate) use settings::NAMES as SETTINGS;
