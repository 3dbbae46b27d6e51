//! The mirrors of a pool, and all that is shared by whoever uses them: the list, its changes, and the choice of a mirror.
//!
//! [`Mirrored`] is a view of it with a patience of its own; a pool has two, for its data and for commands, and what one
//! learns of a mirror the other knows.
//!
//! Invariants: the list is replaced whole and never empty; names in it are unique; the last mirror that takes requests is neither removed
//! nor drained.

use super::balance::{Dice, pick};
use super::breaker::Admission;
use super::budget::Budget;
use super::dirty::Dirty;
use super::hedge::{self, Delays};
use super::mirror::{Mirror, MirrorOptions, MirrorStatus};
use super::outage::OutageLog;
use super::probe::Marker;
use super::recent::{MirrorId, Recent};
use super::retry::{Outage, RetryPolicy};
use crate::{Capabilities, Durability, Key, LockToken, Resize, Store, StoreError};
use restblk_types::ErrorKind;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Second tries, in thousandths of what succeeds.
const RETRY_PERMILLE: u32 = 200;
/// So many at once: all that is under way when a mirror dies.
const RETRY_MAX: u32 = 200;
/// And so many a second, in thousandths, however little succeeds.
const RETRY_MILLI_PER_SECOND: u32 = 20_000;

/// How long is waited where no mirror may have anything at all (all are foreign) before it is looked again.
const NOTHING_PAUSE: Duration = Duration::from_secs(1);

pub(super) type List = Vec<Arc<Mirror>>;

/// See the module's note.
#[derive(Debug)]
pub(super) struct Set {
    list: RwLock<Arc<List>>,
    /// Serializes changes of the list, and holds the locks that every mirror's changes present.
    changing: Mutex<HashMap<Key, LockToken>>,
    pub(super) capabilities: Capabilities,
    pub(super) dice: Dice,
    pub(super) outage: OutageLog,
    pub(super) retries: Budget,
    pub(super) hedges: Budget,
    pub(super) delays: Delays,
    /// There is one mirror: a read has nowhere to be sent a second time.
    pub(super) alone: AtomicBool,
    pub(super) recent: Recent,
    pub(super) dirty: Dirty,
    /// More may be sent than before: those who wait look again.
    pub(super) better: Notify,
    /// A mirror failed: the prober looks at it soon.
    pub(super) worse: Notify,
    /// How the repository is known, once the pool is watched.
    pub(super) marker: OnceLock<Marker>,
    pub(super) figures: Figures,
}

/// Counters of a pool's requests.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) retries: AtomicU64,
    pub(super) hedges: AtomicU64,
    pub(super) hedges_won: AtomicU64,
}

/// What became of a pool's requests, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirroredFigures {
    /// Second and further tries.
    pub retries: u64,
    /// Reads that were sent a second time because the first took long.
    pub hedges: u64,
    /// Those of them whose second answer came first.
    pub hedges_won: u64,
    /// How long no mirror has worked, while none does.
    pub outage_now: Option<Duration>,
    /// How long none worked, in all.
    pub outage_total: Duration,
}

/// A store over mirrors of one repository. See the module's note.
#[derive(Clone, Debug)]
pub struct Mirrored {
    pub(super) set: Arc<Set>,
    pub(super) policy: RetryPolicy,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// To this mirror; `true`: to try whether it works again.
    Go(Arc<Mirror>, bool),
    /// Every mirror that may have it was tried.
    Tried,
    /// No mirror may have it before this, or before one is better.
    Wait(Instant),
    /// Changes of the object have to spread until then.
    Settle(Instant),
}

fn refused(kind: ErrorKind, operation: &'static str, name: &str, reason: impl Into<String>) -> StoreError {
    StoreError::new(kind, operation, format!("the mirror {name}"), reason)
}

