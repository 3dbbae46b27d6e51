//! Group commit: however many wait for a flush, the store is asked once for all whose writes came before.
//!
//! A flush covers the writes that were acknowledged before it *began*, so a caller that arrives while one is under way
//! waits for the next. Nothing written since the last good flush means nothing to do.

use restblk_store::StoreError;
use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::sync::Mutex;

/// Counts writes and shares flushes.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    /// Changes that the store has acknowledged.
    written: AtomicU64,
    /// The value of `written` that the last good flush covered. The lock is held while a flush is under way.
    flushed: Mutex<u64>,
}

impl Flusher {
    /// Called after the store has acknowledged a change, and before its writer is told.
    pub(crate) fn changed(&self) {
        self.written.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes everything counted by now durable by `flush`, or finds that somebody's flush did.
    pub(crate) async fn flush<F: Future<Output = Result<(), StoreError>>>(
        &self,
        flush: impl FnOnce() -> F,
    ) -> Result<(), StoreError> {
        let wanted = self.written.load(Ordering::SeqCst);
        let mut flushed = self.flushed.lock().await;
        if *flushed >= wanted {
            return Ok(());
        }
        let covers = self.written.load(Ordering::SeqCst);
        flush().await?;
        *flushed = covers;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, atomic::AtomicUsize};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn nothing_written_needs_no_flush() {
        let flusher = Flusher::default();
        flusher
            .flush(|| async { panic!("asked the store") })
            .await
            .unwrap();
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
            flusher.changed();
            tokio::spawn(async move {
                let flush = || async {
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
        flusher.changed();
        let broken = || async {
            Err(StoreError::new(
                restblk_types::ErrorKind::NoSpace,
                "flush",
                "x",
                "full",
            ))
        };
        assert!(flusher.flush(broken).await.is_err());
        let asked = AtomicUsize::new(0);
        let good = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        flusher.flush(good).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
