//! Read your writes, on mirrors that see each other's changes only after a while.
//!
//! A pool may state a propagation time: so long after a change was acknowledged by one mirror, the others may show the state
//! before it. While a change is younger than that, requests that touch its range go through the mirror that took it; where it
//! failed, they wait until the change has reached the others. That goes for changes too: of two changes of one range that went
//! through two mirrors, the older might arrive at the second mirror last.
//!
//! A request that touches young changes of *two* mirrors can be answered rightly by neither: it waits until only one of
//! them is young. So that this is rare, changes of an object prefer the mirror that has its other young changes.
//!
//! Owns the list of young changes, by object. A pool with no propagation time, the usual case, never comes here.

use crate::Key;
use restblk_types::Extent;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Ranges remembered for one object; beyond, its oldest half is remembered as the whole object.
const RANGES_MAX: usize = 1024;

/// Identifies a mirror for as long as the process lives.
pub(super) type MirrorId = u64;

/// What of an object a request touches; `None`: all of it.
pub(super) type Touched = Option<Extent>;

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To any mirror.
    Free,
    /// To this one; without it, to any from then on.
    Via(MirrorId, Instant),
    /// Nowhere before this.
    Wait(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Young {
    touched: Touched,
    mirror: MirrorId,
    until: Instant,
}

/// See the module's note.
#[derive(Debug)]
pub(super) struct Recent {
    propagation: Duration,
    /// By object, the oldest first.
    young: Mutex<HashMap<Key, VecDeque<Young>>>,
}

fn touch(a: Touched, b: Touched) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.overlaps(b),
        _ => true,
    }
}

impl Recent {
    pub(super) fn new(propagation: Duration) -> Self {
        Self {
            propagation,
            young: Mutex::default(),
        }
    }

    /// Whether there is anything to be done.
    pub(super) fn is_on(&self) -> bool {
        !self.propagation.is_zero()
    }

