//! The tokens of locks that a client's changes carry, by object.

use crate::{Key, LockToken};
use http::header::HeaderValue;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The token as a header's value. All are of servers' or of our own making; what no header can hold is no server's.
pub(crate) fn sent(token: &LockToken) -> HeaderValue {
    let mut value = HeaderValue::try_from(&token.0).unwrap_or(HeaderValue::from_static("unfit"));
    value.set_sensitive(true);
    value
}

/// Which objects are locked by whoever uses the client.
#[derive(Debug, Default)]
pub(crate) struct Presented(Mutex<HashMap<Key, LockToken>>);

impl Presented {
    /// From now on changes of the object carry this token, or none.
    pub(crate) fn set(&self, key: &Key, token: Option<LockToken>) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match token {
            Some(token) => tokens.insert(key.clone(), token),
            None => tokens.remove(key),
        };
    }

    /// What a change of the object carries.
    pub(crate) fn get(&self, key: &Key) -> Option<LockToken> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(key).cloned()
    }
}
