//! Which mirrors took changes of an object that no flush has covered yet.
//!
//! A mirror may be a gateway with a cache of its own: visible through the others at once, and on the disk only when that
//! gateway is asked. So a flush of an object goes to every mirror that is named here for it (`flush`). A mirror is named before the
//! caller hears of the change, and until a flush through it that began later was good.

use super::recent::MirrorId;
use crate::Key;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More objects than anybody has open; beyond, what is not named counts as changed through every mirror.
const OBJECTS_MAX: usize = 1 << 16;

/// A mirror that took changes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) mirror: MirrorId,
    /// The number of the last one: what a flush that begins now covers.
    change_last: u64,
    /// It named its cache with each of them.
    pub(super) named: bool,
}

/// See the module's note.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Vec<Holder>>,
    /// Changes of all objects.
    changes: u64,
    overflown: bool,
}

impl Dirty {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change was acknowledged; `named`: with the name of the cache that has it.
    pub(super) fn changed(&self, key: &Key, mirror: MirrorId, named: bool) {
        let mut state = self.state();
        state.changes += 1;
        let change_last = state.changes;
        if let Some(holders) = state.objects.get_mut(key) {
            match holders.iter_mut().find(|holder| holder.mirror == mirror) {
                Some(holder) => {
                    holder.change_last = change_last;
                    holder.named &= named;
                }
                None => holders.push(Holder {
                    mirror,
                    change_last,
                    named,
                }),
            }
            return;
        }
        if state.objects.len() >= OBJECTS_MAX {
            state.overflown = true;
            return;
        }
        let holder = Holder {
            mirror,
            change_last,
            named,
        };
        state.objects.insert(key.clone(), vec![holder]);
    }

    /// The mirrors that a flush which begins now has to reach; `None`: any mirror may have some.
    pub(super) fn holders(&self, key: &Key) -> Option<Vec<Holder>> {
        let state = self.state();
        match state.objects.get(key) {
            Some(holders) => Some(holders.clone()),
            None if state.overflown => None,
            None => Some(Vec::new()),
        }
    }

    /// What was held then was flushed.
    pub(super) fn flushed(&self, key: &Key, then: Holder) {
        let mut state = self.state();
        let Some(holders) = state.objects.get_mut(key) else {
            return;
        };
        holders.retain(|holder| holder.mirror != then.mirror || holder.change_last != then.change_last);
        if holders.is_empty() {
            state.objects.remove(key);
        }
    }

    /// The object is no more.
    pub(super) fn forget(&self, key: &Key) {
        self.state().objects.remove(key);
    }

    /// The objects of which the mirror holds changes.
    pub(super) fn of_mirror(&self, mirror: MirrorId) -> Vec<(Key, Holder)> {
        let state = self.state();
        let held = state.objects.iter().filter_map(|(key, holders)| {
            let holder = holders.iter().find(|holder| holder.mirror == mirror)?;
            Some((key.clone(), *holder))
        });
        held.collect()
    }

    /// The mirror is gone for good.
    pub(super) fn forget_mirror(&self, mirror: MirrorId) {
        self.state().objects.retain(|_, holders| {
            holders.retain(|holder| holder.mirror != mirror);
            !holders.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::new(format!("k{n}")).unwrap()
    }

    #[test]
    fn a_mirror_is_named_until_a_flush_that_covers_its_last_change() {
        let (dirty, x) = (Dirty::default(), key(0));
        assert_eq!(dirty.holders(&x), Some(vec![]));
        dirty.changed(&x, 1, true);
        dirty.changed(&x, 2, true);
        let then = dirty.holders(&x).unwrap();
        assert_eq!(
            then.iter().map(|holder| holder.mirror).collect::<Vec<_>>(),
            [1, 2]
        );
        // Changed while the flush was under way.
        dirty.changed(&x, 2, false);
        then.iter().for_each(|holder| dirty.flushed(&x, *holder));
        let left = dirty.holders(&x).unwrap();
        assert!(left.len() == 1 && left[0].mirror == 2 && !left[0].named);
        assert_eq!(dirty.of_mirror(2), [(x.clone(), left[0])]);
        dirty.flushed(&x, left[0]);
        assert_eq!(dirty.holders(&x), Some(vec![]));
        // A flush that took long does not cover what came after another one was done.
        dirty.changed(&x, 2, true);
        dirty.flushed(&x, left[0]);
        assert_eq!(dirty.holders(&x).unwrap().len(), 1);
        dirty.forget(&x);
        dirty.changed(&x, 3, true);
        dirty.forget_mirror(3);
        assert_eq!(dirty.holders(&x), Some(vec![]));
        dirty.changed(&x, 3, true);
        dirty.forget(&x);
        assert_eq!(dirty.holders(&x), Some(vec![]));
    }

    #[test]
    fn what_is_too_much_to_remember_is_taken_for_changed_everywhere() {
        let dirty = Dirty::default();
        for n in 0..OBJECTS_MAX {
            dirty.changed(&key(n), 1, false);
        }
        assert_eq!(dirty.holders(&key(OBJECTS_MAX)), Some(vec![]));
        dirty.changed(&key(OBJECTS_MAX), 1, false);
        assert_eq!(dirty.holders(&key(OBJECTS_MAX)), None);
        assert_eq!(dirty.holders(&key(5)).unwrap().len(), 1);
    }
}
