//! One store over several mirrors of the same repository: balances, tries again, and elsewhere.
//!
//! ```text
//! Mirrored (a view: patience) ── Set ── Mirror, Mirror, …      each with its breaker, latencies, counters
//!    │ store     the operations     ├── balance   which mirror gets a request
//!    │ retry     the way of one     ├── budget    how much more may be sent than was asked for
//!    │ hedge     reads sent twice   ├── recent    read your writes, where mirrors lag
//!    │ flush     what it reaches    ├── dirty     who took writes since the last flush
//!    │                              ├── probe     is it alive, and is it the right one
//!    └ deadline  of operations      └── identity  is what answers the right one
//! ```
//! Mirrors come and go, and are drained, while it is in use; the last one stays. Limits on how much its users may do are not
//! here but above it (`restblk_block::limit`).
//!
//! # The way of a request
//! 1. A mirror is chosen among those of the highest priority whose breaker is closed: two are drawn, the less loaded has it.
//!    One that is to be tried again gets one request at a time, a change only once a probe was answered.
//! 2. A read that takes longer than 95 % of its like goes to a second mirror as well, within a budget.
//! 3. What failed for a reason of the mirror's goes to another one at once, for a token from the pool's budget of second
//!    tries; without one it waits, and is never failed by that.
//! 4. Where no mirror is closed, it waits until a probe, or the one request that may try, finds one that works, or until its
//!    time is over. Requests that wait send nothing.
//!
//! Views of one pool (for data, for commands) share all that is known of its mirrors, and differ in how long they wait.
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
//! 1. After a time-out the connection is reset and never used again (`http`), so a server that drops the work of a closed
//!    connection, as the embedded one does right before each change, never lands late, also where it was stopped meanwhile.
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
//! A flush reaches every mirror that took changes since its last good flush, or, where servers name their caches
//! ([`crate::Instance`]), as many as it takes until every cache that took changes has answered; see `flush`. A change is told to its
//! caller only after the mirror that acknowledged it is on the list of those to be flushed, so no failover moves a change past
//! a flush that begins later. Where servers do not name their caches, a mirror that is dead is covered through a living one: all
//! mirrors show one repository; that it lost its power with acknowledged writes in its memory is then not noticed.
//!
//! # Mirrors that lag
//! A pool may state how long a change needs to be seen through its other mirrors; until then what touches it goes through the
//! mirror that took it; see `recent`.

mod balance;
mod breaker;
mod budget;
mod deadline;
mod dirty;
mod flush;
mod hedge;
mod identity;
mod latency;
mod mirror;
mod outage;
mod probe;
mod recent;
mod retry;
mod set;
mod store;

pub use deadline::{clean_up, within};
pub use mirror::{MirrorOptions, MirrorState, MirrorStatus};
pub use probe::{IsOurs, Marker};
pub use retry::{Outage, RetryPolicy};
pub use set::{Mirrored, MirroredFigures};

#[cfg(test)]
mod tests;
