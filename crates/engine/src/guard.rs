//! The token of a volume's lock, on all stores through which the volume is changed.

use restblk_store::{Key, LockToken, Store};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Which token the changes of one object carry, and through which stores.
#[derive(Debug)]
pub(crate) struct Guard {
    object: Key,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None where the store has no locks, or the lock was let go.
    token: Option<LockToken>,
    stores: Vec<Weak<dyn Store>>,
}

impl Guard {
    pub(crate) fn new(object: Key) -> Self {
        Self {
            object,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn token(&self) -> Option<LockToken> {
        self.state().token.clone()
    }

    /// The object's changes through this store carry the token from now on, and any that follows it.
    pub(crate) fn over(&self, store: &Arc<dyn Store>) {
        let mut state = self.state();
        if let Some(token) = &state.token {
            store.present_lock(&self.object, Some(token.clone()));
        }
        state.stores.push(Arc::downgrade(store));
    }

    /// The token is this one from now on.
    pub(crate) fn hold(&self, token: LockToken) {
        let mut state = self.state();
        for store in state.stores.iter().filter_map(Weak::upgrade) {
            store.present_lock(&self.object, Some(token.clone()));
        }
        state.token = Some(token);
    }

    /// No change carries a token any more; the one that they did.
    pub(crate) fn let_go(&self) -> Option<LockToken> {
        let mut state = self.state();
        let token = state.token.take()?;
        for store in state.stores.drain(..).filter_map(|store| store.upgrade()) {
            store.present_lock(&self.object, None);
        }
        Some(token)
    }
}
