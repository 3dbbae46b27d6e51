//! Buffers of requests, used again and again.
//!
//! A buffer is of one of a few sizes, zeroed once when it is made and never again: reads of a device and of a socket
//! overwrite the part that is used. Kept buffers are bounded in bytes; those in use are bounded by the budgets.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// Sizes in bytes, ascending; the last one is the longest request.
const SIZES: [usize; 8] = [
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    32 << 20,
];

/// Shelves of free buffers, shared by all connections of a server or of a kernel device.
#[derive(Debug)]
pub(crate) struct Pool {
    shelves: [Mutex<Vec<Vec<u8>>>; SIZES.len()],
    kept: AtomicUsize,
    kept_max: usize,
}

impl Pool {
    /// A pool that keeps at most `kept_max` bytes of free buffers.
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            shelves: std::array::from_fn(|_| Mutex::new(Vec::new())),
            kept: AtomicUsize::new(0),
            kept_max,
        }
    }

    /// The size of the buffer that a request of `len` bytes gets.
    pub(crate) fn size_for(len: usize) -> usize {
        SIZES.into_iter().find(|size| *size >= len).unwrap_or(len)
    }

    /// A buffer of [`Pool::size_for`] bytes with old data in it.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let free = self
            .shelf(len)
            .and_then(|shelf| shelf.lock().unwrap_or_else(PoisonError::into_inner).pop());
        match free {
            Some(bytes) => {
                self.kept.fetch_sub(bytes.len(), Ordering::Relaxed);
                bytes
            }
            None => vec![0; Self::size_for(len)],
        }
    }

    /// Takes a buffer back.
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        let Some(shelf) = self.shelf(bytes.len()) else {
            return;
        };
        if self.kept.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > self.kept_max {
            self.kept.fetch_sub(bytes.len(), Ordering::Relaxed);
            return;
        }
        shelf.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }

    fn shelf(&self, len: usize) -> Option<&Mutex<Vec<Vec<u8>>>> {
        SIZES
            .iter()
            .position(|size| *size >= len)
            .map(|at| &self.shelves[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_what_is_kept_is_bounded() {
        let pool = Pool::new(20 << 10);
        let (mut small, large) = (pool.take(1), pool.take(5000));
        assert_eq!((small.len(), large.len()), (4 << 10, 16 << 10));
        small[0] = 7;
        pool.put(small);
        pool.put(large);
        pool.put(vec![0; 4 << 10]);
        assert_eq!(pool.kept.load(Ordering::Relaxed), 20 << 10);
        assert_eq!(pool.take(4096)[0], 7);
    }
}
