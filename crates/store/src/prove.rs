//! What a store was *seen* to do. An engine believes nothing else.
//!
//! `prove` works on scratch objects of its own, `.restblk/probe/<random>-<n>`, and removes them. It starts from the
//! capabilities that the store declares and strikes out what did not work, with the reason in words. A server that
//! cannot be reached or refuses the credentials proves nothing either way: that is an error. Power losses cannot be
//! tried, so durability is believed as declared once a flush was answered.

mod atomic;
pub(crate) mod choose;
mod conditional;
mod in_place;
mod lock;
pub mod mirrors;
mod sizes;
mod states;

use crate::{Capabilities, Durability, Key, Precondition, Resize, Store, StoreError};
use bytes::Bytes;
use restblk_types::{ErrorKind, Extent};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// Tries of a step that failed in passing.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(150);
/// A server that does not answer a delete of a scratch object in this time is asked for no other.
const CLEAN_MAX: Duration = Duration::from_secs(2);

/// What a store was proved to do, to be kept with the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The dialect it was proved in, where the protocol has several: its name, which that protocol's client reads.
    #[serde(default)]
    pub dialect: Option<String>,
    /// What worked.
    pub capabilities: Capabilities,
    /// What was declared and struck out, and why; what is believed unseen.
    pub notes: Vec<String>,
    /// What was seen of each mirror beside the others.
    #[serde(default)]
    pub mirrors: Vec<MirrorProof>,
    /// When, in seconds since 1970.
    pub proved_at_s: u64,
}

/// What was seen of one mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorProof {
    /// Its name: the URL it was given by.
    pub name: String,
    /// Why it could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Longest time until it showed what was written through another mirror, in milliseconds; 0: at once.
    #[serde(default)]
    pub lag_ms: u64,
    /// How far its clock is ahead of ours, in milliseconds, where it tells; known to a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
}

/// Why a step of the proof did not succeed.
enum Fail {
    /// The ability is not there.
    Not(String),
    /// It failed in passing.
    Passing(StoreError),
    /// Nothing can be said of this store now.
    Abort(StoreError),
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            ErrorKind::Retry => Self::Passing(error),
            ErrorKind::Unavailable | ErrorKind::Denied => Self::Abort(error),
            _ => Self::Not(error.of_scratch()),
        }
    }
}

type Step = Result<(), Fail>;

fn not<T>(reason: impl Into<String>) -> Result<T, Fail> {
    Err(Fail::Not(reason.into()))
}

fn always() -> Precondition {
    Precondition::Always
}

/// The scratch objects of one proof.
struct Scratch<'a> {
    store: &'a dyn Store,
    prefix: String,
    made: Mutex<Vec<Key>>,
    count: AtomicU32,
    /// A flush was answered by a cache with a name.
    tells_instance: AtomicBool,
}

impl<'a> Scratch<'a> {
    fn new(store: &'a dyn Store) -> Self {
        Self {
            store,
            prefix: format!(".restblk/probe/{:032x}", rand::random::<u128>()),
            made: Mutex::default(),
            count: AtomicU32::new(0),
            tells_instance: AtomicBool::new(false),
        }
    }

    /// A name not used before.
    fn key(&self) -> Result<Key, Fail> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let key = Key::new(format!("{}-{number}", self.prefix)).map_err(|bad| Fail::Not(bad.to_string()))?;
        self.made
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(key.clone());
        Ok(key)
    }

    async fn whole(&self, key: &Key) -> Result<Bytes, Fail> {
        Ok(self.store.get(key, None).await?.payload.into_bytes())
    }

    async fn range(&self, key: &Key, offset: u64, len: u64) -> Result<Bytes, Fail> {
        let Some(range) = Extent::new(offset, len) else {
            return not("a range of the proof overflows");
        };
        Ok(self.store.get(key, Some(range)).await?.payload.into_bytes())
    }

    /// The object is these bytes, by its size and by its content.
    async fn expect(&self, key: &Key, wanted: &[u8], after: &str) -> Step {
        let size = self.store.head(key).await?.size;
        if size != wanted.len() as u64 {
            return not(format!(
                "{after} the object's size is {size} instead of {}",
                wanted.len()
            ));
        }
        let found = self.whole(key).await?;
        if found != wanted {
            return not(format!("{after} the object holds other bytes than were written"));
        }
        Ok(())
    }

    async fn clean(&self) {
        let made = std::mem::take(
            &mut *self
                .made
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for key in made {
            let delete = self.store.delete(&key, Precondition::Always);
            match tokio::time::timeout(CLEAN_MAX, delete).await {
                Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(%error, prefix = self.prefix, "scratch objects are left behind");
                    return;
                }
                Ok(Err(error)) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, "a scratch object is left behind");
                }
                Ok(_) => {}
                Err(_) => {
                    tracing::warn!(
                        prefix = self.prefix,
                        "scratch objects are left behind: no answer to a delete"
                    );
                    return;
                }
            }
        }
    }

    /// Whole objects: create, read, replace, and `NotFound` for what is missing. No store does without.
    async fn basic(&self) -> Step {
        let missing = self.key()?;
        match self.store.head(&missing).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return not("an object that was never made is said to exist"),
        }
        match self.store.get(&missing, None).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return not("an object that was never made can be read"),
        }
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"ABCDEFGH"), always())
            .await?;
        self.expect(&key, b"ABCDEFGH", "after a put of 8 bytes").await?;
        if self.range(&key, 2, 4).await? != b"CDEF"[..] {
            return not("a read of 4 bytes in the middle returned others");
        }
        self.store.put(&key, Bytes::from_static(b"xyz"), always()).await?;
        self.expect(&key, b"xyz", "after a put of 3 bytes over 8").await?;
        self.store.delete(&key, always()).await?;
        match self.store.head(&key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => not("a deleted object is still there"),
        }
    }

    async fn flush(&self) -> Step {
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"flush"), always())
            .await?;
        let flushed = self.store.flush(&key, &[]).await?;
        self.tells_instance
            .store(!flushed.instances.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    async fn list(&self) -> Step {
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"list"), always())
            .await?;
        let folder = key
            .as_str()
            .rsplit_once('/')
            .and_then(|(folder, _)| Key::new(folder).ok());
        let mut start = None;
        loop {
            let page = self.store.list(folder.as_ref(), start.as_deref(), 1000).await?;
            if page.entries.iter().any(|entry| entry.key == key) {
                return Ok(());
            }
            match page.next {
                Some(next) if Some(&next) != start.as_ref() => start = Some(next),
                _ => return not("an object that was just made is not listed"),
            }
        }
    }
}

