//! The store, the requests under way, and the writers.

use super::writer::Writer;
use std::collections::{BTreeMap, BTreeSet};

/// A writer's number.
pub(super) type WriterId = u8;
/// A segment that was acknowledged or recovered: its epoch and its number.
pub(super) type Segment = (u8, u8);

/// The name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `epoch/E`
    Epoch(u8),
    /// `head/E/N`
    Head(u8, u8),
    /// `log/E/S`
    Log(u8, u8),
}

/// An object. The writer is its nonce.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A claim or a segment.
    Plain(WriterId),
    /// A published state: the segments that are in it.
    Head(WriterId, BTreeSet<Segment>),
    /// The end of a series.
    Tombstone,
}

/// A create that was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// Where.
    pub name: Name,
    /// What.
    pub object: Object,
}

/// All there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What the store holds.
    pub store: BTreeMap<Name, Object>,
    /// What was sent and may be carried out at any time.
    pub under_way: BTreeSet<Request>,
    /// The writers.
    pub writers: Vec<Writer>,
    /// Every segment that was ever acknowledged.
    pub acknowledged: BTreeSet<Segment>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A writer begins to attach.
    Start(WriterId),
    /// A request is carried out.
    Land(Request),
    /// A writer looks at the object that its next step depends upon, and takes that step.
    Look(WriterId),
    /// A live writer sends its next segment.
    Append(WriterId),
    /// A live writer sends a head with all that it has acknowledged.
    Checkpoint(WriterId),
    /// A writer dies; what it sent stays under way.
    Crash(WriterId),
    /// A tombstone is cleared away ([`super::Defect::TombstonesDeleted`]).
    DeleteTombstone(Name),
}

impl State {
    /// A volume just made: epoch 0 is live, empty, and has no writer.
    pub(super) fn initial(writers: u8) -> Self {
        let store = BTreeMap::from([
            (Name::Epoch(0), Object::Plain(WriterId::MAX)),
            (Name::Head(0, 0), Object::Head(WriterId::MAX, BTreeSet::new())),
        ]);
        Self {
            store,
            under_way: BTreeSet::new(),
            writers: (0..writers).map(Writer::new).collect(),
            acknowledged: BTreeSet::new(),
        }
    }

    pub(super) fn send(&mut self, name: Name, object: Object) {
        self.under_way.insert(Request { name, object });
    }

    /// The last head of an epoch: its number and what is in it.
    pub(super) fn last_head(&self, epoch: u8) -> Option<(u8, &BTreeSet<Segment>)> {
        (0..=u8::MAX)
            .map_while(|n| match self.store.get(&Name::Head(epoch, n)) {
                Some(Object::Head(_, state)) => Some((n, state)),
                _ => None,
            })
            .last()
    }
}
