//! A store in memory: the reference that the others are compared with, and the store of tests.
//!
//! One lock over all objects makes every operation atomic. An object is a sparse map of chunks, so that a volume of
//! terabytes costs what was written to it. ETags count up and never come back.
//!
//! [`MemoryStore::of_two_kinds`] is one whose objects are made whole by `put` or for changes in place by `create`, as those of
//! Azure Blob are: the former are never changed in place, the latter in multiples of an alignment alone.

mod locks;
mod object;

use crate::presented::Presented;
use crate::{
    Capabilities, Durability, ETag, Entry, Fetched, Flushed, Instance, Key, Lock, LockToken, ObjectInfo,
    Page, Payload, Precondition, Resize, Store, StoreError, Written,
};
use async_trait::async_trait;
use bytes::Bytes;
use object::Object;
use restblk_types::{ErrorKind, Extent};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

const RANGE_LEN_MAX: u64 = 64 << 20;
const PUT_LEN_MAX: u64 = 1 << 30;

/// A client of a store in this process's memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    life: Life,
    state: Arc<Mutex<State>>,
    /// The tokens that this client's changes carry.
    presented: Presented,
    kinds: Kinds,
}

/// Which kinds of objects there are.
#[derive(Clone, Copy, Debug, Default)]
enum Kinds {
    #[default]
    One,
    /// Those of `put`, and those of `create` with this alignment in bytes.
    Two(u64),
}

/// The store's own instance: what is in it ends with it.
#[derive(Clone, Copy, Debug)]
struct Life(Instance);

impl Default for Life {
    fn default() -> Self {
        Self(Instance::new(rand::random()))
    }
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Object>,
    locks: HashMap<Key, locks::Held>,
    tag_last: u64,
}

impl State {
    fn next_tag(&mut self) -> u64 {
        self.tag_last += 1;
        self.tag_last
    }

    fn change(&mut self, key: &Key, operation: &'static str) -> Result<&mut Object, StoreError> {
        let tag = self.tag_last + 1;
        let object = self.objects.get_mut(key).ok_or_else(|| missing(operation, key))?;
        if object.whole {
            let reason = "it was made whole, and is not changed in place";
            return Err(error(ErrorKind::Unsupported, operation, key, reason));
        }
        self.tag_last = tag;
        object.tag = tag;
        Ok(object)
    }

    fn check(&self, key: &Key, when: &Precondition, operation: &'static str) -> Result<(), StoreError> {
        let held = match (when, self.objects.get(key)) {
            (Precondition::Always, _) | (Precondition::Absent, None) => return Ok(()),
            (Precondition::Absent, Some(_)) => "it exists",
            (Precondition::Matches(_), None) => "it does not exist",
            (Precondition::Matches(tag), Some(object)) if *tag == object.etag() => return Ok(()),
            (Precondition::Matches(_), Some(_)) => "it was changed by somebody else",
        };
        Err(error(ErrorKind::Conflict, operation, key, held))
    }
}

fn error(kind: ErrorKind, operation: &'static str, key: &Key, reason: impl Into<String>) -> StoreError {
    StoreError::new(kind, operation, key, reason).at("memory")
}

