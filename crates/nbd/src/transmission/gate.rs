//! Keeps a request that the kernel sent again from overtaking the first one.
//!
//! The kernel's client gives every request a cookie whose low 32 bits are the request's tag, which is nobody else's
//! until the request is done. When a connection dies or a request takes longer than the queue's time-out, it sends
//! the request again through another connection, while the first may still be on its way to the store and would land
//! late, over newer data. So of two requests with one tag the second waits until the first has finished.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The tags that are in flight on all connections of one kernel device.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    busy: Mutex<HashMap<u32, Option<Arc<Notify>>>>,
    empty: Notify,
}

impl Gate {
    /// Waits until no other request holds this cookie's tag, and holds it.
    pub(crate) async fn enter(self: &Arc<Self>, cookie: u64) -> Pass {
        let tag = u32::try_from(cookie & u64::from(u32::MAX)).unwrap_or_default();
        loop {
            let freed = {
                let mut busy = self.lock();
                match busy.get_mut(&tag) {
                    None => {
                        busy.insert(tag, None);
                        return Pass {
                            gate: Arc::clone(self),
                            tag,
                        };
                    }
                    Some(waiters) => Arc::clone(waiters.get_or_insert_default()).notified_owned(),
                }
            };
            tracing::debug!(
                tag,
                "a request that is still in flight came again: it waits for the first"
            );
            freed.await;
        }
    }

    /// Waits until no request is in flight.
    pub(crate) async fn idle(&self) {
        loop {
            let empty = self.empty.notified();
            if self.lock().is_empty() {
                return;
            }
            empty.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Option<Arc<Notify>>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tag that is held.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    tag: u32,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut busy = self.gate.lock();
        let waiters = busy.remove(&self.tag).flatten();
        if busy.is_empty() {
            self.gate.empty.notify_waiters();
        }
        drop(busy);
        if let Some(waiters) = waiters {
            waiters.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn the_same_tag_waits_and_others_do_not() {
        let gate = Arc::new(Gate::default());
        let first = gate.enter(0x1_0000_0005).await;
        let other = gate.enter(0x1_0000_0006).await;
        let again = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(0x2_0000_0005).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!again.is_finished());
        drop(other);
        assert!(timeout(Duration::from_millis(20), gate.idle()).await.is_err());
        drop(first);
        drop(timeout(Duration::from_secs(5), again).await.unwrap().unwrap());
        timeout(Duration::from_secs(5), gate.idle()).await.unwrap();
    }
}
