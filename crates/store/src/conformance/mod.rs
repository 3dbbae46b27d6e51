//! The one suite that every store passes.
//!
//! Checks are driven by the capabilities that a store claims: what it claims must work, what it does not must say
//! `Unsupported` and change nothing. Each check has a fresh store from `make` and a folder of its own.

mod conditional;
mod in_place;
mod listing;
mod locks;
mod model;
mod whole;

use crate::{ETag, Key, Precondition, Store, StoreError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use restblk_types::{ErrorKind, Extent};
use std::sync::Arc;

/// What a check works on.
struct Bench {
    store: Arc<dyn Store>,
    folder: String,
}

/// Why a check failed.
#[derive(Debug)]
struct Failure(String);

type Check = Result<(), Failure>;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(format!("failed to {error}"))
    }
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Failure(what())) }
}

/// The call fails with this kind.
fn fails<T: std::fmt::Debug>(result: Result<T, StoreError>, kind: ErrorKind, what: &str) -> Check {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(Failure(format!(
            "{what}: {kind} was expected: {error} ({})",
            error.kind()
        ))),
        Ok(done) => Err(Failure(format!(
            "{what}: {kind} was expected and it succeeded with {done:?}"
        ))),
    }
}

impl Bench {
    fn key(&self, name: &str) -> Key {
        Key::new(format!("{}/{name}", self.folder))
            .unwrap_or_else(|error| panic!("a check's own name: {error}"))
    }

    async fn put(&self, name: &str, body: &[u8]) -> Result<Key, Failure> {
        let key = self.key(name);
        self.store
            .put(&key, Bytes::copy_from_slice(body), Precondition::Always)
            .await?;
        Ok(key)
    }

    /// A new object that is changed in place, with these bytes: a multiple of the store's alignment.
    async fn create(&self, name: &str, body: &[u8]) -> Result<Key, Failure> {
        let key = self.key(name);
        self.store.create(&key, Precondition::Always).await?;
        if !body.is_empty() {
            self.write(&key, 0, body).await?;
        }
        Ok(key)
    }

    /// The store's alignment: what offsets, lengths and sizes of changes in place are multiples of.
    fn unit(&self) -> u64 {
        self.store.capabilities().write_align.max(1)
    }

    /// One unit filled with each of these letters.
    fn units(&self, letters: &[u8]) -> Vec<u8> {
        let len = usize::try_from(self.unit()).unwrap_or(1);
        letters
            .iter()
            .flat_map(|letter| std::iter::repeat_n(*letter, len))
            .collect()
    }

    async fn write(&self, key: &Key, offset: u64, data: &[u8]) -> Check {
        let data = Bytes::copy_from_slice(data);
        self.store.write_at(key, offset, data, false).await?;
        Ok(())
    }

    async fn whole(&self, key: &Key) -> Result<Bytes, Failure> {
        Ok(self.store.get(key, None).await?.payload.into_bytes())
    }

    async fn holds(&self, key: &Key, wanted: &[u8], what: &str) -> Check {
        let size = self.store.head(key).await?.size;
        ensure(size == wanted.len() as u64, || {
            format!("{what}: the size is {size} instead of {}", wanted.len())
        })?;
        let found = self.whole(key).await?;
        let at = found.iter().zip(wanted).position(|(a, b)| a != b);
        ensure(found == wanted, || {
            format!("{what}: other bytes, {} of them, from {at:?}", found.len())
        })
    }

    async fn etag(&self, key: &Key) -> Result<ETag, Failure> {
        self.store
            .head(key)
            .await?
            .etag
            .ok_or_else(|| Failure("no ETag is told".to_owned()))
    }
}

fn extent(offset: u64, len: u64) -> Extent {
    Extent::new(offset, len).unwrap_or_else(|| panic!("a check's own range overflows"))
}

type Run = for<'a> fn(&'a Bench) -> BoxFuture<'a, Check>;

macro_rules! checks {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |bench| Box::pin($module::$name(bench)))),*]
    };
}

const CHECKS: &[(&str, Run)] = checks![
    whole::objects_are_kept_whole,
    whole::a_put_replaces,
    whole::empty_objects_exist,
    whole::what_is_missing_is_not_found,
    whole::ranges_are_exact,
    whole::names_are_any_text,
    whole::deletion_is_final,
    whole::puts_are_atomic,
    whole::errors_name_operation_object_and_place,
    in_place::writes_change_their_range_alone,
    in_place::gaps_are_zeros,
    in_place::writes_reach_beyond_4_gib,
    in_place::parallel_writes_all_land,
    in_place::large_ranges_go_through,
    in_place::sizes_are_set,
    in_place::misaligned_changes_are_refused,
    in_place::objects_made_whole_say_whether_they_change_in_place,
    in_place::holes_are_zeros,
    in_place::flushes_and_durable_writes_are_answered,
    in_place::caches_are_named_alike,
    conditional::creates_are_exclusive,
    conditional::racing_creates_have_one_winner,
    conditional::stale_states_are_refused,
    conditional::racing_updates_lose_nothing,
    locks::a_lock_keeps_others_out,
    locks::a_broken_lock_fences_its_holder,
    listing::a_folder_lists_its_objects,
    listing::pages_tell_each_object_once,
    model::random_operations_agree_with_a_model,
];

/// Runs every check on stores that `make` makes, and returns how many there are; panics at the end with all that failed.
///
/// # Panics
/// Where a check failed: that is what it is for.
pub async fn run(make: impl Fn() -> Arc<dyn Store>) -> usize {
    let mut failures = Vec::new();
    for (name, check) in CHECKS {
        let store = make();
        let bench = Bench {
            store,
            folder: format!("conformance/{name}-{:016x}", rand::random::<u64>()),
        };
        if let Err(Failure(reason)) = check(&bench).await {
            failures.push(format!("{name}: {reason}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} checks failed:\n{}",
        failures.len(),
        CHECKS.len(),
        failures.join("\n")
    );
    CHECKS.len()
}

/// Runs random operations and compares each with a model in memory. A failure names its seed.
///
/// # Panics
/// Where store and model differ.
pub async fn run_model(store: Arc<dyn Store>, seed: u64, steps: usize) {
    let bench = Bench {
        store,
        folder: format!("model/{:016x}", rand::random::<u64>()),
    };
    if let Err(Failure(reason)) = model::compare(&bench, seed, steps).await {
        panic!("seed {seed}: {reason}");
    }
}