/// Runs the step until it does not fail in passing; `Ok(Some(reason))` where the ability is not there.
async fn seen<R: Future<Output = Step> + Send>(step: impl Fn() -> R) -> Result<Option<String>, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match step().await {
            Ok(()) => return Ok(None),
            Err(Fail::Not(reason)) => return Ok(Some(reason)),
            Err(Fail::Abort(error)) => return Err(error),
            Err(Fail::Passing(error)) if tries == TRIES => return Ok(Some(error.of_scratch())),
            Err(Fail::Passing(_)) => tokio::time::sleep(PAUSE * tries).await,
        }
    }
}

/// Tries out what the store declares. Fails where the server cannot be reached, denies access, or cannot even keep and
/// return whole objects (`Unsupported`).
pub async fn prove(store: &dyn Store) -> Result<Proof, StoreError> {
    let scratch = Scratch::new(store);
    let proof = prove_on(&scratch).await;
    scratch.clean().await;
    proof
}

async fn prove_on(scratch: &Scratch<'_>) -> Result<Proof, StoreError> {
    let store = scratch.store;
    let mut can = store.capabilities();
    let mut notes = Vec::new();
    if let Some(reason) = seen(|| scratch.basic()).await? {
        let reason = format!("it does not keep whole objects: {reason}");
        return Err(StoreError::new(ErrorKind::Unsupported, "use", "the store", reason).at(store.location()));
    }
    sizes::measure(scratch, &mut can, &mut notes).await?;
    strike(
        &mut can.atomic_put,
        "atomic put",
        seen(|| scratch.atomic_put()),
        &mut notes,
    )
    .await?;
    strike(
        &mut can.write_at,
        "write in place",
        seen(|| scratch.write_at()),
        &mut notes,
    )
    .await?;
    let mut resize = can.resize != Resize::None;
    strike(
        &mut resize,
        "set the size",
        seen(|| scratch.resize(can_shrink(&can))),
        &mut notes,
    )
    .await?;
    if !resize {
        can.resize = Resize::None;
    }
    strike(&mut can.punch, "punch", seen(|| scratch.punch()), &mut notes).await?;
    strike(
        &mut can.exclusive_create,
        "exclusive create",
        seen(|| scratch.exclusive_create()),
        &mut notes,
    )
    .await?;
    let writes = can.write_at;
    strike(
        &mut can.compare_and_set,
        "compare and set",
        seen(|| scratch.compare_and_set(writes)),
        &mut notes,
    )
    .await?;
    strike(
        &mut can.compare_and_set,
        "compare and set",
        seen(|| scratch.states(writes)),
        &mut notes,
    )
    .await?;
    can.lock &= can.write_at;
    strike(&mut can.lock, "lock", seen(|| scratch.lock()), &mut notes).await?;
    can.durable_write &= can.write_at;
    strike(
        &mut can.durable_write,
        "durable write",
        seen(|| scratch.durable_write()),
        &mut notes,
    )
    .await?;
    let mut flush = can.durability == Durability::OnFlush;
    strike(&mut flush, "flush", seen(|| scratch.flush()), &mut notes).await?;
    if flush {
        let noticed = if scratch.tells_instance.load(Ordering::Relaxed) {
            "is noticed"
        } else {
            "is not noticed, the server having no way to tell"
        };
        notes.push(format!(
            "flush: answered; that it survives a power loss of the server is believed, not seen; a power loss between a \
             write and its flush {noticed}"
        ));
    } else if can.durability == Durability::OnFlush {
        can.durability = Durability::Unstated;
        can.durable_write = false;
    }
    strike(&mut can.list, "list", seen(|| scratch.list()), &mut notes).await?;
    let proved_at_s = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Ok(Proof {
        dialect: None,
        capabilities: can,
        notes,
        mirrors: Vec::new(),
        proved_at_s,
    })
}

fn can_shrink(can: &Capabilities) -> bool {
    can.resize == Resize::Native
}

async fn strike(
    ability: &mut bool,
    name: &str,
    step: impl Future<Output = Result<Option<String>, StoreError>>,
    notes: &mut Vec<String>,
) -> Result<(), StoreError> {
    if *ability && let Some(reason) = step.await? {
        *ability = false;
        notes.push(format!("{name}: {reason}"));
    }
    Ok(())
}
