//! Folders that are there, as far as was seen: a large body goes into no other.
//!
//! A server may refuse a body whose folder is missing without reading it, and close the connection. Who is still sending then seldom learns
//! why: the kernel drops what was received with the broken connection. Asking for the folder first costs one small request for each new
//! folder, and less than a body that is sent twice.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// What servers and sockets take of a body before anybody has to wait, at least.
pub(crate) const LARGE_BODY_LEN: usize = 64 << 10;
const KNOWN_MAX: usize = 1024;

/// Paths of folders, as the protocol writes them.
#[derive(Debug, Default)]
pub(crate) struct Folders(Mutex<HashSet<String>>);

impl Folders {
    /// Whether the folder should be made before a body of this length is sent into it.
    pub(crate) fn comes_first(&self, path: &str, body_len: usize) -> bool {
        body_len >= LARGE_BODY_LEN
            && !self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(path)
    }

    /// The folder is there. One that is removed later is made again when the server says that it is missing.
    pub(crate) fn seen(&self, path: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(path.to_owned());
    }
}
