//! The transmission phase of one connection: requests come, run side by side, and are answered as they finish.
//!
//! One task reads (through one buffer, so that a burst of small requests costs one system call), one task writes (all
//! replies that are ready in one vectored call). A request is polled once where it was read; only if it has to wait, and
//! another one comes meanwhile, does it become a task. Before a request's data is read, its memory is taken from the
//! connection's and the server's budget: whoever is over it is simply not read from.
//! Data are not copied here: a long read's pieces go to the socket as the device gave them, a write's buffer to the
//! device as the socket filled it.
//!
//! Invariants: a request that began is never cancelled, whatever becomes of the connection; every request that began
//! is answered (a panic answers EIO) unless the client is gone. The handshake, TLS and exports are not known here.

mod account;
mod check;
mod execute;
mod flags;
mod gate;
mod pool;
mod reader;
mod reply;
mod writer;

pub(crate) use account::{Account, Budget};
pub(crate) use flags::{block_sizes, for_client, for_kernel};
pub(crate) use gate::Gate;
pub(crate) use pool::Pool;

use reader::Reader;
use restblk_block::BlockDevice;
use std::{future::Future, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

/// The longest read or write, in bytes: what clients that ask for no limit assume (the protocol's default).
pub(crate) const REQUEST_BYTES_MAX: u32 = 32 << 20;

/// What was negotiated beyond the plain protocol.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spoken {
    /// Structured replies.
    pub(crate) structured: bool,
    /// That the client may ask which bytes hold data.
    pub(crate) allocation: bool,
}

/// What a connection serves, and within which bounds.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) device: Arc<dyn BlockDevice>,
    pub(crate) spoken: Spoken,
    pub(crate) account: Arc<Account>,
    /// Set for connections of the kernel, which may send a request again elsewhere.
    pub(crate) gate: Option<Arc<Gate>>,
    /// How long a client may take to send the rest of a request, or to take in any of a reply.
    pub(crate) stall: Option<Duration>,
}

/// Why no more requests are read.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said good-bye.
    Disconnect,
    /// The client closed the connection between two requests.
    Closed,
    /// We were told to stop.
    Stopped,
    /// The stream broke, stalled, or carried what is not the protocol.
    Broken(io::Error),
}

/// Serves until the client leaves, breaks the protocol, or `stop` is done. The second value, when awaited, waits for
/// the requests in flight, answers them as far as the client still listens, and closes the connection.
pub(crate) async fn serve<R, W>(
    read: R,
    write: W,
    session: Session,
    stop: impl Future<Output = ()>,
) -> (End, impl Future<Output = ()> + Send + 'static)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let session = Arc::new(session);
    let (replies, outgoing) = mpsc::unbounded_channel();
    let writer = tokio::spawn(writer::run(write, outgoing, session.stall));
    let mut reader = Reader::new(read, Arc::clone(&session), replies.clone());
    let end = tokio::select! {
        end = reader.run() => end,
        () = stop => End::Stopped,
        () = replies.closed() => End::Broken(io::ErrorKind::BrokenPipe.into()),
    };
    drop(reader);
    let drain = async move {
        session.account.idle().await;
        drop(replies);
        match writer.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a client went away before its last replies"),
            Err(error) => tracing::error!(%error, "the writer of a connection died"),
        }
    };
    (end, drain)
}
