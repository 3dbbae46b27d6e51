//! Takes the second space out of `GET  /c/ HTTP/1.1`, which the driver of 2014 sends when it lists.
//!
//! A filter on the bytes of a connection, used in the mode `srb` only. It follows the requests on the connection by their heads and
//! `Content-Length`, so that the bytes of a body are never touched; after a head that it cannot follow (chunked, or
//! over [`HEAD_BYTES_MAX`]) it passes everything on as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEAD_BYTES_MAX: usize = 64 << 10;

/// A connection whose request lines are mended.
pub(crate) struct RequestLines<T> {
    inner: T,
    mender: Mender,
    /// Mended bytes that are not yet read.
    ready: Vec<u8>,
    taken: usize,
}

impl<T> RequestLines<T> {
    pub(crate) fn new(inner: T) -> Self {
        RequestLines {
            inner,
            mender: Mender::Head(Vec::new()),
            ready: Vec::new(),
            taken: 0,
        }
    }
}

enum Mender {
    /// Gathering a request's head.
    Head(Vec<u8>),
    /// In a body, so many bytes before its end.
    Body(u64),
    /// Cannot follow any more.
    Lost,
}

impl Mender {
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match self {
                Mender::Lost => {
                    out.extend_from_slice(bytes);
                    return;
                }
                Mender::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    out.extend_from_slice(&bytes[..here]);
                    bytes = &bytes[here..];
                    *left -= here as u64;
                    if *left == 0 {
                        *self = Mender::Head(Vec::new());
                    }
                }
                Mender::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let search = before.saturating_sub(3);
                    let Some(at) = head[search..].windows(4).position(|window| window == b"\r\n\r\n") else {
                        if head.len() > HEAD_BYTES_MAX {
                            out.append(head);
                            *self = Mender::Lost;
                        }
                        return;
                    };
                    let end = search + at + 4;
                    bytes = &bytes[end - before..];
                    head.truncate(end);
                    let next = match body_length(head) {
                        Some(0) => Mender::Head(Vec::new()),
                        Some(length) => Mender::Body(length),
                        None => Mender::Lost,
                    };
                    mend(head, out);
                    *self = next;
                }
            }
        }
    }
}

fn mend(head: &[u8], out: &mut Vec<u8>) {
    let line_end = head.iter().position(|byte| *byte == b'\r').unwrap_or(head.len());
    let mut last_space = false;
    for byte in &head[..line_end] {
        let space = *byte == b' ';
        if !(space && last_space) {
            out.push(*byte);
        }
        last_space = space;
    }
    out.extend_from_slice(&head[line_end..]);
}

fn body_length(head: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(head).ok()?;
    let mut length = 0;
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("transfer-encoding") || name.eq_ignore_ascii_case("upgrade") {
            return None;
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    Some(length)
}

impl<T: AsyncRead + Unpin> AsyncRead for RequestLines<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.taken == this.ready.len() {
            this.ready.clear();
            this.taken = 0;
            let mut chunk = [0; 16 << 10];
            let mut raw = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut raw))?;
            if raw.filled().is_empty() {
                // The end: a head that was never finished goes on as it is, to be refused.
                if let Mender::Head(head) = &mut this.mender
                    && !head.is_empty()
                {
                    this.ready.append(head);
                    break;
                }
                return Poll::Ready(Ok(()));
            }
            this.mender.take(raw.filled(), &mut this.ready);
        }
        let length = buffer.remaining().min(this.ready.len() - this.taken);
        buffer.put_slice(&this.ready[this.taken..this.taken + length]);
        this.taken += length;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for RequestLines<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_request_lines_are_mended_however_the_bytes_come() {
        let sent = b"GET  /c/ HTTP/1.1\r\nHost: a  b\r\n\r\nPUT /v HTTP/1.1\r\nContent-Length: 27\r\n\r\nGET  /body  HTTP/1.1\r\n\r\n  xGET  / HTTP/1.1\r\n\r\n";
        let wanted = b"GET /c/ HTTP/1.1\r\nHost: a  b\r\n\r\nPUT /v HTTP/1.1\r\nContent-Length: 27\r\n\r\nGET  /body  HTTP/1.1\r\n\r\n  xGET / HTTP/1.1\r\n\r\n";
        for step in 1..sent.len() {
            let (mut mender, mut out) = (Mender::Head(Vec::new()), Vec::new());
            for chunk in sent.chunks(step) {
                mender.take(chunk, &mut out);
            }
            assert_eq!(out, wanted, "in steps of {step}");
        }
    }
}
