//! The changeable list of mirrors and the order in which a request tries them.

use super::health::{Mirror, MirrorStatus};
use super::outage::OutageLog;
use super::retry::RetryPolicy;
use crate::{Capabilities, Durability, Key, LockToken, Resize, Store, StoreError};
use restblk_types::ErrorKind;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::time::Instant;

/// A store over mirrors of one repository. See the module's note.
#[derive(Debug)]
pub struct Mirrored {
    /// The preferred mirror is the first. Replaced whole, never changed in place.
    mirrors: RwLock<Arc<Vec<Arc<Mirror>>>>,
    /// Serializes changes of the list, and holds the locks that every mirror's changes present.
    changing: Mutex<HashMap<Key, LockToken>>,
    capabilities: Capabilities,
    pub(super) policy: RetryPolicy,
    pub(super) outage: OutageLog,
}

fn refused(kind: ErrorKind, operation: &'static str, name: &str, reason: impl Into<String>) -> StoreError {
    StoreError::new(kind, operation, format!("the mirror {name}"), reason)
}

impl Mirrored {
    /// A store over these mirrors (name, client), the preferred one first. Its capabilities, which never change, are
    /// those that all of them have. `Invalid` for none, or for two of one name.
    pub fn new(
        mirrors: impl IntoIterator<Item = (String, Arc<dyn Store>)>,
        policy: RetryPolicy,
    ) -> Result<Self, StoreError> {
        let mut list: Vec<Arc<Mirror>> = Vec::new();
        for (name, store) in mirrors {
            if list.iter().any(|mirror| mirror.name == name) {
                return Err(refused(
                    ErrorKind::Invalid,
                    "add",
                    &name,
                    "it is in the list twice",
                ));
            }
            list.push(Arc::new(Mirror::new(name, store)));
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
        Ok(Self {
            mirrors: RwLock::new(Arc::new(list)),
            changing: Mutex::default(),
            capabilities,
            policy,
            outage: OutageLog::default(),
        })
    }

    pub(super) fn current(&self) -> Arc<Vec<Arc<Mirror>>> {
        Arc::clone(&self.mirrors.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Arc<Mirror>>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let locks = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = Vec::clone(&self.current());
        let known = list.len();
        let done = change(&mut list)?;
        for mirror in list.iter().skip(known) {
            for (key, token) in &*locks {
                mirror.store.present_lock(key, Some(token.clone()));
            }
        }
        *self.mirrors.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
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

    pub(super) fn common_capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    /// Adds a mirror at the end. `Exists` for a name in the list, `Unsupported` for a mirror that lacks what the store
    /// has promised to its users. That it shows the same repository is the caller's to check.
    pub fn add(&self, name: &str, store: Arc<dyn Store>) -> Result<(), StoreError> {
        if common(self.capabilities.clone(), store.capabilities()) != self.capabilities {
            let reason = format!(
                "it cannot do all that the store's users count on: it has {:?}, needed is {:?}",
                store.capabilities(),
                self.capabilities
            );
            return Err(refused(ErrorKind::Unsupported, "add", name, reason));
        }
        self.change(|list| {
            if list.iter().any(|mirror| mirror.name == name) {
                return Err(refused(
                    ErrorKind::Exists,
                    "add",
                    name,
                    "it is in the list already",
                ));
            }
            list.push(Arc::new(Mirror::new(name.to_owned(), store)));
            Ok(())
        })
    }

    /// Takes a mirror out of the list; its requests under way end as they will. `NotFound` for a name that is not in the
    /// list, `Busy` for the last one.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.change(|list| {
            let Some(at) = list.iter().position(|mirror| mirror.name == name) else {
                return Err(refused(
                    ErrorKind::NotFound,
                    "remove",
                    name,
                    "it is not in the list",
                ));
            };
            if list.len() == 1 {
                return Err(refused(
                    ErrorKind::Busy,
                    "remove",
                    name,
                    "it is the last one: add another first",
                ));
            }
            list.remove(at);
            Ok(())
        })
    }

    /// The mirrors and how they do, the preferred one first.
    #[must_use]
    pub fn mirrors(&self) -> Vec<MirrorStatus> {
        self.current()
            .iter()
            .enumerate()
            .map(|(at, mirror)| mirror.status(at == 0))
            .collect()
    }

    /// Makes the mirror the preferred one, if it is still in the list.
    pub(super) fn prefer(&self, mirror: &Arc<Mirror>) {
        let changed = self.change(|list| {
            if let Some(at) = list.iter().position(|other| Arc::ptr_eq(other, mirror)) {
                list[..=at].rotate_right(1);
            }
            Ok(())
        });
        debug_assert!(changed.is_ok(), "reordering refuses nothing");
    }
}

/// The mirrors in the order in which a request tries them: as they stand, those with an open breaker last.
pub(super) fn in_order(list: &[Arc<Mirror>]) -> Vec<Arc<Mirror>> {
    let now = Instant::now();
    let mut order: Vec<_> = list
        .iter()
        .map(|mirror| (mirror.open_until(now), Arc::clone(mirror)))
        .collect();
    // Stable: `None` (closed) first, then by the end of the pause.
    order.sort_by_key(|(until, _)| *until);
    order.into_iter().map(|(_, mirror)| mirror).collect()
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
