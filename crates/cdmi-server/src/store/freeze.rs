//! Who may change what while a tree is copied or moved.
//!
//! A change [enters](Freezer::enter) with its paths and goes on under a shared lock. A snapshot [freezes](Freezer::freeze) a
//! container: it waits for the changes under way, and from then on changes below that path wait until it is done, others do
//! not. Moving or deleting a tree is [alone](Freezer::alone): no change is under way anywhere, and no tree is frozen.

use super::lock;
use std::sync::{Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[derive(Default)]
pub(super) struct Freezer {
    tree: RwLock<()>,
    frozen: Mutex<Vec<String>>,
    thawed: Condvar,
}

/// A container that does not change until this is dropped.
pub(super) struct Frozen<'a> {
    freezer: &'a Freezer,
    path: String,
}

fn covers(frozen: &str, path: &str) -> bool {
    frozen.is_empty() || path == frozen || (path.starts_with(frozen) && path.as_bytes()[frozen.len()] == b'/')
}

impl Freezer {
    pub(super) fn enter(&self, paths: &[&str]) -> RwLockReadGuard<'_, ()> {
        loop {
            let pass = self.tree.read().unwrap_or_else(PoisonError::into_inner);
            let frozen = lock(&self.frozen);
            if !frozen.iter().any(|f| paths.iter().any(|path| covers(f, path))) {
                return pass;
            }
            drop(pass);
            drop(self.thawed.wait(frozen).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        loop {
            let pass = self.tree.write().unwrap_or_else(PoisonError::into_inner);
            let frozen = lock(&self.frozen);
            if frozen.is_empty() {
                return pass;
            }
            drop(pass);
            drop(self.thawed.wait(frozen).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(super) fn freeze(&self, path: &str) -> Frozen<'_> {
        loop {
            let pass = self.tree.write().unwrap_or_else(PoisonError::into_inner);
            let mut frozen = lock(&self.frozen);
            if !frozen.iter().any(|f| covers(f, path) || covers(path, f)) {
                frozen.push(path.to_owned());
                drop(frozen);
                drop(pass);
                return Frozen {
                    freezer: self,
                    path: path.to_owned(),
                };
            }
            drop(pass);
            drop(self.thawed.wait(frozen).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        lock(&self.freezer.frozen).retain(|path| *path != self.path);
        self.freezer.thawed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn only_what_is_below_waits() {
        assert!(covers("a", "a/b") && covers("", "x") && covers("a", "a"));
        assert!(!covers("a", "ab/c") && !covers("a/b", "a"));
        let freezer = Freezer::default();
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let frozen = freezer.freeze("a");
            drop(freezer.enter(&["ab/c"]));
            scope.spawn(|| {
                let _pass = freezer.enter(&["z", "a/b"]);
                entered.store(true, Ordering::SeqCst);
            });
            std::thread::sleep(Duration::from_millis(50));
            assert!(!entered.load(Ordering::SeqCst));
            drop(frozen);
        });
        assert!(entered.load(Ordering::SeqCst));
    }
}
