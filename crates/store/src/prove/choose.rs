//! One ability alone, for clients that choose between several ways to it before all is proved in the chosen one.

use super::{Scratch, seen};
use crate::{Store, StoreError};

/// Why it does not write in place; `None` where it does.
pub(crate) async fn write_at(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let scratch = Scratch::new(store);
    let found = seen(|| scratch.write_at()).await;
    scratch.clean().await;
    found
}

/// Why it does not create exclusively; `None` where it does.
pub(crate) async fn exclusive_create(store: &dyn Store) -> Result<Option<String>, StoreError> {
    let scratch = Scratch::new(store);
    let found = seen(|| scratch.exclusive_create()).await;
    scratch.clean().await;
    found
}
