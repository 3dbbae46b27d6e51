//! Carrying bytes from one socket to another, as the mode has it.
//!
//! A reader and a writer for each direction, with a queue between, so that bytes that are on their way take their time
//! without holding up those behind them.
//!
//! Where a side has closed its connection while nothing passed, what was held is thrown away, in both directions: after a cable is mended
//! nobody sends again what belonged to a connection that is gone.

use crate::mode::Mode;
use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
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
    tokio::try_join!(
        one(&client, &server, mode.clone(), &rates.up, false),
        one(&server, &client, mode, &rates.down, true),
    )?;
    Ok(())
}

/// One direction.
async fn one(
    from: &TcpStream,
    to: &TcpStream,
    mode: watch::Receiver<Mode>,
    turn: &Turn,
    delayed: bool,
) -> io::Result<()> {
    let (queue, chunks) = mpsc::channel(QUEUE_LEN);
    tokio::try_join!(
        read(from, queue, mode.clone(), delayed),
        write(from, to, chunks, mode, turn)
    )?;
    Ok(())
}

/// Waits while nothing passes. An error where the side that the bytes come from is gone by then.
async fn not_hung(mode: &mut watch::Receiver<Mode>, from: &TcpStream) -> io::Result<Mode> {
    let now = *mode.borrow_and_update();
    if now != Mode::Hang {
        return Ok(now);
    }
    let now = mode.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode);
    let Ok(now) = now else {
        return std::future::pending().await;
    };
    if has_left(from)? {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(now)
}

fn has_left(side: &TcpStream) -> io::Result<bool> {
    let mut socket = [PollFd::new(side, PollFlags::RDHUP)];
    poll(&mut socket, Some(&Timespec::default()))?;
    let left = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    Ok(socket[0].revents().intersects(left))
}

async fn read(
    from: &TcpStream,
    queue: mpsc::Sender<(Instant, Bytes)>,
    mut mode: watch::Receiver<Mode>,
    delayed: bool,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK_LEN);
        from.readable().await?;
        let len = match from.try_read_buf(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        };
        let now = not_hung(&mut mode, from).await?;
        let due = Instant::now() + if delayed { now.delay() } else { Duration::ZERO };
        // An empty chunk is the end.
        if queue.send((due, buffer.split().freeze())).await.is_err() || len == 0 {
            return Ok(());
        }
    }
}

async fn write(
    from: &TcpStream,
    to: &TcpStream,
    mut chunks: mpsc::Receiver<(Instant, Bytes)>,
    mut mode: watch::Receiver<Mode>,
    turn: &Turn,
) -> io::Result<()> {
    while let Some((due, chunk)) = chunks.recv().await {
        sleep_until(due).await;
        if let Mode::Rate(rate) = not_hung(&mut mode, from).await? {
            turn.take(chunk.len(), rate).await;
        }
        if chunk.is_empty() {
            return socket2::SockRef::from(to).shutdown(Shutdown::Write);
        }
        write_all(to, &chunk).await?;
    }
    Ok(())
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}
