//! A TCP proxy that fails on command, between a client and a server under test: it hangs, slows, limits, refuses, answers 503.
//!
//! ```text
//! restblk-fault-proxy --listen 127.0.0.1:8081 --to 127.0.0.1:8080 --control FILE
//! ```
//! FILE holds one line, and whoever runs a test writes another one into it; it is looked at every few milliseconds:
//!
//! | line | what happens |
//! |---|---|
//! | `pass` | bytes pass |
//! | `hang` | no byte passes, and nobody is told: as where a cable is cut. Afterwards what was held passes, if its connection is there yet |
//! | `delay MS` | answers arrive so much later |
//! | `rate BYTES` | so many bytes a second pass in each direction, over all connections |
//! | `refuse` | nobody listens, and what was open is reset |
//! | `status CODE [SECONDS]` | each request is answered with this status, and perhaps `Retry-After`; the server sees none |
//!
//! It knows enough of HTTP/1.1 to find the end of a request with `Content-Length`, and only for `status`.

mod mode;
mod pump;
mod refusal;

use anyhow::{Context, Result};
use clap::Parser;
use mode::Mode;
use pump::Rates;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Parser)]
struct Arguments {
    /// Where clients connect
    #[arg(long)]
    listen: SocketAddr,
    /// The server
    #[arg(long)]
    to: SocketAddr,
    /// The file with the line that says what to do
    #[arg(long)]
    control: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut mode = mode::follow(arguments.control);
    let rates = Arc::new(Rates::default());
    let mut connections = JoinSet::new();
    loop {
        let now = *mode.borrow_and_update();
        // What is open would else go on as before: a connection between two requests, or one that answers by a status.
        connections.shutdown().await;
        if now == Mode::Refuse {
            mode.changed().await?;
            continue;
        }
        let listener = listen(arguments.listen)?;
        println!("{now:?} on {}", arguments.listen);
        serve(&listener, arguments.to, &mut mode, &rates, &mut connections).await?;
    }
}

/// Takes connections until nobody is to listen, or until what is open has to be closed.
async fn serve(
    listener: &TcpListener,
    to: SocketAddr,
    mode: &mut watch::Receiver<Mode>,
    rates: &Arc<Rates>,
    connections: &mut JoinSet<()>,
) -> Result<()> {
    let carries = mode.borrow().carries();
    loop {
        tokio::select! {
            changed = mode.changed() => {
                changed?;
                if mode.borrow().carries() != carries {
                    return Ok(());
                }
            }
            accepted = listener.accept() => {
                let (client, _) = accepted.context("cannot accept")?;
                let (mode, rates) = (mode.clone(), Arc::clone(rates));
                connections.spawn(async move {
                    // A connection's end is no matter of the proxy's.
                    let _ = carry(client, to, mode, rates).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(
    client: TcpStream,
    to: SocketAddr,
    mode: watch::Receiver<Mode>,
    rates: Arc<Rates>,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let now = *mode.borrow();
    if let Mode::Status { code, retry_after_s } = now {
        return refusal::answer(client, code, retry_after_s).await;
    }
    let server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    pump::both(client, server, mode, rates).await
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket
        .bind(address)
        .with_context(|| format!("cannot listen on {address}"))?;
    Ok(socket.listen(1024)?)
}