impl Mirrored {
    /// A store over these mirrors (name, client), each used by default. Its capabilities, which never change, are those
    /// that all of them have. `Invalid` for none, or for two of one name.
    pub fn new(
        mirrors: impl IntoIterator<Item = (String, Arc<dyn Store>)>,
        policy: RetryPolicy,
    ) -> Result<Self, StoreError> {
        let now = Instant::now();
        let mut list: List = Vec::new();
        for (name, store) in mirrors {
            if list.iter().any(|mirror| mirror.name == name) {
                return Err(refused(
                    ErrorKind::Invalid,
                    "add",
                    &name,
                    "it is in the list twice",
                ));
            }
            list.push(Arc::new(Mirror::new(name, store, MirrorOptions::default(), now)));
        }
        let capabilities = list
            .iter()
            .map(|mirror| mirror.store.capabilities())
            .reduce(common);
        let Some(capabilities) = capabilities else {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "open",
                "the store",
                "it has no mirror",
            ));
        };
        let set = Set {
            changing: Mutex::default(),
            capabilities,
            dice: Dice::new(policy.seed.unwrap_or_else(rand::random)),
            outage: OutageLog::default(),
            retries: Budget::new(RETRY_MAX, RETRY_PERMILLE, RETRY_MILLI_PER_SECOND, now),
            hedges: Budget::new(hedge::EXTRA_MAX, hedge::EXTRA_PERMILLE, 0, now),
            delays: Delays::new(now),
            alone: AtomicBool::new(list.len() < 2),
            list: RwLock::new(Arc::new(list)),
            recent: Recent::new(policy.propagation),
            dirty: Dirty::default(),
            better: Notify::new(),
            worse: Notify::new(),
            marker: OnceLock::new(),
            figures: Figures::default(),
        };
        Ok(Self {
            set: Arc::new(set),
            policy,
        })
    }

    /// The same mirrors, and all that is known of them, with another patience.
    #[must_use]
    pub fn with_outage(&self, outage: Outage) -> Self {
        Self {
            set: Arc::clone(&self.set),
            policy: RetryPolicy {
                outage,
                ..self.policy.clone()
            },
        }
    }

    /// What the log calls the store, for all views of it. The first name stays.
    pub fn set_name(&self, name: &str) {
        self.set.outage.set_name(name);
    }

    /// Its counters, those of all views together.
    #[must_use]
    pub fn figures(&self) -> MirroredFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let figures = &self.set.figures;
        MirroredFigures {
            retries: read(&figures.retries),
            hedges: read(&figures.hedges),
            hedges_won: read(&figures.hedges_won),
            outage_now: self.set.outage.lasts(),
            outage_total: self.set.outage.total(),
        }
    }

    /// Adds a mirror. `Exists` for a name in the list, `Unsupported` for a mirror that lacks what the store has promised to
    /// its users. That it shows the same repository is the caller's to check.
    pub fn add(&self, name: &str, store: Arc<dyn Store>, options: MirrorOptions) -> Result<(), StoreError> {
        let needed = &self.set.capabilities;
        if common(needed.clone(), store.capabilities()) != *needed {
            let reason = format!(
                "it cannot do all that the store's users count on: it has {:?}, needed is {needed:?}",
                store.capabilities(),
            );
            return Err(refused(ErrorKind::Unsupported, "add", name, reason));
        }
        self.set.change(|list| {
            if list.iter().any(|mirror| mirror.name == name) {
                return Err(refused(
                    ErrorKind::Exists,
                    "add",
                    name,
                    "it is in the list already",
                ));
            }
            let mirror = Arc::new(Mirror::new(name.to_owned(), store, options, Instant::now()));
            self.set.guard(&mirror);
            list.push(mirror);
            Ok(())
        })?;
        self.set.better.notify_waiters();
        Ok(())
    }

    /// Takes a mirror out of the list; its requests under way end as they will ([`Mirrored::drain`] waits for them).
    /// `NotFound` for a name that is not in the list, `Busy` for the last one that takes requests.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let removed = self.set.change(|list| {
            let at = position(list, "remove", name)?;
            require_another(list, at, "remove")?;
            Ok(list.remove(at))
        })?;
        self.set.dirty.forget_mirror(removed.id);
        Ok(())
    }

    /// Changes how a mirror is used, from the next request on. `NotFound` for a name that is not in the list, `Busy` where the last
    /// one that takes requests would take none.
    pub fn set(&self, name: &str, options: MirrorOptions) -> Result<(), StoreError> {
        self.set.change(|list| {
            let at = position(list, "change", name)?;
            if options.drained {
                require_another(list, at, "drain")?;
            }
            list[at].set(options);
            Ok(())
        })?;
        self.set.better.notify_waiters();
        Ok(())
    }

    /// Has a mirror take no new requests, waits until the last one under way has ended, and flushes what it took. It stays in
    /// the list, and takes requests again after [`Mirrored::set`]. Errors as `set`.
    pub async fn drain(&self, name: &str) -> Result<(), StoreError> {
        let mirror = self.set.change(|list| {
            let at = position(list, "drain", name)?;
            require_another(list, at, "drain")?;
            let drained = true;
            list[at].set(MirrorOptions {
                drained,
                ..list[at].options()
            });
            Ok(Arc::clone(&list[at]))
        })?;
        mirror.is_idle().await;
        self.flush_mirror(&mirror).await;
        Ok(())
    }

    /// The mirrors and how they do, in the order in which they were added.
    #[must_use]
    pub fn mirrors(&self) -> Vec<MirrorStatus> {
        let (list, now) = (self.set.current(), Instant::now());
        let best_us = best_us(&list, now);
        let all = list.iter().map(|mirror| mirror.lately(now)).sum();
        list.iter()
            .map(|mirror| mirror.status(best_us, all, now))
            .collect()
    }
}

