//! Writes replies, all that are ready at once.

use super::reply::Reply;
use std::{
    future::Future,
    io::{self, IoSlice},
    time::Duration,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::mpsc::UnboundedReceiver,
    time::timeout,
};

/// Replies per system call. A head, and a body in one piece or several: the kernel takes up to 1024 of them, the standard
/// library cuts off what is more.
const BATCH: usize = 64;

/// Writes until every sender is gone, then closes the stream; or until the client fails or stalls.
pub(super) async fn run<W: AsyncWrite + Unpin>(
    mut output: W,
    mut replies: UnboundedReceiver<Reply>,
    stall: Option<Duration>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while replies.recv_many(&mut batch, BATCH).await > 0 {
        write_all(&mut output, &batch, stall).await?;
        batch.clear();
        // Of use to TLS alone; a socket has nothing to flush.
        within(stall, output.flush()).await?;
    }
    within(stall, output.shutdown()).await
}

/// The future's result, or a time-out.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match limit {
        None => future.await,
        Some(limit) => timeout(limit, future)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

async fn write_all<W: AsyncWrite + Unpin>(
    output: &mut W,
    batch: &[Reply],
    stall: Option<Duration>,
) -> io::Result<()> {
    let mut slices: Vec<_> = batch.iter().flat_map(Reply::parts).map(IoSlice::new).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = within(stall, output.write_vectored(left)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}
