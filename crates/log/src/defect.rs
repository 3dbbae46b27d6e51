//! Deliberate mistakes, for tests alone: that the simulation finds each of them is what its silence is worth.
//!
//! Outside of tests nothing of it is compiled but a constant.

/// A mistake that somebody could make here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// A flush is answered while segments are on their way.
    FlushDoesNotWait,
    /// A segment counts as stored while one before it is not.
    StoredOutOfOrder,
    /// A recovery leaves no tombstone in the first hole of the log.
    NoTombstone,
    /// Another writer's object is taken for one's own.
    NonceNotCompared,
    /// What a snapshot holds dies like all else.
    HeldForgotten,
    /// Garbage collection asks the volume alone what lives.
    CollectedWithoutLists,
    /// Garbage collection does not ask the volume what lives, only lists.
    CollectedWithoutMap,
    /// Objects are removed before the head that does not reach them is there.
    RemovedBeforeHead,
    /// A recovery goes on past a hole in the log.
    RecoveredPastHole,
    /// A head says that segments are in its map which are still on their way.
    HeadAheadOfMap,
    /// After a rollback the map in memory is what it was.
    StaleMapAfterRollback,
    /// A deleted snapshot's blocks die although an older one holds them, too.
    ReleasedTooMuch,
    /// A flush is answered without the journal's sync.
    JournalNotSynced,
    /// A journal is taken up although another host has written since.
    StaleJournal,
    /// A journal's records are let go when they are sent, not when they are on the store.
    ReleasedEarly,
    /// A clone is created before its snapshot lists it.
    CreatedBeforeListed,
    /// A deleted snapshot's blocks die while clones read them.
    ReleasedUnderChildren,
    /// A clone that is not there comes off the list, and no tombstone keeps its creator from going on.
    NoTombstoneForChild,
    /// A flatten writes what it has read over what was written meanwhile.
    FlattenedOverWrites,
    /// A flattened volume leaves its lineage while snapshots of it read from there.
    LeftUnderSnapshots,
}

#[cfg(test)]
impl Defect {
    pub(crate) const ALL: [Self; 20] = [
        Self::FlushDoesNotWait,
        Self::StoredOutOfOrder,
        Self::NoTombstone,
        Self::NonceNotCompared,
        Self::HeldForgotten,
        Self::CollectedWithoutLists,
        Self::CollectedWithoutMap,
        Self::RemovedBeforeHead,
        Self::RecoveredPastHole,
        Self::HeadAheadOfMap,
        Self::StaleMapAfterRollback,
        Self::ReleasedTooMuch,
        Self::JournalNotSynced,
        Self::StaleJournal,
        Self::ReleasedEarly,
        Self::CreatedBeforeListed,
        Self::ReleasedUnderChildren,
        Self::NoTombstoneForChild,
        Self::FlattenedOverWrites,
        Self::LeftUnderSnapshots,
    ];
}

#[cfg(test)]
thread_local! {
    /// The mistake that is made on this thread: a simulation is one thread.
    pub(crate) static MADE: std::cell::Cell<Option<Defect>> = const { std::cell::Cell::new(None) };
}

impl Defect {
    /// Whether it is made now. Never outside of tests.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "made in tests alone"))]
    pub(crate) fn is_made(self) -> bool {
        #[cfg(test)]
        let made = MADE.get() == Some(self);
        #[cfg(not(test))]
        let made = false;
        made
    }
}