fn missing(operation: &'static str, key: &Key) -> StoreError {
    error(ErrorKind::NotFound, operation, key, "it does not exist")
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A client of the store of this name in this process, which is made when first asked for.
    #[must_use]
    pub fn named(name: &str) -> Self {
        static NAMED: OnceLock<Mutex<HashMap<String, MemoryStore>>> = OnceLock::new();
        let mut named = NAMED
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        named.entry(name.to_owned()).or_default().another_client()
    }

    /// Another client of the same store, with no lock presented.
    #[must_use]
    pub fn another_client(&self) -> Self {
        Self {
            life: self.life,
            state: Arc::clone(&self.state),
            presented: Presented::default(),
            kinds: self.kinds,
        }
    }

    /// An empty store whose objects are of two kinds: see the module's note. The alignment in bytes is a power of two.
    #[must_use]
    pub fn of_two_kinds(write_align: u64) -> Self {
        Self {
            kinds: Kinds::Two(write_align),
            ..Self::default()
        }
    }

    /// `Invalid` unless all of these are multiples of the alignment.
    fn check_aligned(&self, operation: &'static str, key: &Key, numbers: &[u64]) -> Result<(), StoreError> {
        match self.kinds {
            Kinds::Two(align) if numbers.iter().any(|number| !number.is_multiple_of(align)) => {
                let reason = format!("offset, length and size must be multiples of {align} bytes");
                Err(error(ErrorKind::Invalid, operation, key, reason))
            }
            _ => Ok(()),
        }
    }

    /// Puts an object in place of what has the name, which must be of its kind.
    fn replace(
        &self,
        operation: &'static str,
        key: &Key,
        body: &[u8],
        when: &Precondition,
        whole: bool,
    ) -> Result<Written, StoreError> {
        let mut state = self.state_to_change(key, operation)?;
        state.check(key, when, operation)?;
        if state.objects.get(key).is_some_and(|old| old.whole != whole) {
            let reason = "an object of another kind has the name: delete it first";
            return Err(error(ErrorKind::Unsupported, operation, key, reason));
        }
        let tag = state.next_tag();
        let mut object = Object::of(body, tag);
        object.whole = whole;
        let etag = Some(object.etag());
        state.objects.insert(key.clone(), object);
        let instance = Some(self.life.0);
        Ok(Written { etag, instance })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a change of the object that no lock forbids.
    fn state_to_change(
        &self,
        key: &Key,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        state.check_lock(key, self.presented.get(key).as_ref(), operation)?;
        Ok(state)
    }

    /// The names of all objects, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.state().objects.keys().cloned().collect()
    }

    /// Bytes of memory that the objects' data takes.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        self.state().objects.values().map(Object::allocated_bytes).sum()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            exclusive_create: true,
            compare_and_set: true,
            atomic_put: true,
            write_at: true,
            write_align: match self.kinds {
                Kinds::One => 1,
                Kinds::Two(align) => align,
            },
            resize: Resize::Native,
            punch: true,
            durability: Durability::OnFlush,
            durable_write: true,
            lock: true,
            list: true,
            range_len_max: RANGE_LEN_MAX,
            put_len_max: PUT_LEN_MAX,
        }
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Fetched, StoreError> {
        let state = self.state();
        let object = state.objects.get(key).ok_or_else(|| missing("read", key))?;
        let (offset, len) = match range {
            Some(range) if range.is_empty() => {
                return Err(error(ErrorKind::Invalid, "read", key, "the range is empty"));
            }
            Some(range) if range.end() > object.size => {
                let reason = format!("the range {range} is past its end at {}", object.size);
                return Err(error(ErrorKind::Invalid, "read", key, reason));
            }
            Some(range) => (range.offset(), range.len()),
            None if object.size > PUT_LEN_MAX => {
                return Err(error(
                    ErrorKind::Invalid,
                    "read",
                    key,
                    "it is too large to be read whole",
                ));
            }
            None => (0, object.size),
        };
        Ok(Fetched {
            payload: Payload::from(object.read(offset, len)),
            etag: Some(object.etag()),
        })
    }

    async fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        let state = self.state();
        let object = state.objects.get(key).ok_or_else(|| missing("inspect", key))?;
        Ok(ObjectInfo {
            size: object.size,
            etag: Some(object.etag()),
            in_place: !object.whole,
        })
    }

    async fn put(&self, key: &Key, body: Bytes, when: Precondition) -> Result<Written, StoreError> {
        let whole = matches!(self.kinds, Kinds::Two(_));
        self.replace("put", key, &body, &when, whole)
    }

    async fn create(&self, key: &Key, when: Precondition) -> Result<Written, StoreError> {
        self.replace("create", key, &[], &when, false)
    }

    async fn write_at(
        &self,
        key: &Key,
        offset: u64,
        data: Bytes,
        _durable: bool,
    ) -> Result<Option<Instance>, StoreError> {
        let len = data.len() as u64;
        if Extent::new(offset, len).is_none() {
            return Err(error(
                ErrorKind::Invalid,
                "write",
                key,
                "the range ends past 2^64-1",
            ));
        }
        self.check_aligned("write", key, &[offset, len])?;
        self.state_to_change(key, "write")?
            .change(key, "write")?
            .write(offset, &data);
        Ok(Some(self.life.0))
    }

    async fn set_size(&self, key: &Key, size: u64) -> Result<Option<Instance>, StoreError> {
        self.check_aligned("resize", key, &[size])?;
        self.state_to_change(key, "resize")?
            .change(key, "resize")?
            .set_size(size);
        Ok(Some(self.life.0))
    }

    async fn punch(&self, key: &Key, range: Extent) -> Result<Option<Instance>, StoreError> {
        self.check_aligned("punch", key, &[range.offset(), range.len()])?;
        self.state_to_change(key, "punch")?
            .change(key, "punch")?
            .punch(range);
        Ok(Some(self.life.0))
    }

    async fn flush(&self, key: &Key, _took: &[Instance]) -> Result<Flushed, StoreError> {
        let there = self.state().objects.contains_key(key);
        there
            .then(|| Flushed::by(Some(self.life.0)))
            .ok_or_else(|| missing("flush", key))
    }

    async fn delete(&self, key: &Key, when: Precondition) -> Result<(), StoreError> {
        let mut state = self.state_to_change(key, "delete")?;
        if !state.objects.contains_key(key) {
            return Err(missing("delete", key));
        }
        state.check(key, &when, "delete")?;
        state.objects.remove(key);
        state.locks.remove(key);
        Ok(())
    }

    async fn list(
        &self,
        folder: Option<&Key>,
        start: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let prefix = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
        let state = self.state();
        let from = match start.map(Key::new) {
            Some(Ok(key)) => Bound::Excluded(key),
            Some(Err(bad)) => {
                return Err(
                    StoreError::new(ErrorKind::Invalid, "list", prefix, bad.to_string()).at("memory"),
                );
            }
            None => Bound::Unbounded,
        };
        let mut page = Page::default();
        for (key, object) in state.objects.range((from, Bound::Unbounded)) {
            let Some(name) = key.as_str().strip_prefix(&prefix) else {
                continue;
            };
            if name.contains('/') {
                continue;
            }
            if page.entries.len() == limit.max(1) {
                page.next = page.entries.last().map(|entry: &Entry| entry.key.to_string());
                break;
            }
            page.entries.push(Entry {
                key: key.clone(),
                size: Some(object.size),
            });
        }
        Ok(page)
    }

    async fn lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        self.take_lock(key, owner, steal)
    }

    async fn refresh_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.holds_lock(key, token)
    }

    async fn unlock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        self.release_lock(key, token);
        Ok(())
    }

    fn present_lock(&self, key: &Key, token: Option<LockToken>) {
        self.presented.set(key, token);
    }
}

impl Object {
    fn etag(&self) -> ETag {
        ETag(format!("\"{:x}\"", self.tag))
    }
}
