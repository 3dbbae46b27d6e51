//! Proof that mirrors are mirrors: what is written through one is seen through every other, and soon enough; races between
//! them have one winner; they tell the same state of an object; a lock of one holds through all. What one server keeps to may fail between two.
//!
//! [`compare`] is for a pool that is made, [`compare_new`] for a mirror that joins one, whose users count already on what was proved.
//! Works on scratch objects, as `prove` does. A mirror that cannot be asked is named and left out, so that the others can be
//! compared; whether that is acceptable is the caller's to say.

use super::conditional::RACES;
use super::{Fail, MirrorProof, Proof, Scratch, Step, always, not, seen};
use crate::{Key, Precondition, Store, StoreError};
use bytes::Bytes;
use restblk_types::ErrorKind;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a write may take to be seen through another mirror, before the two are taken for different repositories.
const LAG_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A server whose clock is further from ours is refused: S3 refuses what is signed by such a clock, and times in logs and locks would mislead.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(15 * 60);
/// Objects that are raced for when a mirror joins a pool in use, whose load it shares; two servers that do not exclude each other are found out by
/// the first few.
const RACES_OF_NEW: usize = 4;
/// A first look this soon counts as at once: it is the time of one request.
const AT_ONCE: Duration = Duration::ZERO;

/// A mirror to be compared: its name, and its client.
pub type Named = (String, Arc<dyn Store>);

/// Compares the mirrors, and strikes out of the proof what does not hold between them. One is compared with nobody, but its
/// clock is looked at all the same.
pub async fn compare(mirrors: &[Named], proof: &mut Proof) -> Result<Vec<MirrorProof>, StoreError> {
    let mut told = Vec::with_capacity(mirrors.len());
    let mut alive = Vec::new();
    for (name, store) in mirrors {
        let mut mirror = MirrorProof {
            name: name.clone(),
            ..MirrorProof::default()
        };
        match answers(&**store).await {
            Ok(()) => alive.push((name.as_str(), store)),
            Err(error) => mirror.problem = Some(error.to_string()),
        }
        told.push(mirror);
    }
    if let [(_, first), _, ..] = alive[..] {
        let scratch = Scratch::new(&**first);
        let compared = compare_on(&scratch, &alive, proof, RACES).await;
        scratch.clean().await;
        for (name, lag) in compared? {
            if let Some(mirror) = told.iter_mut().find(|mirror| mirror.name == name) {
                mirror.lag_ms = ms(lag);
            }
        }
    }
    for (mirror, (_, store)) in told.iter_mut().zip(mirrors) {
        mirror.clock_skew_ms = clock_skew_ms(&**store);
        check_clock(mirror, &**store)?;
    }
    Ok(told)
}

