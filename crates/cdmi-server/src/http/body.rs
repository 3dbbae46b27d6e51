//! Bodies: requests' are received with limits and time-outs, responses' are sent from the file in pieces.
//!
//! A response's piece is read when the connection can take it: from the kernel's cache at once, else on the blocking pool. If the
//! object shrinks meanwhile, the body ends in an error and the connection with it; it is never padded.

use super::Shared;
use super::pieces::{PIECE_BYTES, Pieces};
use super::route::Payload;
use crate::error::{Error, Result};
use crate::store::Entry;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// A response's body.
pub(super) enum Body {
    Empty,
    Full(Bytes),
    File(Box<FileBody>),
    /// Announces all of a body and sends only so many bytes of it. See `Quirks`.
    Cut(Box<Body>, u64),
}

/// A part of an object, with text around it, maybe in base64.
pub(super) struct FileBody {
    entry: Arc<Entry>,
    pieces: Arc<Pieces>,
    at: u64,
    end: u64,
    before: Bytes,
    after: Bytes,
    base64: bool,
    pending: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Body {
    /// The bytes from `at` to before `end`.
    pub(super) fn file(shared: &Shared, entry: Arc<Entry>, at: u64, end: u64) -> Self {
        Body::File(Box::new(FileBody {
            entry,
            pieces: shared.pieces.clone(),
            at,
            end,
            before: Bytes::new(),
            after: Bytes::new(),
            base64: false,
            pending: None,
        }))
    }

    /// The same in base64 between two texts.
    pub(super) fn file_base64(
        shared: &Shared,
        entry: Arc<Entry>,
        at: u64,
        end: u64,
        before: Bytes,
        after: Bytes,
    ) -> Self {
        Body::File(Box::new(FileBody {
            entry,
            pieces: shared.pieces.clone(),
            at,
            end,
            before,
            after,
            base64: true,
            pending: None,
        }))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Full(bytes) => bytes.len() as u64,
            Body::File(file) => file.length(),
            Body::Cut(inner, _) => inner.length(),
        }
    }
}

