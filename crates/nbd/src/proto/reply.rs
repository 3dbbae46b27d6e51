//! The head of a reply: everything of it but the data.

use super::{MAGIC_SIMPLE_REPLY, MAGIC_STRUCTURED_REPLY, allocation};

/// Flag of a chunk: the last one of its reply.
const DONE: u16 = 1;
const TYPE_NONE: u16 = 0;
const TYPE_OFFSET_DATA: u16 = 1;
const TYPE_BLOCK_STATUS: u16 = 5;
const TYPE_ERROR: u16 = (1 << 15) | 1;

/// The longest head: a chunk header and an offset.
const HEAD_MAX: usize = 28;

/// A reply's bytes before its data or message, kept inline so that a reply costs no allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    bytes: [u8; HEAD_MAX],
    len: usize,
}

impl Head {
    /// A simple reply; data follows it where it answers a read without error.
    pub(crate) fn simple(cookie: u64, error: u32) -> Self {
        let mut head = Self {
            bytes: [0; HEAD_MAX],
            len: 0,
        };
        head.put(&MAGIC_SIMPLE_REPLY.to_be_bytes());
        head.put(&error.to_be_bytes());
        head.put(&cookie.to_be_bytes());
        head
    }

    /// The only chunk of a structured reply to a read: `len` bytes from `offset` follow.
    pub(crate) fn data(cookie: u64, offset: u64, len: u32) -> Self {
        let mut head = Self::chunk(TYPE_OFFSET_DATA, cookie, len.saturating_add(8));
        head.put(&offset.to_be_bytes());
        head
    }

    /// The only chunk of a reply that tells of allocation: `len` bytes of descriptors follow.
    pub(crate) fn allocation(cookie: u64, len: u32) -> Self {
        let mut head = Self::chunk(TYPE_BLOCK_STATUS, cookie, len.saturating_add(4));
        head.put(&allocation::ID.to_be_bytes());
        head
    }

    /// A structured reply that says success and nothing else.
    pub(crate) fn none(cookie: u64) -> Self {
        Self::chunk(TYPE_NONE, cookie, 0)
    }

    /// The only chunk of a structured reply that is an error: `message_len` bytes of text follow.
    pub(crate) fn error(cookie: u64, error: u32, message_len: u16) -> Self {
        let mut head = Self::chunk(TYPE_ERROR, cookie, u32::from(message_len) + 6);
        head.put(&error.to_be_bytes());
        head.put(&message_len.to_be_bytes());
        head
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn chunk(kind: u16, cookie: u64, len: u32) -> Self {
        let mut head = Self {
            bytes: [0; HEAD_MAX],
            len: 0,
        };
        head.put(&MAGIC_STRUCTURED_REPLY.to_be_bytes());
        head.put(&DONE.to_be_bytes());
        head.put(&kind.to_be_bytes());
        head.put(&cookie.to_be_bytes());
        head.put(&len.to_be_bytes());
        head
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_the_lengths_of_the_protocol() {
        assert_eq!(
            Head::simple(1, 0).as_bytes(),
            b"\x67\x44\x66\x98\0\0\0\0\0\0\0\0\0\0\0\x01"
        );
        let data = Head::data(0x0102, 0x10, 0x20);
        assert_eq!(data.as_bytes().len(), 28);
        assert_eq!(&data.as_bytes()[..8], b"\x66\x8e\x33\xef\0\x01\0\x01");
        assert_eq!(&data.as_bytes()[16..20], &0x28u32.to_be_bytes());
        let error = Head::error(1, 22, 5);
        assert_eq!(&error.as_bytes()[6..8], b"\x80\x01");
        assert_eq!(&error.as_bytes()[16..], b"\0\0\0\x0b\0\0\0\x16\0\x05");
    }
}
