//! Buffers of segments, used again: a new one of 8 MiB is two thousand pages that the kernel finds and clears.

use bytes::Bytes;
use restblk_format::log::SEGMENT_LEN_MAX;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept while no segment needs them: while many are uploaded, one that ends hands its own to the next.
const KEPT_MAX: usize = 1;
/// Bytes of a buffer: a segment, and where its last frame is packed.
const LEN: usize = SEGMENT_LEN_MAX + (64 << 10);

/// A stock of them.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Vec<Vec<u8>>>);

/// A segment whose buffer goes back to its stock by itself.
struct Lent(Vec<u8>, Arc<Spare>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        let mut kept = self.1.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() >= LEN && kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}

impl Spare {
    /// A buffer with room for a segment, and whatever bytes.
    pub(crate) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(LEN))
    }

    /// A segment's bytes, for as long as anybody needs them.
    pub(crate) fn lend(self: &Arc<Self>, segment: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent(segment, Arc::clone(self)))
    }
}