/// The least latency of the mirrors in use, in microseconds.
pub(super) fn best_us(list: &List, now: Instant) -> u64 {
    let used = list
        .iter()
        .filter(|mirror| mirror.is_used() && mirror.is_closed());
    used.map(|mirror| mirror.load(now).latency_us)
        .filter(|us| *us > 0)
        .min()
        .unwrap_or(u64::MAX)
}

/// The highest priority first, and the one that has been open for the longest; allocates only where there are several.
fn in_order<'a>(open: impl Iterator<Item = &'a Arc<Mirror>>) -> Vec<&'a Arc<Mirror>> {
    let mut open: Vec<_> = open.collect();
    if open.len() > 1 {
        open.sort_by_cached_key(|mirror| (std::cmp::Reverse(mirror.priority()), mirror.open_since()));
    }
    open
}

fn position(list: &List, operation: &'static str, name: &str) -> Result<usize, StoreError> {
    let found = list.iter().position(|mirror| mirror.name == name);
    found.ok_or_else(|| refused(ErrorKind::NotFound, operation, name, "it is not in the list"))
}

fn require_another(list: &List, than: usize, operation: &'static str) -> Result<(), StoreError> {
    let mut others = list.iter().enumerate().filter(|(at, _)| *at != than);
    // One that is drained already may go, whatever the others do.
    let another = if list[than].is_draining() && operation == "remove" {
        others.next().is_some()
    } else {
        others.any(|(_, mirror)| !mirror.is_draining())
    };
    if another {
        return Ok(());
    }
    let reason = "it is the last one that takes requests: add another first";
    Err(refused(ErrorKind::Busy, operation, &list[than].name, reason))
}

