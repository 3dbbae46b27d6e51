//! Active health checks: each mirror is asked for the repository's marker, now and then while it works, often while it does not.
//!
//! A probe is a read of a small object. It tells that a mirror answers before a request is risked on it, how long that takes
//! where no request goes to it, that one which owes answers is dead, and *which repository* answers: another one behind the
//! same name is quarantined ([`MirrorState::Foreign`](super::MirrorState)) until it is gone again.
//!
//! | the mirror | is probed every |
//! |---|---|
//! | works | [`CALM`] |
//! | is slow, or owes answers and gives none | [`UNEASY`] |
//! | is down, while others work | [`DOWN_MIN`], doubling to [`DOWN_MAX`] |
//! | is down, as all of them | [`OUTAGE`], whether or not the probe before was answered |
//! | shows another repository | [`FOREIGN`] |
//! | is drained, or asked to be left alone | not at all |
//!
//! One task of the runtime for each pool, for as long as anybody has a view of it.

use super::identity::look;
use super::mirror::Mirror;
use super::set::{Mirrored, Set, best_us};
use crate::Key;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CALM: Duration = Duration::from_secs(10);
const UNEASY: Duration = Duration::from_secs(1);
const DOWN_MIN: Duration = Duration::from_millis(250);
const DOWN_MAX: Duration = Duration::from_secs(2);
const OUTAGE: Duration = Duration::from_millis(400);
const FOREIGN: Duration = Duration::from_secs(5);
/// Probes of one mirror that wait for an answer at the same time.
const PENDING_MAX: usize = 5;
/// Between two looks at whose turn it is; while all work, and while not.
const TICK_CALM: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(50);

/// Whether the bytes of an object are what they should be.
pub type IsOurs = dyn Fn(&[u8]) -> bool + Send + Sync;

/// How a repository is known: by an object that each has one of.
#[derive(Clone)]
pub struct Marker {
    /// The object.
    pub key: Key,
    /// Whether these bytes of it are of the right repository.
    pub is_ours: Arc<IsOurs>,
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marker")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Mirrored {
    /// Has every mirror probed from now on, by this marker, and each of its connections looked at before its use; for all views of the store, and once.
    /// Needs a tokio runtime.
    pub fn watch(&self, marker: Marker) {
        if self.set.know_by(&marker) {
            tokio::spawn(watch(Arc::downgrade(&self.set), marker));
        }
    }
}

/// When a mirror's turn is, and what it was by.
#[derive(Default)]
struct Turn {
    due: Option<Instant>,
    /// Probes since it went down.
    in_vain: u32,
    pending: usize,
}

async fn watch(set: Weak<Set>, marker: Marker) {
    let mut turns: HashMap<u64, Turn> = HashMap::new();
    let mut probes: JoinSet<u64> = JoinSet::new();
    loop {
        let Some(set) = set.upgrade() else { return };
        let (list, now) = (set.current(), Instant::now());
        turns.retain(|id, _| list.iter().any(|mirror| mirror.id == *id));
        let best = best_us(&list, now);
        let mut tick = TICK_CALM;
        let outage = !set.works();
        for mirror in list.iter().filter(|mirror| !mirror.is_draining()) {
            let turn = turns.entry(mirror.id).or_default();
            if mirror.is_closed() {
                turn.in_vain = 0;
            }
            let pause = pause(mirror, turn.in_vain, best, outage, now);
            if pause < CALM {
                tick = TICK;
            }
            // Sooner than was thought, where it has become worse.
            let due = turn.due.map_or(now, |due| due.min(now + pause));
            turn.due = Some(due);
            if due > now || turn.pending >= PENDING_MAX || mirror.asked_until(now).is_some() {
                continue;
            }
            let spread = 0.9 + set.dice.share() / 5.0;
            turn.due = Some(now + pause.mul_f64(spread));
            turn.in_vain = turn.in_vain.saturating_add(1);
            turn.pending += 1;
            let (mirror, set, marker) = (Arc::clone(mirror), Arc::downgrade(&set), marker.clone());
            probes.spawn(async move {
                probe(&mirror, &set, &marker).await;
                mirror.id
            });
        }
        let worse = set.worse.notified();
        tokio::select! {
            () = sleep(tick) => {}
            () = worse => {}
            Some(done) = probes.join_next() => {
                if let Some(turn) = done.ok().and_then(|id| turns.get_mut(&id)) {
                    turn.pending = turn.pending.saturating_sub(1);
                }
            }
        }
    }
}

fn pause(mirror: &Mirror, in_vain: u32, best_us: u64, outage: bool, now: Instant) -> Duration {
    if mirror.is_foreign() {
        FOREIGN
    } else if !mirror.is_closed() {
        if outage {
            OUTAGE
        } else {
            DOWN_MIN.saturating_mul(1 << in_vain.min(8)).min(DOWN_MAX)
        }
    } else if mirror.is_quiet(now) || mirror.is_slow(best_us, now) {
        UNEASY
    } else {
        CALM
    }
}

async fn probe(mirror: &Mirror, set: &Weak<Set>, marker: &Marker) {
    let began = Instant::now();
    let answer = look(mirror, marker).await;
    let Some(set) = set.upgrade() else { return };
    let now = Instant::now();
    match answer {
        Ok(shown) => {
            let returned = set.shown(mirror, shown);
            if shown.is_ok() && (mirror.answered_probe(began, now) || returned) {
                set.better.notify_waiters();
            }
        }
        Err(error) => mirror.failed(&error, began, now),
    }
}
