//! A flush that is believed only where it reached every cache that took the changes.
//!
//! A store whose machine lost its power after it had acknowledged a write answers the flush all the same: what it still has
//! is safe. Where it names its caches, that is noticed here, as `Corrupt`: no retry brings the write back.

use restblk_store::{Instance, Key, Store, StoreError};
use restblk_types::ErrorKind;

/// Flushes the object, whose changes since its last good flush these caches took.
pub(crate) async fn flush(store: &dyn Store, key: &Key, took: &[Instance]) -> Result<(), StoreError> {
    let flushed = store.flush(key, took).await?;
    match flushed.misses(took) {
        None => Ok(()),
        Some(lost) => {
            let reason = format!(
                "the memory that took earlier writes is gone ({lost}; now {}): the store's machine lost its power or was \
                 restarted before they were on its disk",
                flushed
                    .instances
                    .last()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            );
            Err(StoreError::new(ErrorKind::Corrupt, "flush", key, reason).at(store.location()))
        }
    }
}
