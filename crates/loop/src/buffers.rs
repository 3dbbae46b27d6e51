//! Large buffers, kept for the next request.
//!
//! Every page of a buffer is touched when it is made: a process that is killed while the kernel copies a request
//! into it then loses none (the kernel drops a request whose copy has to wait for a page of a dying process).

use crate::wire::BUFFER_LEN;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept while no request needs them: 16 MiB a volume.
const KEPT_MAX: usize = 16;

/// A stock of buffers of [`BUFFER_LEN`] bytes. A clone is the same stock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer that goes back to its stock by itself.
#[derive(Debug)]
struct OnLoan(Vec<u8>, Buffers);

impl AsRef<[u8]> for OnLoan {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for OnLoan {
    fn drop(&mut self) {
        self.1.give(std::mem::take(&mut self.0));
    }
}

impl Buffers {
    /// A buffer with whatever bytes.
    pub(crate) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![1; BUFFER_LEN])
    }

    /// The buffer's bytes, for somebody else to keep as long as he needs them.
    pub(crate) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(OnLoan(buffer, self.clone()))
    }

    /// Keeps a buffer for later.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() == BUFFER_LEN && kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}
