//! The model as the checker sees it: which steps there are, what each does, and what must hold.

use super::Defect;
use super::state::{Action, Name, Object, State};
use super::writer::Phase;
use stateright::{Model, Property};
use std::collections::BTreeSet;

/// Bounds of the model, and the rule that it breaks.
#[derive(Clone, Debug)]
pub struct Fencing {
    /// Writers that attach one after the other, or at once.
    pub writers: u8,
    /// Segments that each of them sends at the most.
    pub segments: u8,
    /// Heads that each of them sends at the most, the first included.
    pub heads: u8,
    /// What is wrong with it.
    pub defect: Option<Defect>,
}

impl Model for Fencing {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self.writers)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for writer in &state.writers {
            match &writer.phase {
                // One after the other begins, so that only what they are called differs: the order among them is not lost.
                Phase::Idle => {
                    let first = state.writers.iter().position(|other| other.phase == Phase::Idle);
                    if first == Some(usize::from(writer.id)) {
                        actions.push(Action::Start(writer.id));
                    }
                    continue;
                }
                Phase::Over => continue,
                _ => {}
            }
            actions.push(Action::Look(writer.id));
            actions.push(Action::Crash(writer.id));
            if writer.is_live() {
                if writer.sent < self.segments {
                    actions.push(Action::Append(writer.id));
                }
                if writer.heads < self.heads && writer.heads == writer.heads_known {
                    actions.push(Action::Checkpoint(writer.id));
                }
            }
        }
        for request in &state.under_way {
            actions.push(Action::Land(request.clone()));
        }
        if self.defect == Some(Defect::TombstonesDeleted) {
            let tombstones = state
                .store
                .iter()
                .filter(|(_, object)| **object == Object::Tombstone);
            actions.extend(tombstones.map(|(name, _)| Action::DeleteTombstone(*name)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        let mut with = |id: u8, step: &dyn Fn(&mut super::Writer, &mut State)| {
            let mut writer = next.writers.get(usize::from(id))?.clone();
            step(&mut writer, &mut next);
            next.writers[usize::from(id)] = writer;
            Some(())
        };
        match action {
            Action::Start(id) => with(id, &|writer, world| writer.start(world))?,
            Action::Look(id) => with(id, &|writer, world| writer.look(world, self.defect))?,
            Action::Append(id) => with(id, &|writer, world| writer.append(world))?,
            Action::Checkpoint(id) => with(id, &|writer, world| writer.checkpoint(world))?,
            Action::Crash(id) => with(id, &|writer, _| writer.phase = Phase::Over)?,
            Action::Land(request) => {
                next.under_way.remove(&request);
                if self.defect == Some(Defect::CreateReplaces) {
                    next.store.insert(request.name, request.object);
                } else {
                    next.store.entry(request.name).or_insert(request.object);
                }
            }
            Action::DeleteTombstone(name) => {
                next.store.remove(&name);
            }
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("durable", |_, state: &State| is_durable(state)),
            Property::always("prefix", |_, state: &State| {
                states(state).all(|(_, state)| is_prefix(state))
            }),
            Property::always("one owner", |_, state: &State| has_one_owner(state)),
            Property::sometimes("all are followed", |model: &Self, state: &State| {
                model.defect.is_some() || all_are_followed(model.writers, state)
            }),
        ]
    }
}

/// Published states, with their epochs.
fn states(state: &State) -> impl Iterator<Item = (u8, &BTreeSet<(u8, u8)>)> {
    state
        .store
        .iter()
        .filter_map(|(name, object)| match (name, object) {
            (Name::Head(epoch, _), Object::Head(_, state)) => Some((*epoch, state)),
            _ => None,
        })
}

/// Every state that was published in an epoch has all that was acknowledged in the epochs before it.
fn is_durable(state: &State) -> bool {
    states(state).all(|(epoch, published)| {
        let before = state.acknowledged.iter().filter(|(of, _)| *of < epoch);
        before.into_iter().all(|segment| published.contains(segment))
    })
}

fn is_prefix(published: &BTreeSet<(u8, u8)>) -> bool {
    published
        .iter()
        .all(|(epoch, number)| *number == 0 || published.contains(&(*epoch, number - 1)))
}

/// No two writers take one epoch for theirs.
fn has_one_owner(state: &State) -> bool {
    let mut owned = BTreeSet::new();
    state
        .writers
        .iter()
        .filter(|writer| writer.epoch > 0)
        .all(|writer| owned.insert(writer.epoch))
}

/// The last of all writers is live, and has segments of each before it.
fn all_are_followed(writers: u8, state: &State) -> bool {
    state.writers.iter().any(|writer| {
        let has = |epoch| writer.state.iter().any(|(of, _)| *of == epoch);
        writer.is_live() && writer.epoch == writers && (1..writers).all(has)
    })
}
