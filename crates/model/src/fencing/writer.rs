//! One writer: what it knows, and the steps it takes.
//!
//! A writer learns what became of its requests by looking at the objects alone. An answer tells nothing that a look at the
//! moment of the answer does not, so answers are not modelled: losing one is not to look.

use super::Defect;
use super::state::{Name, Object, Segment, State, WriterId};
use std::collections::BTreeSet;

/// Where a writer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It has not begun.
    Idle,
    /// It has sent its claim of this epoch.
    Claiming(u8),
    /// It has sent a tombstone for `head/below/hole`, where `hole` is the first one it knows of.
    FencingHeads {
        /// The epoch to be fenced.
        below: u8,
        /// The number of the head.
        hole: u8,
    },
    /// It has sent a tombstone for `log/below/hole`, and has gathered `state` so far.
    FencingLog {
        /// The epoch to be fenced.
        below: u8,
        /// The number of the segment.
        hole: u8,
        /// What is recovered so far.
        state: BTreeSet<Segment>,
    },
    /// It has sent its first head.
    GoingLive,
    /// It may write.
    Live,
    /// It was fenced or has died.
    Over,
}

/// A writer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Writer {
    /// Its number, and its nonce.
    pub id: WriterId,
    /// Where it is.
    pub phase: Phase,
    /// Its epoch, once it has claimed one.
    pub epoch: u8,
    /// What is in its volume: recovered, and acknowledged since.
    pub state: BTreeSet<Segment>,
    /// Segments sent.
    pub sent: u8,
    /// Segments known to be there, in order, from the first; the next look is for the one after.
    pub known: u8,
    /// Heads sent.
    pub heads: u8,
    /// Heads known to be there.
    pub heads_known: u8,
}