/// Compares a mirror that is to join others with the first of them that answers. It has to do all that the pool was proved to do, also
/// between the two: else `Unsupported`.
pub async fn compare_new(new: &Named, others: &[Named], proof: &Proof) -> Result<MirrorProof, StoreError> {
    let (name, store) = new;
    answers(&**store).await?;
    let mut told = MirrorProof {
        name: name.clone(),
        clock_skew_ms: clock_skew_ms(&**store),
        ..MirrorProof::default()
    };
    check_clock(&told, &**store)?;
    for (other_name, other) in others {
        if answers(&**other).await.is_err() {
            continue;
        }
        let mut together = proof.clone();
        let scratch = Scratch::new(&**other);
        let pair = [(other_name.as_str(), other), (name.as_str(), store)];
        let compared = compare_on(&scratch, &pair, &mut together, RACES_OF_NEW).await;
        scratch.clean().await;
        let lag = compared?.into_iter().map(|(_, lag)| lag).max();
        told.lag_ms = ms(lag.unwrap_or_default());
        if together.capabilities != proof.capabilities {
            let lacking = together.notes.split_off(proof.notes.len()).join("; ");
            let reason =
                format!("together with {other_name} it lacks what the pool's users count on: {lacking}");
            return Err(mirror_error(ErrorKind::Unsupported, name, reason, &**store));
        }
        break;
    }
    Ok(told)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn clock_skew_ms(store: &dyn Store) -> Option<i64> {
    store.network().and_then(|network| network.clock_skew_ms)
}

fn mirror_error(kind: ErrorKind, name: &dyn fmt::Display, reason: String, store: &dyn Store) -> StoreError {
    StoreError::new(kind, "use", format!("the mirror {name}"), reason).at(store.location())
}

fn check_clock(mirror: &MirrorProof, store: &dyn Store) -> Result<(), StoreError> {
    let Some(skew) = mirror.clock_skew_ms else {
        return Ok(());
    };
    let off = Duration::from_millis(skew.unsigned_abs());
    if off <= CLOCK_SKEW_MAX {
        return Ok(());
    }
    let side = if skew > 0 { "ahead of" } else { "behind" };
    let reason = format!(
        "its clock is {} minutes {side} this host's, and {} are the most: set the clocks of both by NTP (timedatectl shows this one's), then try again",
        off.as_secs() / 60,
        CLOCK_SKEW_MAX.as_secs() / 60,
    );
    Err(mirror_error(ErrorKind::Invalid, &mirror.name, reason, store))
}

/// Whether the mirror answers and lets us in: for an object that nobody makes.
async fn answers(store: &dyn Store) -> Result<(), StoreError> {
    let Ok(nobodys) = Key::new(format!(".restblk/probe/{:032x}", rand::random::<u128>())) else {
        return Ok(());
    };
    match store.head(&nobodys).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

type Alive<'a> = (&'a str, &'a Arc<dyn Store>);

/// The longest time after which each mirror showed what was written through another.
async fn compare_on(
    scratch: &Scratch<'_>,
    alive: &[Alive<'_>],
    proof: &mut Proof,
    objects: usize,
) -> Result<Vec<(String, Duration)>, StoreError> {
    let mut lags = Vec::new();
    for (reader, through) in alive {
        let mut lag = Duration::ZERO;
        for (writer, by) in alive.iter().filter(|(name, _)| name != reader) {
            let writes_in_place = proof.capabilities.write_at;
            let took = lag_between(scratch, &***by, &***through, writes_in_place).await;
            lag = lag.max(took.map_err(|fail| of_pair(fail, writer, reader, &***through))?);
        }
        lags.push(((*reader).to_owned(), lag));
    }
    let stores: Vec<&dyn Store> = alive.iter().map(|(_, store)| &***store).collect();
    let mut strike = |ability: &mut bool, name: &str, reason: Option<String>| {
        if let Some(reason) = reason {
            *ability = false;
            proof.notes.push(format!("{name}, between mirrors: {reason}"));
        }
    };
    let can = &mut proof.capabilities;
    if can.exclusive_create {
        let raced = seen(|| scratch.races(&stores, objects)).await?;
        strike(&mut can.exclusive_create, "exclusive create", raced);
    }
    if can.compare_and_set {
        let same = seen(|| scratch.same_states(&stores)).await?;
        strike(&mut can.compare_and_set, "compare and set", same);
    }
    if can.lock {
        let kept = seen(|| scratch.same_locks(&stores)).await?;
        strike(&mut can.lock, "lock", kept);
    }
    Ok(lags)
}

fn of_pair(fail: Fail, writer: &str, reader: &str, store: &dyn Store) -> StoreError {
    match fail {
        Fail::Passing(error) | Fail::Abort(error) => error,
        Fail::Not(reason) => {
            let reason = format!(
                "it does not show what was written through {writer}: {reason}; all mirrors of a pool show the same files: \
                 check the path of both URLs"
            );
            mirror_error(ErrorKind::Invalid, &reader, reason, store)
        }
    }
}

/// How long until `reader` shows a new object, a replaced one, a changed range and a deletion of `writer`'s.
async fn lag_between(
    scratch: &Scratch<'_>,
    writer: &dyn Store,
    reader: &dyn Store,
    writes_in_place: bool,
) -> Result<Duration, Fail> {
    let key = scratch.key()?;
    let (old, new) = (vec![b'o'; 4096], vec![b'n'; 4096]);
    writer.put(&key, Bytes::from(old.clone()), always()).await?;
    let mut lag = shows(reader, &key, Some(&old), "a new object").await?;
    writer.put(&key, Bytes::from(new.clone()), always()).await?;
    lag = lag.max(shows(reader, &key, Some(&new), "a replaced object").await?);
    if writes_in_place {
        let key = scratch.key()?;
        writer.create(&key, always()).await?;
        writer.write_at(&key, 0, Bytes::from(old.clone()), false).await?;
        lag = lag.max(shows(reader, &key, Some(&old), "bytes written to an object").await?);
        writer.write_at(&key, 0, Bytes::from(new.clone()), false).await?;
        lag = lag.max(shows(reader, &key, Some(&new), "bytes changed in an object").await?);
    }
    writer.delete(&key, always()).await?;
    Ok(lag.max(shows(reader, &key, None, "a deletion").await?))
}

/// How long until the object reads so.
async fn shows(reader: &dyn Store, key: &Key, wanted: Option<&[u8]>, what: &str) -> Result<Duration, Fail> {
    let begun = Instant::now();
    let mut first = true;
    loop {
        let found = match reader.get(key, None).await {
            Ok(found) => Some(found.payload.into_bytes()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if found.as_deref() == wanted {
            return Ok(if first { AT_ONCE } else { begun.elapsed() });
        }
        if begun.elapsed() > LAG_MAX {
            return not(format!("{what} is not seen after {} s", LAG_MAX.as_secs()));
        }
        first = false;
        sleep(LOOK_EVERY).await;
    }
}

impl Scratch<'_> {
    /// Every mirror tells the same state of an object, and a change that names it is done through any of them.
    async fn same_states(&self, stores: &[&dyn Store]) -> Step {
        let key = self.key()?;
        for (turn, store) in stores.iter().enumerate() {
            let body = Bytes::from(format!("turn {turn}"));
            let when = if turn == 0 {
                Precondition::Always
            } else {
                // The state as another mirror tells it.
                match stores[turn - 1].head(&key).await?.etag {
                    Some(etag) => Precondition::Matches(etag),
                    None => return not("a mirror tells no ETag"),
                }
            };
            match store.put(&key, body, when).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    return not("the state of an object that one mirror tells is refused by another");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "mirrors_tests.rs"]
mod tests;
