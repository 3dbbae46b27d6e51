//! Proof of locks: a change without the token is refused, and so is one with the token of a lock that was broken or let
//! go; of many who ask for a lock at once, one gets it.

use super::{Fail, Scratch, Step, not};
use crate::{Key, LockToken, Store};
use bytes::Bytes;
use futures_util::future::join_all;
use restblk_types::ErrorKind;

/// A multiple of every store's alignment.
const BLOCK_LEN: usize = 4096;
/// Servers that look first and lock then (Apache) give a lock to two in one race of four.
const RACES: usize = 32;
const RACERS: usize = 8;
const OWNER: &str = "restblk, trying out locks";

impl Scratch<'_> {
    /// A lock keeps a change without its token out and lets one with it in; a broken lock fences its holder.
    pub(super) async fn lock(&self) -> Step {
        let key = self.key()?;
        let block = |fill: u8| Bytes::from(vec![fill; BLOCK_LEN]);
        self.store.create(&key, super::always()).await?;
        self.store.write_at(&key, 0, block(b'a'), false).await?;
        let first = self.store.lock(&key, OWNER, false).await?.token;
        let without = self.store.write_at(&key, 0, block(b'x'), false).await;
        self.store.present_lock(&key, Some(first.clone()));
        let with = self.store.write_at(&key, 0, block(b'b'), false).await;
        let second = self.store.lock(&key, OWNER, true).await;
        let broken = self.store.write_at(&key, 0, block(b'x'), false).await;
        let prolonged = self.store.refresh_lock(&key, &first).await;
        let held = second.as_ref().map_or(first.clone(), |lock| lock.token.clone());
        let released = self.store.unlock(&key, &held).await;
        let late = self.store.write_at(&key, 0, block(b'x'), false).await;
        self.store.present_lock(&key, None);
        released?;
        with?;
        second?;
        let fenced = |kind| kind == ErrorKind::Fenced;
        let out = |kind| matches!(kind, ErrorKind::Fenced | ErrorKind::Unavailable);
        refused(
            without,
            |kind| kind == ErrorKind::Busy,
            "without the lock's token",
        )?;
        refused(broken, fenced, "with the token of a lock that was broken")?;
        match prolonged {
            Ok(()) if first != held => return not("a lock that was broken could be prolonged"),
            Err(error) if error.kind() != ErrorKind::Fenced => return Err(error.into()),
            _ => {}
        }
        refused(late, out, "with the token of a lock that is no longer held")?;
        self.expect(&key, &[b'b'; BLOCK_LEN], "after a lock was broken")
            .await?;
        for _ in 0..RACES {
            self.race_for_lock(&key).await?;
        }
        Ok(())
    }

    /// A lock that one mirror gave holds through the next, and so does one that is stolen through it from a holder at the former.
    pub(super) async fn same_locks(&self, stores: &[&dyn Store]) -> Step {
        let (key, pairs) = (self.key()?, stores.iter().zip(stores.iter().cycle().skip(1)));
        let Some(first) = stores.first() else {
            return Ok(());
        };
        first.create(&key, super::always()).await?;
        let mut held = first.lock(&key, OWNER, false).await?.token;
        for (former, next) in pairs {
            let stolen = steal_through(&key, *former, *next, &held).await;
            former.present_lock(&key, None);
            next.present_lock(&key, None);
            match stolen {
                Ok(token) => held = token,
                Err(fail) => {
                    former.unlock(&key, &held).await?;
                    return Err(fail);
                }
            }
        }
        Ok(first.unlock(&key, &held).await?)
    }

    async fn race_for_lock(&self, key: &Key) -> Step {
        let racers = (0..RACERS).map(|_| self.store.lock(key, OWNER, false));
        let (mut won, mut failed) = (Vec::new(), None);
        for result in join_all(racers).await {
            match result {
                Ok(lock) => won.push(lock.token),
                Err(error) if error.kind() == ErrorKind::Busy => {}
                Err(error) => failed = Some(error),
            }
        }
        for token in &won {
            self.store.unlock(key, token).await?;
        }
        match (won.len(), failed) {
            (1, None) => Ok(()),
            (0 | 1, Some(error)) => Err(error.into()),
            (0, None) => not(format!("of {RACERS} that asked for a lock at once none got it")),
            (got, _) => not(format!("of {RACERS} that asked for a lock at once {got} got it")),
        }
    }
}

/// What holds of a lock with this token between two mirrors. The lock is the answer's then.
async fn steal_through(
    key: &Key,
    former: &dyn Store,
    next: &dyn Store,
    held: &LockToken,
) -> Result<LockToken, Fail> {
    let block = || Bytes::from(vec![b'm'; BLOCK_LEN]);
    let busy = |kind| kind == ErrorKind::Busy;
    refused(
        next.write_at(key, 0, block(), false).await,
        busy,
        "without the lock's token",
    )?;
    next.present_lock(key, Some(held.clone()));
    next.write_at(key, 0, block(), false).await?;
    let stolen = next.lock(key, OWNER, true).await?.token;
    former.present_lock(key, Some(held.clone()));
    let late = former.write_at(key, 0, block(), false).await;
    let fenced = |kind| kind == ErrorKind::Fenced;
    match refused(
        late,
        fenced,
        "with the token of a lock that was broken through another mirror",
    ) {
        Ok(()) => Ok(stolen),
        Err(fail) => {
            next.unlock(key, &stolen).await?;
            Err(fail)
        }
    }
}

fn refused<T>(
    outcome: Result<T, crate::StoreError>,
    is_right: impl Fn(ErrorKind) -> bool,
    who: &str,
) -> Step {
    match outcome {
        Ok(_) => not(format!("a locked object was changed {who}")),
        Err(error) if is_right(error.kind()) => Ok(()),
        Err(error) if error.kind().is_transient() => Err(Fail::Passing(error)),
        Err(error) => Err(error.into()),
    }
}