    fn young(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<Young>>> {
        self.young.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change was acknowledged.
    pub(super) fn changed(&self, key: &Key, touched: Touched, mirror: MirrorId, now: Instant) {
        if !self.is_on() {
            return;
        }
        let mut all = self.young();
        let until = now + self.propagation;
        if !all.contains_key(key) {
            // The time to forget objects that are at rest.
            all.retain(|_, list| list.back().is_some_and(|newest| newest.until > now));
        }
        let list = all.entry(key.clone()).or_default();
        while list.front().is_some_and(|oldest| oldest.until <= now) {
            list.pop_front();
        }
        if list.len() >= RANGES_MAX {
            merge_older_half(list);
        }
        list.push_back(Young {
            touched,
            mirror,
            until,
        });
    }

    /// Where a request that touches this may go.
    pub(super) fn route(&self, key: &Key, touched: Touched, now: Instant) -> Route {
        if !self.is_on() {
            return Route::Free;
        }
        let all = self.young();
        let list = all.get(key).into_iter().flatten();
        let mut last: Option<(MirrorId, Instant)> = None;
        let mut others_until: Option<Instant> = None;
        // The newest decides the mirror; those of other mirrors have to get old.
        for young in list
            .rev()
            .filter(|young| young.until > now && touch(young.touched, touched))
        {
            match last {
                None => last = Some((young.mirror, young.until)),
                Some((mirror, _)) if mirror == young.mirror => {}
                Some(_) => {
                    others_until = Some(young.until);
                    break;
                }
            }
        }
        match (last, others_until) {
            (None, _) => Route::Free,
            (Some(_), Some(until)) => Route::Wait(until),
            (Some((mirror, until)), None) => Route::Via(mirror, until),
        }
    }

    /// The mirror that has the newest young change of the object: what further changes prefer.
    pub(super) fn preferred(&self, key: &Key, now: Instant) -> Option<MirrorId> {
        if !self.is_on() {
            return None;
        }
        let all = self.young();
        let newest = all.get(key)?.back()?;
        (newest.until > now).then_some(newest.mirror)
    }
}

/// One entry of the whole object for each mirror in the older half.
fn merge_older_half(list: &mut VecDeque<Young>) {
    let mut merged: Vec<Young> = Vec::new();
    for young in list.drain(..RANGES_MAX / 2) {
        match merged.iter_mut().find(|whole| whole.mirror == young.mirror) {
            Some(whole) => whole.until = young.until,
            None => merged.push(Young {
                touched: None,
                ..young
            }),
        }
    }
    merged.sort_by_key(|whole| whole.until);
    for whole in merged.into_iter().rev() {
        list.push_front(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn range(offset: u64, len: u64) -> Touched {
        Some(Extent::new(offset, len).unwrap())
    }

    fn key() -> Key {
        Key::new("x").unwrap()
    }

    #[test]
    fn what_overlaps_a_young_change_goes_where_it_went() {
        let (recent, now) = (Recent::new(100 * MS), Instant::now());
        recent.changed(&key(), range(0, 8), 1, now);
        recent.changed(&key(), range(8, 8), 1, now + 10 * MS);
        recent.changed(&key(), range(100, 8), 2, now + 20 * MS);
        let at = now + 30 * MS;
        let route = |touched| recent.route(&key(), touched, at);
        assert_eq!(route(range(4, 8)), Route::Via(1, now + 110 * MS));
        assert_eq!(route(range(100, 1)), Route::Via(2, now + 120 * MS));
        assert_eq!(route(range(16, 84)), Route::Free);
        assert_eq!(
            route(range(15, 86)),
            Route::Wait(now + 110 * MS),
            "neither has both"
        );
        assert_eq!(route(None), Route::Wait(now + 110 * MS));
        assert_eq!(
            recent.route(&key(), None, now + 110 * MS),
            Route::Via(2, now + 120 * MS)
        );
        assert_eq!(recent.route(&key(), None, now + 120 * MS), Route::Free);
        assert_eq!(recent.preferred(&key(), at), Some(2));
        assert_eq!(recent.preferred(&key(), now + 120 * MS), None);
        let other = Key::new("y").unwrap();
        assert_eq!(recent.route(&other, None, at), Route::Free);
    }

    #[test]
    fn the_newest_of_one_range_decides() {
        let (recent, now) = (Recent::new(100 * MS), Instant::now());
        recent.changed(&key(), range(0, 8), 1, now);
        recent.changed(&key(), range(0, 8), 2, now + MS);
        assert_eq!(
            recent.route(&key(), range(0, 1), now + MS),
            Route::Wait(now + 100 * MS)
        );
        assert_eq!(
            recent.route(&key(), range(0, 1), now + 100 * MS),
            Route::Via(2, now + 101 * MS)
        );
    }

    #[test]
    fn memory_is_bounded_and_nothing_young_is_forgotten() {
        let (recent, now) = (Recent::new(1000 * MS), Instant::now());
        for n in 0..5 * RANGES_MAX as u64 {
            recent.changed(&key(), range(n * 8, 8), n % 2, now + Duration::from_micros(n));
            assert!(recent.young().values().all(|list| list.len() <= RANGES_MAX + 2));
        }
        let at = now + 500 * MS;
        assert!(matches!(recent.route(&key(), range(0, 1), at), Route::Wait(_)));
        // Objects at rest are forgotten when another one is changed.
        let later = now + 3000 * MS;
        recent.changed(&Key::new("y").unwrap(), None, 1, later);
        assert_eq!(recent.young().len(), 1);
    }

    #[test]
    fn without_a_propagation_time_nothing_is_kept() {
        let (recent, now) = (Recent::new(Duration::ZERO), Instant::now());
        recent.changed(&key(), None, 1, now);
        assert!(recent.young().is_empty());
        assert_eq!(recent.route(&key(), None, now), Route::Free);
    }
}
