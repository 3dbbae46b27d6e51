//! A flush that reaches every cache that took a change.
//!
//! What a mirror acknowledged may lie in a cache of its own (a gateway's) or of its machine, so one flush through any mirror
//! is not enough after changes went through several. Two cases:
//! - **The servers name their caches** ([`crate::Instance`]): the caller knows which caches took its changes, and the answer says which
//!   one was flushed. One flush usually does; where a cache is missing (it is another machine's), the other mirrors are
//!   flushed too, until every cache has answered. A mirror that does not answer is waited for, as the pool's outage policy says: it
//!   may hold changes that nobody else has. Once every mirror has answered and a cache is still missing, it is gone; the
//!   caller, who knows what it wrote, decides.
//! - **They do not**: every mirror that took changes since its last good flush (`dirty`) is flushed, at the same time. One
//!   that is dead is covered through a living one: all mirrors show one repository, so what the dead one had passed on is
//!   flushed through the other, and it stays on the list for the next flush. That what it had *not* passed on is lost cannot be
//!   noticed; such servers must share what they have acknowledged.
//!
//! A failover never lets a change pass a flush: the caller hears of a change only when a mirror has acknowledged it and
//! is on the list, so a flush that begins then reaches that mirror, whichever mirrors had failed before. A late landing of an
//! earlier try brings the same bytes.

use super::dirty::Holder;
use super::mirror::{Mirror, Start};
use super::retry::{Effect, Held, Request, Try};
use super::set::Mirrored;
use crate::{Flushed, Instance, Key, Store, StoreError};
use futures_util::future::join_all;
use restblk_types::ErrorKind;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// A flush that fails in passing is tried on the same mirror so many times more.
const TRIES: u32 = 3;

/// A flush of the object, to be tried on any store.
fn attempt<'k>(
    key: &'k Key,
    took: &'k [Instance],
) -> impl for<'s> Fn(&'s dyn Store, Held<'s, 'k>) -> Try<'s, Flushed> + Copy + Send + Sync {
    move |store, _| store.flush(key, took)
}

impl Mirrored {
    pub(super) async fn flush_all(&self, key: &Key, took: &[Instance]) -> Result<Flushed, StoreError> {
        let request = Request::on("flush", key, Effect::Flushes, None);
        let attempt = attempt(key, took);
        let holders = self.set.dirty.holders(key);
        let mut flushed = Flushed::default();
        let mut answered = false;
        let these = self.to_flush(holders.as_deref(), !took.is_empty());
        let flushes = these.iter().map(|(mirror, _)| {
            let deadline = self.deadline();
            async move {
                // A mirror that failed in passing is not dead: what it has is to be had from it alone.
                for _ in 0..TRIES {
                    match self.once(mirror, Start::now(), request, deadline, &attempt).await {
                        Err(error) if error.kind() == ErrorKind::Retry && mirror.is_closed() => {}
                        other => return other,
                    }
                }
                self.once(mirror, Start::now(), request, deadline, &attempt).await
            }
        });
        for ((_, holder), result) in these.iter().zip(join_all(flushes).await) {
            match result {
                Ok(more) => {
                    answered = true;
                    flushed.instances.extend(more.instances);
                    if let Some(holder) = holder {
                        self.set.dirty.flushed(key, *holder);
                    }
                }
                Err(error) if request.is_of_mirror(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        if !answered {
            let outcome = self.run(request, attempt).await;
            flushed.instances.extend(outcome.result?.instances);
            if let Some(holder) = of(holders.as_deref(), outcome.by.as_deref()) {
                self.set.dirty.flushed(key, holder);
            }
        }
        self.flush_missing(key, took, &mut flushed).await?;
        if flushed.misses(took).is_none() {
            // The caches with names are covered, through whichever mirror.
            for holder in holders.iter().flatten().filter(|holder| holder.named) {
                self.set.dirty.flushed(key, *holder);
            }
        }
        Ok(flushed)
    }

    /// The mirrors to be flushed at once: those that took changes without a name, and one of those that gave one. Dead ones
    /// are left out; that leaves none where nothing was changed.
    fn to_flush(&self, holders: Option<&[Holder]>, named: bool) -> Vec<(Arc<Mirror>, Option<Holder>)> {
        let list = self.set.current();
        let mut one_named = false;
        let living = list
            .iter()
            .filter(|mirror| mirror.is_closed() && !mirror.is_foreign());
        living
            .filter_map(|mirror| match holders {
                None => Some((Arc::clone(mirror), None)),
                Some(holders) => {
                    let holder = of(Some(holders), Some(mirror))?;
                    let is_one_of_several = named && holder.named;
                    if is_one_of_several && std::mem::replace(&mut one_named, true) {
                        return None;
                    }
                    Some((Arc::clone(mirror), Some(holder)))
                }
            })
            .collect()
    }

    /// Flushes the other mirrors until every cache that took changes has answered.
    async fn flush_missing(
        &self,
        key: &Key,
        took: &[Instance],
        flushed: &mut Flushed,
    ) -> Result<(), StoreError> {
        if flushed.misses(took).is_none() {
            return Ok(());
        }
        let request = Request::on("flush", key, Effect::Flushes, None);
        let attempt = attempt(key, took);
        let deadline = self.deadline();
        let mut backoff = self.policy.backoff_min;
        loop {
            let mut silent = None;
            let list = self.set.current();
            for mirror in list.iter().filter(|mirror| !mirror.is_foreign()) {
                match self.once(mirror, Start::now(), request, deadline, &attempt).await {
                    Ok(more) => flushed.instances.extend(more.instances),
                    Err(error) if request.is_of_mirror(error.kind()) => silent = Some(error),
                    Err(error) => return Err(error),
                }
                if flushed.misses(took).is_none() {
                    return Ok(());
                }
            }
            let Some(error) = silent else {
                return Ok(());
            };
            let until = Instant::now() + backoff.mul_f64(0.5 + self.set.dice.share() / 2.0);
            if deadline.is_some_and(|deadline| until >= deadline) {
                return Err(error.because("it took writes that no other mirror can flush"));
            }
            if backoff == self.policy.backoff_min {
                tracing::warn!(
                    pool = self.set.outage.name(), object = %key, %error,
                    "a flush waits for a mirror that took writes and does not answer; removing the mirror gives them up"
                );
            }
            sleep_until(until).await;
            backoff = (backoff * 2).min(self.policy.backoff_max);
        }
    }

    /// Flushes what a mirror took, as far as it can: before it goes. What fails is covered through the others.
    pub(super) async fn flush_mirror(&self, mirror: &Arc<Mirror>) {
        for (key, holder) in self.set.dirty.of_mirror(mirror.id) {
            if !mirror.is_closed() {
                return;
            }
            let request = Request::on("flush", &key, Effect::Flushes, None);
            let attempt = attempt(&key, &[]);
            match self
                .once(mirror, Start::now(), request, self.deadline(), &attempt)
                .await
            {
                Ok(_) => self.set.dirty.flushed(&key, holder),
                Err(error) => {
                    tracing::warn!(pool = self.set.outage.name(), %error, "a drained mirror was not flushed; the others are");
                }
            }
        }
    }
}

fn of(holders: Option<&[Holder]>, mirror: Option<&Mirror>) -> Option<Holder> {
    let id = mirror?.id;
    holders?.iter().find(|holder| holder.mirror == id).copied()
}
