//! Large buffers, kept for the next request.
//!
//! Every page of a buffer is touched when it is made: a process that is killed while the kernel copies a request
//! into it then loses none (the kernel drops a request whose copy has to wait for a page of a dying process).

use crate::wire::BUFFER_LEN;
use std::sync::{Mutex, PoisonError};

/// Buffers that are kept while no request needs them: 16 MiB a volume.
const KEPT_MAX: usize = 16;

/// A stock of buffers of [`BUFFER_LEN`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer with whatever bytes.
    pub(crate) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![1; BUFFER_LEN])
    }

    /// Keeps a buffer for later.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() == BUFFER_LEN && kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}