impl Writer {
    pub(super) fn new(id: WriterId) -> Self {
        Self {
            id,
            phase: Phase::Idle,
            epoch: 0,
            state: BTreeSet::new(),
            sent: 0,
            known: 0,
            heads: 0,
            heads_known: 0,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether this object, found where the writer put one, is its own.
    fn is_mine(&self, found: &Object, defect: Option<Defect>) -> bool {
        match found {
            Object::Plain(by) | Object::Head(by, _) => {
                *by == self.id || defect == Some(Defect::NonceNotCompared)
            }
            Object::Tombstone => false,
        }
    }

    pub(super) fn start(&mut self, world: &mut State) {
        let taken = |epoch: &u8| world.store.contains_key(&Name::Epoch(*epoch));
        let free = (0..u8::MAX).find(|epoch| !taken(epoch)).unwrap_or(u8::MAX);
        world.send(Name::Epoch(free), Object::Plain(self.id));
        self.phase = Phase::Claiming(free);
    }

    fn fence(&mut self, world: &mut State, below: u8) {
        self.phase = Phase::FencingHeads { below, hole: 0 };
        self.put_tombstone(world, Name::Head(below, 0));
    }

    /// A tombstone goes only where nothing was seen.
    fn put_tombstone(&self, world: &mut State, name: Name) {
        if !world.store.contains_key(&name) {
            world.send(name, Object::Tombstone);
        }
    }

    fn go_live(&mut self, world: &mut State) {
        world.send(
            Name::Head(self.epoch, 0),
            Object::Head(self.id, self.state.clone()),
        );
        self.heads = 1;
        self.phase = Phase::GoingLive;
    }

    /// Looks at the object that the next step depends upon, and takes the step. Nothing happens where it is not there yet.
    pub(super) fn look(&mut self, world: &mut State, defect: Option<Defect>) {
        match self.phase.clone() {
            Phase::Idle | Phase::Over => {}
            Phase::Claiming(epoch) => self.look_at_claim(world, epoch, defect),
            Phase::FencingHeads { below, hole } => self.look_at_head(world, below, hole, defect),
            Phase::FencingLog { below, hole, state } => self.look_at_log(world, below, hole, state, defect),
            Phase::GoingLive => match world.store.get(&Name::Head(self.epoch, 0)) {
                Some(found) if self.is_mine(found, defect) => {
                    self.heads_known = 1;
                    self.phase = Phase::Live;
                    if defect == Some(Defect::LiveBeforeFencing) && self.state.is_empty() {
                        // It fences only now, for itself: its head is out.
                        let (_, state) = world.last_head(self.epoch - 1).unwrap_or((0, &self.state));
                        self.state = state.clone();
                    }
                }
                Some(_) => self.phase = Phase::Over,
                None => {}
            },
            Phase::Live => self.look_at_own(world, defect),
        }
    }

    fn look_at_claim(&mut self, world: &mut State, epoch: u8, defect: Option<Defect>) {
        match world.store.get(&Name::Epoch(epoch)) {
            Some(found) if self.is_mine(found, defect) => {
                self.epoch = epoch;
                if defect == Some(Defect::LiveBeforeFencing) {
                    self.go_live(world);
                } else {
                    self.fence(world, epoch - 1);
                }
            }
            Some(_) => {
                world.send(Name::Epoch(epoch + 1), Object::Plain(self.id));
                self.phase = Phase::Claiming(epoch + 1);
            }
            None => {}
        }
    }

    fn look_at_head(&mut self, world: &mut State, below: u8, hole: u8, defect: Option<Defect>) {
        let unborn = hole == 0;
        match world.store.get(&Name::Head(below, hole)) {
            Some(Object::Head(..)) => {
                self.phase = Phase::FencingHeads {
                    below,
                    hole: hole + 1,
                };
                self.put_tombstone(world, Name::Head(below, hole + 1));
            }
            Some(_) if unborn => self.fence(world, below - 1),
            None if unborn && defect == Some(Defect::NoTombstoneForUnborn) => self.fence(world, below - 1),
            Some(_) => {
                let state = match world.store.get(&Name::Head(below, hole - 1)) {
                    Some(Object::Head(_, state)) => state.clone(),
                    _ => BTreeSet::new(),
                };
                let covered = state.iter().filter(|(epoch, _)| *epoch == below).count();
                let hole = u8::try_from(covered).unwrap_or(u8::MAX);
                self.phase = Phase::FencingLog { below, hole, state };
                if defect != Some(Defect::NoTombstoneInLog) {
                    self.put_tombstone(world, Name::Log(below, hole));
                }
            }
            None => {}
        }
    }

    fn look_at_log(
        &mut self,
        world: &mut State,
        below: u8,
        hole: u8,
        mut state: BTreeSet<Segment>,
        defect: Option<Defect>,
    ) {
        match world.store.get(&Name::Log(below, hole)) {
            Some(Object::Plain(_)) => {
                state.insert((below, hole));
                self.phase = Phase::FencingLog {
                    below,
                    hole: hole + 1,
                    state,
                };
                if defect != Some(Defect::NoTombstoneInLog) {
                    self.put_tombstone(world, Name::Log(below, hole + 1));
                }
            }
            Some(_) => self.recovered(world, below, hole, state, defect),
            None if defect == Some(Defect::NoTombstoneInLog) => {
                self.recovered(world, below, hole, state, defect);
            }
            None => {}
        }
    }

    fn recovered(
        &mut self,
        world: &mut State,
        below: u8,
        hole: u8,
        mut state: BTreeSet<Segment>,
        defect: Option<Defect>,
    ) {
        if defect == Some(Defect::RecoversPastHole) {
            let beyond = (hole + 1..hole + 4)
                .filter(|n| matches!(world.store.get(&Name::Log(below, *n)), Some(Object::Plain(_))));
            state.extend(beyond.map(|n| (below, n)));
        }
        self.state = state;
        self.go_live(world);
    }

    /// The writer's own series: the next segment, else the next head.
    fn look_at_own(&mut self, world: &mut State, defect: Option<Defect>) {
        if defect == Some(Defect::AckOutOfOrder) {
            for number in self.known..self.sent {
                if world.store.get(&Name::Log(self.epoch, number)) == Some(&Object::Plain(self.id)) {
                    self.acknowledge(world, number);
                }
            }
        }
        if self.known < self.sent
            && let Some(found) = world.store.get(&Name::Log(self.epoch, self.known))
        {
            if !self.is_mine(found, defect) {
                self.phase = Phase::Over;
                return;
            }
            self.acknowledge(world, self.known);
            self.known += 1;
        }
        if self.heads_known < self.heads
            && let Some(found) = world.store.get(&Name::Head(self.epoch, self.heads_known))
        {
            if self.is_mine(found, defect) {
                self.heads_known += 1;
            } else {
                self.phase = Phase::Over;
            }
        }
    }

    fn acknowledge(&mut self, world: &mut State, number: u8) {
        world.acknowledged.insert((self.epoch, number));
        self.state.insert((self.epoch, number));
    }

    pub(super) fn append(&mut self, world: &mut State) {
        world.send(Name::Log(self.epoch, self.sent), Object::Plain(self.id));
        self.sent += 1;
    }

    pub(super) fn checkpoint(&mut self, world: &mut State) {
        let head = Object::Head(self.id, self.state.clone());
        world.send(Name::Head(self.epoch, self.heads), head);
        self.heads += 1;
    }
}
