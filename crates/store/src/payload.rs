//! Bytes as they came from the wire: a few buffers, not joined until somebody needs them so.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// The body of an object or of a range of it.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    parts: Vec<Bytes>,
    len: usize,
}

impl Payload {
    /// Adds bytes at the end.
    pub fn push(&mut self, part: Bytes) {
        self.len += part.len();
        self.parts.push(part);
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, piece by piece.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter()
    }

    /// Fills `buf`, whose length must be [`Payload::len`]; false (and nothing done) where it is not.
    #[must_use]
    pub fn copy_to(&self, buf: &mut [u8]) -> bool {
        if buf.len() != self.len {
            return false;
        }
        let mut rest = buf;
        for part in &self.parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        true
    }

    /// The buffers, in order.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The bytes of a range in one piece, free where one buffer has them all; `None` where they do not reach so far.
    #[must_use]
    pub fn range(&self, range: Range<usize>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.len {
            return None;
        }
        let (mut start, mut left) = (range.start, range.len());
        let mut joined = BytesMut::new();
        for part in &self.parts {
            if start >= part.len() {
                start -= part.len();
                continue;
            }
            let here = part.slice(start..part.len().min(start + left));
            if joined.is_empty() && here.len() == left {
                return Some(here);
            }
            joined.reserve(left);
            joined.extend_from_slice(&here);
            (start, left) = (0, left - here.len());
            if left == 0 {
                break;
            }
        }
        Some(joined.freeze())
    }

    /// The bytes in one piece: free where there was one part.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        match self.parts.len() {
            0 => Bytes::new(),
            1 => self.parts.swap_remove(0),
            _ => {
                let mut joined = BytesMut::with_capacity(self.len);
                self.parts.iter().for_each(|part| joined.extend_from_slice(part));
                joined.freeze()
            }
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let mut payload = Self::default();
        payload.push(bytes);
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_in_order() {
        let mut payload = Payload::from(Bytes::from_static(b"ab"));
        payload.push(Bytes::from_static(b"cde"));
        let mut buf = [0; 5];
        assert!(payload.copy_to(&mut buf));
        assert_eq!(&buf, b"abcde");
        assert!(!payload.copy_to(&mut [0; 4]));
        for (range, bytes) in [
            (0..5, "abcde"),
            (0..2, "ab"),
            (1..3, "bc"),
            (3..5, "de"),
            (5..5, ""),
            (1..5, "bcde"),
        ] {
            assert_eq!(payload.range(range).unwrap(), bytes);
        }
        assert!(payload.range(3..6).is_none());
        assert_eq!(payload.into_bytes(), "abcde");
    }
}
