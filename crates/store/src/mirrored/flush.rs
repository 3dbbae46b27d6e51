//! A flush that must reach every cache that took a change.
//!
//! The usual flush goes to one mirror. Where that mirror's answer names another cache than the changes' (they were taken by
//! another machine before a failover), the other mirrors are flushed too, until every cache has answered. A mirror that
//! does not answer is waited for, as the pool's outage policy says: it may hold writes that nobody else has. Once every
//! mirror has answered and a cache is still missing, it is gone; the caller, who knows what it wrote, decides.

use super::list::{Mirrored, in_order};
use super::retry::{Effect, Request, jitter};
use crate::{Flushed, Instance, Key, Store, StoreError};
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

impl Mirrored {
    pub(super) async fn flush_all(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        let request = Request::new("flush", key, Effect::Flushes);
        let attempt = |store: Arc<dyn Store>| async move { store.flush(key, took).await };
        let mut flushed = self.run(request, attempt).await.result?;
        if flushed.misses(took).is_none() {
            return Ok(flushed);
        }
        let deadline = self.deadline();
        let mut backoff = self.policy.backoff_min;
        loop {
            let mut silent = None;
            for mirror in in_order(&self.current()) {
                match self
                    .once(&mirror, request, deadline, false, &mut { attempt })
                    .await
                {
                    Ok(more) => flushed.instances.extend(more.instances),
                    Err(error) if request.is_of_mirror(error.kind()) => silent = Some(error),
                    Err(error) => return Err(error),
                }
                if flushed.misses(took).is_none() {
                    return Ok(flushed);
                }
            }
            let Some(error) = silent else {
                return Ok(flushed);
            };
            let until = Instant::now() + backoff / 2 + jitter(backoff / 2);
            if deadline.is_some_and(|deadline| until >= deadline) {
                return Err(error.because("it took writes that no other mirror can flush"));
            }
            if backoff == self.policy.backoff_min {
                tracing::warn!(
                    object = %key, %error,
                    "a flush waits for a mirror that took writes and does not answer; removing the mirror gives them up"
                );
            }
            sleep_until(until).await;
            backoff = (backoff * 2).min(self.policy.backoff_max);
        }
    }
}
