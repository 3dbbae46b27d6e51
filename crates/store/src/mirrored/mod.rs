//! One store over several mirrors of the same repository: tries again, and elsewhere.
//!
//! Owns retries with backoff and a deadline, failover within a request, and the choice of the mirror: the one that last
//! worked, until it fails. Mirrors come and go while it is in use; the last one stays. It does not balance or hedge.
//!
//! # Why each retry is safe
//! - `get`, `head`, `list`, `flush` change nothing (a flush that was done twice was done).
//! - `write_at`, `set_size`, `punch` and unconditional `put` and `delete` are idempotent: the same bytes, size or absence.
//!   A `delete` that finds nothing after a try whose answer was lost has succeeded.
//! - A conditional `put` whose answer was lost may meet its own effect as a `Conflict`: the object is then read back, and
//!   equal bytes are success. So the caller puts a nonce into the body; an empty body cannot be told apart, and stays a
//!   `Conflict` marked ambiguous. A conditional `delete` that conflicts is told as it is.
//!
//! # Late landings
//! The danger is not the retry but a first try that the server carries out *later*: write A times out, A again is
//! answered, a newer write B to the same range is answered, and then the first A lands over B. What is done:
//! 1. After a time-out the connection is closed and never used again (`http`), so a server that drops the work of a closed
//!    connection, as the embedded one does, never lands late.
//! 2. A retry sends the same bytes, so that a landing before the caller hears of success does no harm.
//! 3. Success after a try that may land later is told only when [`RetryPolicy::landing_grace`] has passed since that try
//!    was given up ([`RetryPolicy::broken_grace`] where the connection broke), also on another mirror. The caller orders
//!    overlapping changes (sends B after A was answered), so a landing within the grace is covered too.
//!
//! What is left: a server that neither drops the work nor does it within the grace. Plain CDMI has no defence against that;
//! `If-Match` on each write would be one where it was proved, but it admits one write at a time to an object. Calls that
//! the caller drops (cancels) end without grace: do not cancel changes. A change that failed for good is told at once, with
//! [`StoreError::is_late`](crate::StoreError::is_late) where it may land yet.
//!
//! # Flushes
//! A flush goes to one mirror, and where servers name their caches ([`crate::Instance`]) to as many as took changes (see
//! `flush`). So mirrors on one machine fail over freely; mirrors on several machines are flushed each, and a flush waits for
//! one that took writes and does not answer. Where servers do not tell, mirrors must share what they have acknowledged, and
//! a loss of power between a write and its flush is not noticed: plain CDMI has no verifier of a server's life.

mod deadline;
mod flush;
mod health;
mod list;
mod outage;
mod retry;
mod store;

pub use deadline::{clean_up, within};
pub use health::{MirrorState, MirrorStatus};
pub use list::Mirrored;
pub use retry::{Outage, RetryPolicy};

#[cfg(test)]
mod tests;
