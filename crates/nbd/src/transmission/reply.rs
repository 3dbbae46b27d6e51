//! The duty to answer a request, and the answer on its way to the writer.

use super::{account::Slot, check::Refusal, execute::Data};
use crate::proto::{Head, errno};
use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

/// The longest message of an error in bytes, the protocol's limit for strings.
const MESSAGE_MAX: usize = 4096;

/// An answer; dropping it gives back the request's memory and its place among those in flight.
#[derive(Debug)]
pub(crate) struct Reply {
    head: Head,
    body: Body,
    _slot: Slot,
}

/// What follows the head.
#[derive(Debug)]
enum Body {
    None,
    Data(Data),
    Message(String),
    Descriptors(Vec<u8>),
}

impl Reply {
    /// Everything to be sent, in order; none of it is empty.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let (one, more): (&[u8], &[Bytes]) = match &self.body {
            Body::None => (&[], &[]),
            Body::Data(Data::Buffer(buffer)) => (buffer.as_ref(), &[]),
            Body::Data(Data::Pieces { pieces, .. }) => (&[], pieces),
            Body::Message(text) => (text.as_bytes(), &[]),
            Body::Descriptors(bytes) => (bytes, &[]),
        };
        [self.head.as_bytes(), one]
            .into_iter()
            .chain(more.iter().map(Bytes::as_ref))
            .filter(|part| !part.is_empty())
    }
}

/// A request that must be answered. One that is dropped (its task panicked) answers EIO.
#[derive(Debug)]
pub(crate) struct Ticket {
    cookie: u64,
    /// The reply must be structured, or its error may be.
    structured: bool,
    replies: UnboundedSender<Reply>,
    slot: Option<Slot>,
}

impl Ticket {
    pub(crate) fn new(cookie: u64, structured: bool, replies: UnboundedSender<Reply>, slot: Slot) -> Self {
        Self {
            cookie,
            structured,
            replies,
            slot: Some(slot),
        }
    }

    /// Success without data.
    pub(crate) fn done(mut self) {
        self.send(Head::simple(self.cookie, 0), Body::None);
    }

    /// Success of a read of no bytes, which must not be a simple reply where structured ones were negotiated.
    pub(crate) fn nothing(mut self) {
        let head = if self.structured {
            Head::none(self.cookie)
        } else {
            Head::simple(self.cookie, 0)
        };
        self.send(head, Body::None);
    }

    /// Success of a read of `len` bytes from `offset`.
    pub(crate) fn data(mut self, offset: u64, len: u32, data: Data) {
        let head = if self.structured {
            Head::data(self.cookie, offset, len)
        } else {
            Head::simple(self.cookie, 0)
        };
        self.send(head, Body::Data(data));
    }

    /// Which bytes hold data; only for clients that take structured replies.
    pub(crate) fn allocation(mut self, descriptors: Vec<u8>) {
        let len = u32::try_from(descriptors.len()).unwrap_or(u32::MAX);
        self.send(Head::allocation(self.cookie, len), Body::Descriptors(descriptors));
    }

    /// Failure; the message goes to clients that take structured replies.
    pub(crate) fn fail(mut self, refusal: Refusal) {
        self.send_error(refusal);
    }

    fn send_error(&mut self, refusal: Refusal) {
        if !self.structured {
            return self.send(Head::simple(self.cookie, refusal.errno), Body::None);
        }
        let mut message = refusal.message;
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        let len = u16::try_from(message.len()).unwrap_or_default();
        self.send(
            Head::error(self.cookie, refusal.errno, len),
            Body::Message(message),
        );
    }

    fn send(&mut self, head: Head, body: Body) {
        if let Some(slot) = self.slot.take() {
            // A writer that is gone means a client that is gone: nobody waits for the answer.
            let _ = self.replies.send(Reply {
                head,
                body,
                _slot: slot,
            });
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.slot.is_some() {
            let message = "the request was given up by the server; its log says why".to_owned();
            self.send_error(Refusal {
                errno: errno::EIO,
                message,
            });
        }
    }
}
