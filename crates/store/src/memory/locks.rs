//! Locks of objects in memory: who holds which, and which token a client presents.

use super::{MemoryStore, State, error, missing};
use crate::{Key, Lock, LockToken, StoreError};
use restblk_types::ErrorKind;

/// Who holds a lock.
#[derive(Debug)]
pub(super) struct Held {
    owner: String,
    token: LockToken,
}

impl State {
    /// Whether a change of the object may be done by a client that presents this token, or none.
    pub(super) fn check_lock(
        &self,
        key: &Key,
        presented: Option<&LockToken>,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        match (self.locks.get(key), presented) {
            (Some(held), Some(token)) if held.token == *token => Ok(()),
            (None, None) => Ok(()),
            (Some(held), None) => {
                let reason = format!("it is locked by {}", held.owner);
                Err(error(ErrorKind::Busy, operation, key, reason))
            }
            (_, Some(_)) => Err(error(
                ErrorKind::Fenced,
                operation,
                key,
                "its lock is no longer held by this client",
            )),
        }
    }
}

impl MemoryStore {
    pub(super) fn take_lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        let mut state = self.state();
        if !state.objects.contains_key(key) {
            return Err(missing("lock", key));
        }
        if let Some(held) = state.locks.get(key).filter(|_| !steal) {
            let reason = format!("it is locked by {}", held.owner);
            return Err(error(ErrorKind::Busy, "lock", key, reason));
        }
        let token = LockToken(format!("{:x}", state.next_tag()));
        let held = Held {
            owner: owner.to_owned(),
            token: token.clone(),
        };
        state.locks.insert(key.clone(), held);
        Ok(Lock {
            token,
            lifetime: None,
        })
    }

    pub(super) fn holds_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        match self.state().locks.get(key) {
            Some(held) if held.token == *token => Ok(()),
            _ => Err(error(
                ErrorKind::Fenced,
                "refresh the lock of",
                key,
                "its lock is no longer held by this client",
            )),
        }
    }

    pub(super) fn release_lock(&self, key: &Key, token: &LockToken) {
        let mut state = self.state();
        if state.locks.get(key).is_some_and(|held| held.token == *token) {
            state.locks.remove(key);
        }
    }
}
