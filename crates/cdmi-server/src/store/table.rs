//! The open objects: path → [`Entry`], bounded in number.
//!
//! Invariant: at most one living entry a path. Entries are put in and taken out under the name's stripe; `generation` counts the
//! moves of whole trees, and an entry looked up before one is not put in after it.

use super::entry::Entry;
use super::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(super) struct Table {
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    clock: AtomicU64,
    generation: AtomicU64,
    entries_max: usize,
}

impl Table {
    pub(super) fn new(entries_max: usize) -> Self {
        Table {
            entries: Mutex::default(),
            clock: AtomicU64::new(1),
            generation: AtomicU64::new(0),
            entries_max: entries_max.max(8),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn get(&self, path: &str) -> Option<Arc<Entry>> {
        let entries = lock(&self.entries);
        let entry = entries.get(path)?;
        entry
            .used
            .store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(entry.clone())
    }

    pub(super) fn insert(&self, entry: Arc<Entry>, generation: u64) {
        entry
            .used
            .store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut entries = lock(&self.entries);
        if self.generation() == generation {
            entries.insert(entry.path.clone(), entry);
        }
    }

    pub(super) fn remove(&self, path: &str) {
        lock(&self.entries).remove(path);
    }

    /// Forgets everything at and below a path, as its tree moves; returns what was there.
    pub(super) fn forget_tree(&self, path: &str) -> Vec<Arc<Entry>> {
        let mut entries = lock(&self.entries);
        self.generation.fetch_add(1, Ordering::SeqCst);
        let below = format!("{path}/");
        entries
            .extract_if(|key, _| key == path || key.starts_with(&below))
            .map(|(_, entry)| entry)
            .collect()
    }

    /// The paths of the entries longest unused, when there are too many: one eighth at a time, so that the search costs
    /// little for each.
    pub(super) fn overflow(&self) -> Vec<String> {
        let entries = lock(&self.entries);
        if entries.len() <= self.entries_max {
            return Vec::new();
        }
        let mut by_age: Vec<_> = entries
            .values()
            .map(|e| (e.used.load(Ordering::Relaxed), &e.path))
            .collect();
        by_age.sort_unstable();
        by_age
            .into_iter()
            .take(self.entries_max / 8 + 1)
            .map(|(_, path)| path.clone())
            .collect()
    }

    /// Takes an entry out if nobody uses it.
    pub(super) fn take_idle(&self, path: &str) -> Option<Arc<Entry>> {
        let mut entries = lock(&self.entries);
        let entry = entries.get(path)?;
        if Arc::strong_count(entry) > 1 || entry.must_stay() {
            return None;
        }
        entries.remove(path)
    }

    pub(super) fn paths(&self) -> Vec<String> {
        lock(&self.entries).keys().cloned().collect()
    }
}
