//! Buffers for the pieces of responses' bodies, used again and again.
//!
//! A fresh buffer costs the kernel a page fault and a zeroed page for every 4 KiB, and malloc gives its memory back as soon
//! as it is free: together nearly half of the time that a read took. What is kept is bounded; a piece beyond that is freed.

use bytes::Bytes;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of one piece: a multiple of 3, so that pieces in base64 join, and of the page size, so that reads stay aligned.
pub(super) const PIECE_BYTES: usize = 120 << 10;
/// Pieces that are kept while nobody needs them: 7.5 MiB.
const KEPT_MAX: usize = 64;

/// The stock of one server.
#[derive(Debug, Default)]
pub(super) struct Pieces(Mutex<Vec<Box<[u8]>>>);

/// A buffer on loan from the stock. There are old bytes in it.
#[derive(Debug)]
pub(super) struct Piece {
    buffer: Box<[u8]>,
    length: usize,
    stock: Arc<Pieces>,
}

impl Pieces {
    /// A buffer for `length` bytes, at most [`PIECE_BYTES`].
    pub(super) fn take(self: &Arc<Self>, length: usize) -> Piece {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Piece {
            buffer: kept.unwrap_or_else(|| vec![0; PIECE_BYTES].into()),
            length: length.min(PIECE_BYTES),
            stock: self.clone(),
        }
    }
}

impl Piece {
    /// The bytes, for a body; the buffer goes back once the last of them is sent.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Deref for Piece {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut kept = self.stock.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_of_its_bytes_goes() {
        let stock = Arc::new(Pieces::default());
        let kept = || stock.0.lock().unwrap().len();
        let mut piece = stock.take(5);
        piece.copy_from_slice(b"hello");
        let bytes = piece.freeze();
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!((&part[..], kept()), (&b"el"[..], 0));
        drop(part);
        assert_eq!(kept(), 1);
        assert_eq!(stock.take(3).as_ref(), b"hel");
        drop((0..2 * KEPT_MAX).map(|_| stock.take(1)).collect::<Vec<_>>());
        assert_eq!(kept(), KEPT_MAX);
    }
}