impl Set {
    /// The list, for as long as nobody waits.
    fn list(&self) -> RwLockReadGuard<'_, Arc<List>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn current(&self) -> Arc<List> {
        Arc::clone(&self.list())
    }

    /// Changes the list, one caller after the other.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut List) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let locks = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = List::clone(&self.current());
        let known = list.len();
        let done = change(&mut list)?;
        for mirror in list.iter().skip(known) {
            for (key, token) in &*locks {
                mirror.store.present_lock(key, Some(token.clone()));
            }
        }
        self.alone.store(list.len() < 2, Ordering::Relaxed);
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
        Ok(done)
    }

    /// Has every mirror, also one added later, present the token with changes of the object.
    pub(super) fn present(&self, key: &Key, token: Option<LockToken>) {
        let mut locks = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for mirror in self.current().iter() {
            mirror.store.present_lock(key, token.clone());
        }
        match token {
            Some(token) => locks.insert(key.clone(), token),
            None => locks.remove(key),
        };
    }

    /// Whether requests go to any mirror.
    pub(super) fn works(&self) -> bool {
        self.current()
            .iter()
            .any(|mirror| mirror.is_used() && mirror.is_closed())
    }

    pub(super) fn by_id(&self, id: MirrorId) -> Option<Arc<Mirror>> {
        self.current().iter().find(|mirror| mirror.id == id).cloned()
    }

    /// The mirror for a request that was tried on those of `tried`. `changes`: it cannot be hedged. `prefers`: the mirror that it
    /// goes to if that works.
    pub(super) fn choose(
        &self,
        tried: &[MirrorId],
        changes: bool,
        prefers: Option<MirrorId>,
        now: Instant,
    ) -> Choice {
        let list = self.list();
        if tried.is_empty() && prefers.is_none() && list.iter().all(|mirror| mirror.is_closed()) {
            // All is well.
            let used = list.iter().filter(|mirror| mirror.is_used());
            let tier = used.map(|mirror| mirror.priority()).max();
            if let Some(mirror) = self.among(&list, tier, &Mirror::is_used, now) {
                return Choice::Go(mirror, false);
            }
        }
        let may = |mirror: &Mirror| mirror.is_used() && !tried.contains(&mirror.id);
        let closed = |mirror: &&Arc<Mirror>| mirror.is_closed() && may(mirror);
        if let Some(preferred) = list
            .iter()
            .filter(closed)
            .find(|mirror| Some(mirror.id) == prefers)
        {
            return Choice::Go(Arc::clone(preferred), false);
        }
        let tier = list.iter().filter(closed).map(|mirror| mirror.priority()).max();
        // One that is to be tried again takes precedence over its equals: else it never would be.
        let mut until: Option<Instant> = None;
        let open = list.iter().filter(|mirror| {
            let may_be_tried = mirror.is_used() && !mirror.is_closed();
            may_be_tried && tier.is_none_or(|tier| mirror.priority() >= tier)
        });
        for mirror in in_order(open) {
            match mirror.admit(tier.is_none(), changes, now) {
                Admission::Free => return Choice::Go(Arc::clone(mirror), false),
                Admission::Trial => return Choice::Go(Arc::clone(mirror), true),
                Admission::Refused(this) => until = Some(until.map_or(this, |other| other.min(this))),
            }
        }
        if let Some(mirror) = self.among(&list, tier, &may, now) {
            return Choice::Go(mirror, false);
        }
        if list.iter().any(|mirror| mirror.is_used() && mirror.is_closed()) {
            return Choice::Tried;
        }
        Choice::Wait(until.unwrap_or(now + NOTHING_PAUSE))
    }

    /// A mirror for the second try of a read whose first is under way on `first`.
    pub(super) fn second(&self, first: MirrorId) -> Option<Arc<Mirror>> {
        let list = self.list();
        let may = |mirror: &Mirror| mirror.is_used() && mirror.id != first;
        let closed = list.iter().filter(|mirror| mirror.is_closed() && may(mirror));
        let tier = closed.map(|mirror| mirror.priority()).max();
        self.among(&list, tier, &may, Instant::now())
    }

    /// One of the closed mirrors of this priority.
    fn among(
        &self,
        list: &List,
        tier: Option<i32>,
        may: &dyn Fn(&Mirror) -> bool,
        now: Instant,
    ) -> Option<Arc<Mirror>> {
        let tier = tier?;
        let weight = |at: usize| {
            let mirror: &Mirror = &list[at];
            if mirror.is_closed() && mirror.priority() == tier && may(mirror) {
                mirror.weight()
            } else {
                0
            }
        };
        let at = pick(list.len(), weight, |at| list[at].load(now), &self.dice)?;
        Some(Arc::clone(&list[at]))
    }

    /// A request was answered for good.
    pub(super) fn answered(&self) {
        self.outage.over();
        self.retries.succeeded();
    }

    pub(super) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn common(a: Capabilities, b: Capabilities) -> Capabilities {
    use {Durability as D, Resize as R};
    let resize = match (a.resize, b.resize) {
        (R::None, _) | (_, R::None) => R::None,
        (R::ByWriting, _) | (_, R::ByWriting) => R::ByWriting,
        (R::Native, R::Native) => R::Native,
    };
    let durability = match (a.durability, b.durability) {
        (D::Unstated, _) | (_, D::Unstated) => D::Unstated,
        (D::OnFlush, _) | (_, D::OnFlush) => D::OnFlush,
        (D::OnWrite, D::OnWrite) => D::OnWrite,
    };
    Capabilities {
        exclusive_create: a.exclusive_create && b.exclusive_create,
        compare_and_set: a.compare_and_set && b.compare_and_set,
        atomic_put: a.atomic_put && b.atomic_put,
        write_at: a.write_at && b.write_at,
        write_align: a.write_align.max(b.write_align),
        resize,
        punch: a.punch && b.punch,
        durability,
        durable_write: a.durable_write && b.durable_write,
        lock: a.lock && b.lock,
        list: a.list && b.list,
        range_len_max: a.range_len_max.min(b.range_len_max),
        put_len_max: a.put_len_max.min(b.put_len_max),
    }
}
