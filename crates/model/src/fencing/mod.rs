//! How one writer of a log volume is followed by another without a lock, by exclusive create alone.
//!
//! # The protocol
//! A volume's objects are made by create-if-absent, and their names tell who may make them:
//! ```text
//! epoch/E      one attachment's right to write
//! head/E/N     the Nth state that the writer of epoch E published; head/E/0 makes it live
//! log/E/S      its Sth segment
//! ```
//! To attach, a writer
//! 1. *claims* the first free epoch E by creating `epoch/E` with its nonce, and reads back who won;
//! 2. *fences* the epochs below, the newest first: it puts a tombstone into the first hole of `head/P`; where P was never live
//!    (its hole is `head/P/0`) it goes on with P-1; else the last head is where recovery starts, and it puts a tombstone into
//!    the first hole of `log/P`, from what that head covers;
//! 3. *recovers* the last head and the segments up to the tombstone: a contiguous prefix of what was written;
//! 4. *goes live* by creating `head/E/0` with that state. A tombstone found there means that it was fenced itself.
//!
//! A live writer uploads several segments at once, and acknowledges one only when it and all before it are known to be there.
//! Of a request that was not answered it knows nothing until it has read the object back and compared the nonce; the request may
//! still be carried out at any later time, and more than once. A tombstone found in its own series ends it for ever.
//!
//! # Why one tombstone is enough
//! Segments beyond the first hole may be on the store, and more may land later: none of them was or will be acknowledged, since
//! the one before them never will be there. So they are garbage, whenever they come.
//!
//! # What is checked
//! With all interleavings of up to three writers that crash, stall and go on, and requests that are delayed and lost (repeated ones
//! change nothing: no object is replaced or removed):
//! - *durable*: whatever was acknowledged, before or after, is in the state of every writer that went live later;
//! - *prefix*: a state has no segment of an epoch without all that come before it;
//! - *one owner*: an epoch has one writer;
//! - and, so that none of it holds for want of trying, that the last of all writers does go live with segments of each before it.
//!
//! Each [`Defect`] breaks one rule, and the checker finds what that costs.

mod model;
mod state;
mod writer;

pub use model::Fencing;
pub use state::{Action, Name, Object, Request, State};
pub use writer::{Phase, Writer};

use std::fmt;

/// A rule of the protocol that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A segment is acknowledged as soon as it is there, whatever came before it.
    AckOutOfOrder,
    /// Recovery stops at the first hole and leaves no tombstone there.
    NoTombstoneInLog,
    /// Of an epoch that was never live no tombstone is left in the place of its first head.
    NoTombstoneForUnborn,
    /// Tombstones are cleared away as garbage.
    TombstonesDeleted,
    /// A request without an answer that meets an object takes it for its own.
    NonceNotCompared,
    /// The writer goes live first and fences afterwards.
    LiveBeforeFencing,
    /// The store lets a create replace what is there.
    CreateReplaces,
    /// Segments past the hole are recovered too.
    RecoversPastHole,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AckOutOfOrder,
        Self::NoTombstoneInLog,
        Self::NoTombstoneForUnborn,
        Self::TombstonesDeleted,
        Self::NonceNotCompared,
        Self::LiveBeforeFencing,
        Self::CreateReplaces,
        Self::RecoversPastHole,
    ];

    /// Segments that a writer must send for it to show.
    #[must_use]
    pub fn segments(self) -> u8 {
        match self {
            Self::AckOutOfOrder | Self::RecoversPastHole => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AckOutOfOrder => "acknowledging out of order",
            Self::NoTombstoneInLog => "no tombstone in the log",
            Self::NoTombstoneForUnborn => "no tombstone for an epoch that never went live",
            Self::TombstonesDeleted => "tombstones deleted",
            Self::NonceNotCompared => "nonce not compared",
            Self::LiveBeforeFencing => "going live before fencing",
            Self::CreateReplaces => "a store whose create replaces",
            Self::RecoversPastHole => "recovering past a hole",
        })
    }
}

#[cfg(test)]
mod tests;
