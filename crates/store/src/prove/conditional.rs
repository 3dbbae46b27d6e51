//! Proofs of what decides races: exclusive create, compare and set. A server that does it when asked politely may not do
//! it under a race, so both are raced.

use super::{Fail, Scratch, Step, always, not};
use crate::{ETag, Key, Precondition, Store};
use bytes::Bytes;
use futures_util::future::join_all;
use restblk_types::ErrorKind;

/// Servers that check and then write let several racers win only now and then: this many races catch one that does so in
/// one of ten with a probability of 97 %.
pub(super) const RACES: usize = 32;
const RACERS: usize = 16;

fn body(race: usize, racer: usize) -> Bytes {
    Bytes::from(format!("race {race} racer {racer} "))
}

impl Scratch<'_> {
    /// All racers put at once under the condition, each through another of the stores; exactly one wins, and the object is
    /// the winner's.
    async fn race(&self, key: &Key, race: usize, when: &Precondition, stores: &[&dyn Store]) -> Step {
        let puts = (0..RACERS)
            .zip(stores.iter().cycle())
            .map(|(racer, store)| store.put(key, body(race, racer), when.clone()));
        let mut winner = None;
        for (racer, result) in join_all(puts).await.into_iter().enumerate() {
            match result {
                Ok(_) if winner.is_some() => {
                    return not(format!(
                        "of {RACERS} that raced for one object more than one was told that it won"
                    ));
                }
                Ok(_) => winner = Some(racer),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(winner) = winner else {
            return not(format!("of {RACERS} that raced for one object none won"));
        };
        if self.whole(key).await? != body(race, winner) {
            return not("the object is not the winner's after a race");
        }
        Ok(())
    }

    /// A taken name is refused and its object kept; of racing creates one wins.
    pub(super) async fn exclusive_create(&self) -> Step {
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"first"), Precondition::Absent)
            .await?;
        match self
            .store
            .put(&key, Bytes::from_static(b"second"), Precondition::Absent)
            .await
        {
            Ok(_) => return not("a second create of one name overwrote the first"),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
        self.expect(&key, b"first", "after a refused create").await?;
        self.races(&[self.store], RACES).await
    }

    /// Of racing creates through these stores one wins, on each of so many objects.
    pub(super) async fn races(&self, stores: &[&dyn Store], objects: usize) -> Step {
        let mut keys = Vec::with_capacity(objects);
        for _ in 0..objects {
            keys.push(self.key()?);
        }
        let races = keys
            .iter()
            .enumerate()
            .map(|(race, key)| self.race(key, race, &Precondition::Absent, stores));
        join_all(races).await.into_iter().collect()
    }

    pub(super) async fn tag(&self, key: &Key) -> Result<ETag, Fail> {
        match self.store.head(key).await?.etag {
            Some(tag) => Ok(tag),
            None => not("the server tells no ETag"),
        }
    }

    async fn put_refused(&self, key: &Key, stale: &ETag) -> Step {
        let stale = Precondition::Matches(stale.clone());
        match self.store.put(key, Bytes::from_static(b"stale"), stale).await {
            Ok(_) => not("a put with a stale ETag overwrote the object"),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_refused(&self, key: &Key, stale: &ETag, holds: &[u8]) -> Step {
        let stale = Precondition::Matches(stale.clone());
        match self.store.delete(key, stale).await {
            Ok(()) => return not("a delete with a stale ETag deleted the object"),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
        self.expect(key, holds, "after refused changes").await
    }

    /// A change with the current ETag is done, with an older one refused; of racing ones one wins; the ETag changes
    /// with each write.
    pub(super) async fn compare_and_set(&self, writes: bool) -> Step {
        let key = self.key()?;
        self.store.put(&key, Bytes::from_static(b"one"), always()).await?;
        let first = self.tag(&key).await?;
        self.store
            .put(
                &key,
                Bytes::from_static(b"two"),
                Precondition::Matches(first.clone()),
            )
            .await?;
        self.put_refused(&key, &first).await?;
        self.delete_refused(&key, &first, b"two").await?;
        if writes {
            let written = self.made(b"two").await?;
            let before = self.tag(&written).await?;
            self.store.write_at(&written, 0, self.units(b"T"), false).await?;
            self.delete_refused(&written, &before, &self.units(b"Two"))
                .await?;
        }
        let current = self.tag(&key).await?;
        self.race(&key, 0, &Precondition::Matches(current), &[self.store])
            .await?;
        let current = self.tag(&key).await?;
        Ok(self.store.delete(&key, Precondition::Matches(current)).await?)
    }
}
