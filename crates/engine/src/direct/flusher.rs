//! Group commit: however many wait for a flush, the store is asked once for all whose writes came before.
//!
//! A flush covers the writes that were acknowledged before it *began*, so a caller that arrives while one is under way
//! waits for the next. Nothing written since the last good flush means nothing to do; the first flush always asks, because
//! an earlier daemon may have written for the same kernel device.
//!
//! Invariant: a cache of the store that took a write stays in `took` until a flush that began after that write was good.

use restblk_store::{Instance, StoreError};
use std::{
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Counts writes and shares flushes.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    changes: Mutex<Changes>,
    /// How many changes the last good flush covered. The lock is held while a flush is under way.
    flushed: tokio::sync::Mutex<u64>,
}

#[derive(Debug)]
struct Changes {
    /// Changes that the store has acknowledged.
    count: u64,
    /// The caches that took changes since the last good flush, each with the count at its last one.
    took: Vec<(Instance, u64)>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            // What an earlier daemon wrote.
            count: 1,
            took: Vec::new(),
        }
    }
}

impl Flusher {
    /// Called after the store has acknowledged a change, and before its writer is told. `by`: the cache that holds it until
    /// a flush, where the store tells.
    pub(crate) fn changed(&self, by: Option<Instance>) {
        let mut changes = self.changes();
        changes.count += 1;
        let count = changes.count;
        let Some(by) = by else { return };
        match changes.took.iter_mut().find(|(known, _)| *known == by) {
            Some((_, last)) => *last = count,
            None => changes.took.push((by, count)),
        }
    }

    /// Makes everything counted by now durable by `flush`, which is told the caches that took it, or finds that somebody's
    /// flush did.
    pub(crate) async fn flush<F: Future<Output = Result<(), StoreError>>>(
        &self,
        flush: impl FnOnce(Vec<Instance>) -> F,
    ) -> Result<(), StoreError> {
        let wanted = self.changes().count;
        let mut flushed = self.flushed.lock().await;
        if *flushed >= wanted {
            return Ok(());
        }
        let (covers, took) = {
            let changes = self.changes();
            (changes.count, changes.took.iter().map(|(by, _)| *by).collect())
        };
        flush(took).await?;
        self.changes().took.retain(|(_, last)| *last > covers);
        *flushed = covers;
        Ok(())
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::sync::Notify;

    #[tokio::test]
    async fn the_first_flush_asks_and_nothing_written_needs_no_other() {
        let flusher = Flusher::default();
        let asked = AtomicUsize::new(0);
        for _ in 0..3 {
            let flush = |_| async {
                asked.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            flusher.flush(flush).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_cache_is_named_until_a_good_flush_covers_its_last_write() {
        let (flusher, a, b) = (Flusher::default(), Instance::new(1), Instance::new(2));
        let broken = || StoreError::new(restblk_types::ErrorKind::Unavailable, "flush", "x", "gone");
        flusher.changed(Some(a));
        flusher.changed(None);
        flusher.changed(Some(a));
        let failed = |took: Vec<Instance>| async move {
            assert_eq!(took, [a]);
            Err(broken())
        };
        flusher.flush(failed).await.unwrap_err();
        // One that is given up covers nothing either.
        let stuck = tokio::time::timeout(
            std::time::Duration::from_millis(1),
            flusher.flush(|_| std::future::pending()),
        );
        stuck.await.unwrap_err();
        // Written while the flush is under way: for the next one.
        let good = |took: Vec<Instance>| {
            assert_eq!(took, [a]);
            flusher.changed(Some(b));
            async { Ok(()) }
        };
        flusher.flush(good).await.unwrap();
        let next = |took: Vec<Instance>| async move {
            assert_eq!(took, [b]);
            Ok(())
        };
        flusher.flush(next).await.unwrap();
        flusher.changed(None);
        let last = |took: Vec<Instance>| async move {
            assert_eq!(took, []);
            Ok(())
        };
        flusher.flush(last).await.unwrap();
    }

    #[tokio::test]
    async fn those_who_arrive_during_a_flush_share_the_next_one() {
        let (flusher, asked, go) = (
            Arc::new(Flusher::default()),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Notify::new()),
        );
        let spawn = |n: usize| {
            let (flusher, asked, go) = (flusher.clone(), asked.clone(), go.clone());
            flusher.changed(None);
            tokio::spawn(async move {
                let flush = |_| async {
                    asked.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    Ok(())
                };
                flusher.flush(flush).await.unwrap();
                n
            })
        };
        let first = spawn(0);
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let rest: Vec<_> = (1..10).map(spawn).collect();
        go.notify_one();
        first.await.unwrap();
        while asked.load(Ordering::SeqCst) == 1 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        for task in rest {
            task.await.unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_failed_flush_covers_nothing() {
        let flusher = Flusher::default();
        flusher.changed(None);
        let broken = |_| async {
            Err(StoreError::new(
                restblk_types::ErrorKind::NoSpace,
                "flush",
                "x",
                "full",
            ))
        };
        assert!(flusher.flush(broken).await.is_err());
        let asked = AtomicUsize::new(0);
        let good = |_| async {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        flusher.flush(good).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
