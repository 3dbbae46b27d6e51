//! The client of Azure Blob: page blobs for what is changed in place, block blobs for whole objects.
//!
//! Invariants:
//! - Every change of an object whose lock is presented carries its lease's ID, so that the service itself refuses it once the
//!   lease is another's: in the same step in which it would have done it.
//! - A ranged read is believed only as 206 with the `Content-Range` that was asked for, and any read only with the MD5 that
//!   the answer tells.
//! - One kind of blob never replaces the other: an unconditional `put` or `create` looks first and then names the state that
//!   it saw.
//! - A large `put` is blocks under names of its own and one block list: before that one nothing is seen, and what is left of
//!   one that ended early, the service throws away within a week.
//! - A page blob is grown before pages are written past its end, and only under the ETag of the size that was seen, so that
//!   two who grow it never make it smaller.
//! - The service is told with each change when we shall have given it up (`timeout`), so that it gives up too: by itself it
//!   would go on for ten minutes a megabyte, and land late.
//! - Keys, tokens and the queries that hold them are in no message, log or debug output.
//!
//! | | request |
//! |---|---|
//! | put | `Put Blob`, above 8 MiB `Put Block` in parallel and `Put Block List` |
//! | create | `Put Blob` of a page blob of size 0 |
//! | write_at, punch | `Put Page`, update or clear |
//! | set_size | `Set Blob Properties` |
//! | lock, refresh, unlock, steal | `Lease Blob`: acquire (for ever), renew, release, break with period 0 and acquire |
//! | get, head, delete, list | `Get Blob`, `Get Blob Properties`, `Delete Blob`, `List Blobs` with the delimiter `/` |
//!
//! # Leases
//! They are taken for ever: a holder that was suspended for a while still has what it had, and who takes it over breaks the
//! lease, by `force`, as with the attachment record beside it. A lease tells nobody's name.
//!
//! Page blobs also have sequence numbers, on which a write can be made conditional. They would be a second token with the
//! same effect against another holder, one that other programs use for ends of their own; and against a write of our own that lands
//! late, `timeout` and the grace of [`crate::Mirrored`] cost nothing while nothing is late. They are not used.

mod blocks;
mod client;
mod credentials;
mod lease;
mod list;
mod pages;
mod read;
mod settings;
mod sign;
mod status;
mod target;
mod token;
mod whole;

pub use client::AzureStore;
pub(crate) use settings::NAMES as SETTINGS;
