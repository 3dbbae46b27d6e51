//! A sparse object: chunks of 64 KiB by their number; an absent chunk is zeros.
//!
//! Invariant: no byte at or past `size` is anything but zero, so that growing shows zeros.

use bytes::{Bytes, BytesMut};
use restblk_types::Extent;
use std::collections::BTreeMap;

const CHUNK_LEN: usize = 64 << 10;

/// An object of [`super::MemoryStore`].
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) size: u64,
    pub(super) tag: u64,
    /// Made whole, never to be changed in place.
    pub(super) whole: bool,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

/// The piece of a range that lies in one chunk.
struct Piece {
    chunk: u64,
    start: usize,
    len: usize,
    /// Where the piece begins within the range.
    at: usize,
}

fn pieces(range: Extent) -> impl Iterator<Item = Piece> {
    let chunk_len = CHUNK_LEN as u64;
    let mut offset = range.offset();
    std::iter::from_fn(move || {
        (offset < range.end()).then(|| {
            let start = offset % chunk_len;
            let len = (chunk_len - start).min(range.end() - offset);
            // Within a range held in memory and a chunk of 64 KiB.
            #[expect(
                clippy::cast_possible_truncation,
                reason = "bounded by the chunk and by the body in memory"
            )]
            let piece = Piece {
                chunk: offset / chunk_len,
                start: start as usize,
                len: len as usize,
                at: (offset - range.offset()) as usize,
            };
            offset += len;
            piece
        })
    })
}

impl Object {
    pub(super) fn of(body: &[u8], tag: u64) -> Self {
        let mut object = Self {
            tag,
            ..Self::default()
        };
        object.write(0, body);
        object
    }

    /// The range's end must not overflow.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let Some(range) = Extent::new(offset, data.len() as u64) else {
            return;
        };
        for piece in pieces(range) {
            let chunk = self
                .chunks
                .entry(piece.chunk)
                .or_insert_with(|| vec![0; CHUNK_LEN].into_boxed_slice());
            chunk[piece.start..piece.start + piece.len]
                .copy_from_slice(&data[piece.at..piece.at + piece.len]);
        }
        self.size = self.size.max(range.end());
    }

    /// The range must lie within the object.
    pub(super) fn read(&self, offset: u64, len: u64) -> Bytes {
        let Some(range) = Extent::new(offset, len) else {
            return Bytes::new();
        };
        let mut out = BytesMut::new();
        for piece in pieces(range) {
            match self.chunks.get(&piece.chunk) {
                Some(chunk) => out.extend_from_slice(&chunk[piece.start..piece.start + piece.len]),
                None => out.resize(out.len() + piece.len, 0),
            }
        }
        out.freeze()
    }

    pub(super) fn set_size(&mut self, size: u64) {
        if let Some(rest) = self.size.checked_sub(size).and_then(|len| Extent::new(size, len)) {
            self.zero(rest);
        }
        self.size = size;
    }

    pub(super) fn punch(&mut self, range: Extent) {
        let end = range.end().min(self.size);
        if let Some(range) = end
            .checked_sub(range.offset())
            .and_then(|len| Extent::new(range.offset(), len))
        {
            self.zero(range);
        }
    }

    fn zero(&mut self, range: Extent) {
        if range.is_empty() {
            return;
        }
        let chunk_len = CHUNK_LEN as u64;
        let (first, last) = (range.offset() / chunk_len, (range.end() - 1) / chunk_len);
        let touched: Vec<u64> = self
            .chunks
            .range(first..=last)
            .map(|(&number, _)| number)
            .collect();
        for number in touched {
            let base = number * chunk_len;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "both are at most a chunk's length"
            )]
            let (from, to) = (
                range.offset().saturating_sub(base).min(chunk_len) as usize,
                (range.end() - base).min(chunk_len) as usize,
            );
            if (from, to) == (0, CHUNK_LEN) {
                self.chunks.remove(&number);
            } else if let Some(chunk) = self.chunks.get_mut(&number) {
                chunk[from..to].fill(0);
            }
        }
    }

    pub(super) fn allocated_bytes(&self) -> u64 {
        (self.chunks.len() * CHUNK_LEN) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, len: u64) -> Extent {
        Extent::new(offset, len).unwrap()
    }

    #[test]
    fn a_terabyte_costs_what_was_written() {
        let mut object = Object::of(b"head", 1);
        object.set_size(1 << 40);
        object.write((1 << 40) - 4, b"tail");
        assert_eq!(object.allocated_bytes(), 2 * CHUNK_LEN as u64);
        assert_eq!(object.read((1 << 40) - 8, 8), &b"\0\0\0\0tail"[..]);
        object.punch(extent(0, 1 << 40));
        assert_eq!((object.allocated_bytes(), object.size), (0, 1 << 40));
    }

    #[test]
    fn shrinking_and_growing_shows_zeros() {
        let mut object = Object::of(&[7; 100_000], 1);
        object.set_size(70_000);
        object.set_size(100_000);
        let bytes = object.read(0, 100_000);
        assert!(bytes[..70_000].iter().all(|&b| b == 7) && bytes[70_000..].iter().all(|&b| b == 0));
    }
}