impl FileBody {
    fn length(&self) -> u64 {
        let value = self.end - self.at;
        let value = if self.base64 { value.div_ceil(3) * 4 } else { value };
        value + (self.before.len() + self.after.len()) as u64
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.before.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.before))));
        }
        if self.at == self.end && self.pending.is_none() {
            let after = std::mem::take(&mut self.after);
            return Poll::Ready((!after.is_empty()).then_some(Ok(after)));
        }
        let length = usize::try_from(self.end - self.at)
            .unwrap_or(usize::MAX)
            .min(PIECE_BYTES);
        let piece = match &mut self.pending {
            Some(pending) => {
                let piece = ready!(Pin::new(pending).poll(context))
                    .unwrap_or_else(|error| Err(io::Error::other(error)));
                self.pending = None;
                piece
            }
            None => {
                let mut buffer = self.pieces.take(length);
                if self.entry.read_cached(self.at, &mut buffer) {
                    Ok(buffer.freeze())
                } else {
                    let (entry, at) = (self.entry.clone(), self.at);
                    self.pending = Some(tokio::task::spawn_blocking(move || {
                        entry.read(at, &mut buffer).map(|()| buffer.freeze())
                    }));
                    return self.poll(context);
                }
            }
        };
        Poll::Ready(Some(piece.map(|piece| {
            self.at += piece.len() as u64;
            if self.base64 {
                Bytes::from(STANDARD.encode(&piece))
            } else {
                piece
            }
        })))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        match body {
            Body::Empty => Poll::Ready(None),
            Body::Full(_) => match std::mem::replace(body, Body::Empty) {
                Body::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Body::File(file) => file
                .poll(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
            Body::Cut(_, 0) => Poll::Ready(Some(Err(io::Error::other("the body is cut on purpose")))),
            Body::Cut(inner, left) => {
                let frame = ready!(Pin::new(inner.as_mut()).poll_frame(context));
                Poll::Ready(frame.map(|frame| {
                    frame.map(|frame| {
                        let mut bytes = frame.into_data().unwrap_or_default();
                        bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                        *left -= bytes.len() as u64;
                        Frame::data(bytes)
                    })
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

/// What `Content-Length` announces, if anything.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The next piece of a request's body; `None` at its end. A body shorter than announced is an error.
pub(super) async fn next_piece(shared: &Shared, body: &mut Incoming) -> Result<Option<Bytes>> {
    let timeout = Duration::from_millis(shared.config.limits.body_timeout_ms);
    loop {
        match tokio::time::timeout(timeout, body.frame()).await {
            Err(_) => return Err(Error::Timeout),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Error::Bad(format!("the body ended too early: {error}"))),
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Of the body of a request that is refused, at most so much is received.
fn patience(shared: &Shared) -> u64 {
    shared.config.limits.range_bytes_max.saturating_add(64 << 20)
}

/// Whether the request has a body that is to be heard out where it is refused. Whoever waits for "100 Continue" gets the answer instead.
pub(super) fn can_be_heard(shared: &Shared, headers: &HeaderMap, body: &Incoming) -> bool {
    !body.is_end_stream()
        && !headers.contains_key(header::EXPECT)
        && announced(headers).is_none_or(|length| length <= patience(shared))
}

/// Receives what is left of the body of a request that is refused, within reason. A connection with unread bytes is closed, and its peer,
/// still sending, often loses the answer by that.
pub(super) async fn hear_out(shared: &Shared, body: &mut Incoming) {
    let patience = patience(shared);
    let mut heard = 0;
    while heard <= patience
        && let Ok(Some(piece)) = next_piece(shared, body).await
    {
        heard += piece.len() as u64;
    }
}

/// A whole body in memory, and its part of the memory that bodies may take.
pub(super) struct Collected {
    pub(super) bytes: Bytes,
    _memory: OwnedSemaphorePermit,
}

/// Receives a whole body of at most `limit` bytes.
pub(super) async fn collect(
    shared: &Shared,
    headers: &HeaderMap,
    body: &mut Incoming,
    limit: u64,
) -> Result<Collected> {
    let announced = announced(headers);
    let too_large = || Error::TooLarge(format!("the body is over the limit of {limit} bytes"));
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let memory = shared.reserve_memory(announced.unwrap_or(limit)).await?;
    let Some(first) = next_piece(shared, body).await? else {
        return Ok(Collected {
            bytes: Bytes::new(),
            _memory: memory,
        });
    };
    if body.is_end_stream() && first.len() as u64 <= limit {
        return Ok(Collected {
            bytes: first,
            _memory: memory,
        });
    }
    let mut all = BytesMut::with_capacity(
        usize::try_from(announced.unwrap_or(0))
            .unwrap_or(0)
            .max(first.len()),
    );
    all.extend_from_slice(&first);
    while let Some(piece) = next_piece(shared, body).await? {
        if (all.len() + piece.len()) as u64 > limit {
            return Err(too_large());
        }
        all.extend_from_slice(&piece);
    }
    if all.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(Collected {
        bytes: all.freeze(),
        _memory: memory,
    })
}

/// The same for a body that may have been received already.
pub(super) async fn collect_payload(
    shared: &Shared,
    headers: &HeaderMap,
    body: Payload<'_>,
    limit: u64,
) -> Result<Collected> {
    match body {
        Payload::Incoming(body) => collect(shared, headers, body, limit).await,
        Payload::Collected(bytes) => Ok(Collected {
            bytes,
            _memory: shared.reserve_memory(0).await?,
        }),
    }
}

/// Requires that there is no body.
pub(super) async fn none(shared: &Shared, body: &mut Incoming) -> Result<()> {
    if body.is_end_stream() {
        return Ok(());
    }
    match next_piece(shared, body).await? {
        Some(bytes) if !bytes.is_empty() => Err(Error::bad("this request has no body")),
        _ => Ok(()),
    }
}
