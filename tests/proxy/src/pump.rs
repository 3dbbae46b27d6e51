//! Carrying bytes from one socket to another, as the mode has it.
//!
//! A reader and a writer for each direction, with a queue between, so that bytes that are on their way take their time
//! without holding up those behind them.

use crate::mode::Mode;
use bytes::{Bytes, BytesMut};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Bytes read at a time.
const CHUNK_LEN: usize = 128 << 10;
/// Chunks on their way.
const QUEUE_LEN: usize = 64;

/// When the next byte may pass, in each direction, over all connections.
#[derive(Default)]
pub(crate) struct Rates {
    up: Turn,
    down: Turn,
}

#[derive(Default)]
struct Turn(Mutex<Option<Instant>>);

impl Turn {
    /// Waits for the turn of so many bytes.
    async fn take(&self, len: usize, rate: u64) {
        let cost = Duration::from_nanos((len as u64).saturating_mul(1_000_000_000) / rate);
        let until = {
            let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = next.map_or_else(Instant::now, |next| next.max(Instant::now())) + cost;
            *next = Some(until);
            until
        };
        sleep_until(until).await;
    }
}

/// Carries until both directions have ended, or one has failed.
pub(crate) async fn both(
    client: TcpStream,
    server: TcpStream,
    mode: watch::Receiver<Mode>,
    rates: Arc<Rates>,
) -> io::Result<()> {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        one(from_client, to_server, mode.clone(), &rates.up, false),
        one(from_server, to_client, mode, &rates.down, true),
    )?;
    Ok(())
}

/// One direction.
async fn one(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    mode: watch::Receiver<Mode>,
    turn: &Turn,
    delayed: bool,
) -> io::Result<()> {
    let (queue, chunks) = mpsc::channel(QUEUE_LEN);
    tokio::try_join!(
        read(from, queue, mode.clone(), delayed),
        write(to, chunks, mode, turn)
    )?;
    Ok(())
}

/// Waits while nothing passes.
async fn not_hung(mode: &mut watch::Receiver<Mode>) -> Mode {
    let now = mode.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode);
    match now {
        Ok(mode) => mode,
        Err(_) => std::future::pending().await,
    }
}

async fn read(
    mut from: OwnedReadHalf,
    queue: mpsc::Sender<(Instant, Bytes)>,
    mut mode: watch::Receiver<Mode>,
    delayed: bool,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK_LEN);
        let len = from.read_buf(&mut buffer).await?;
        let now = not_hung(&mut mode).await;
        let due = Instant::now() + if delayed { now.delay() } else { Duration::ZERO };
        // An empty chunk is the end.
        if queue.send((due, buffer.split().freeze())).await.is_err() || len == 0 {
            return Ok(());
        }
    }
}

async fn write(
    mut to: OwnedWriteHalf,
    mut chunks: mpsc::Receiver<(Instant, Bytes)>,
    mut mode: watch::Receiver<Mode>,
    turn: &Turn,
) -> io::Result<()> {
    while let Some((due, chunk)) = chunks.recv().await {
        sleep_until(due).await;
        if let Mode::Rate(rate) = not_hung(&mut mode).await {
            turn.take(chunk.len(), rate).await;
        }
        if chunk.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&chunk).await?;
    }
    Ok(())
}
