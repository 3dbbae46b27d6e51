//! An S3 server that keeps objects in memory and counts what it is asked, for benches of several programs on one store.
//!
//! ```text
//! restblk-bench-store --listen 127.0.0.1:9000
//! ```
//! It costs as little as a server can: one thread, no disk, no look at signatures, so that the two cores are left to what is
//! measured. Buckets are named by the path and need not be made. What it knows is what the clients of the benches
//! ask for: whole and ranged reads, conditional puts, uploads in parts, deletions, listings (version 2). A put is seen
//! whole or not at all, and of racing creates one wins: there is one thread.
//!
//! `GET /-/BUCKET` tells the [`counts::Counts`] of a bucket as JSON, `DELETE /-/BUCKET` forgets it and all that is in it.

mod answer;
mod bucket;
mod counts;
mod list;
mod read;
mod request;
mod upload;

use anyhow::{Context, Result};
use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// Bytes of a connection's buffer: a body of some MiB arrives in few pieces.
const BUFFER_LEN: usize = 1 << 20;

#[derive(Parser)]
struct Arguments {
    /// Where clients connect
    #[arg(long)]
    listen: SocketAddr,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(arguments.listen))
}

async fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    println!("http://{}", listener.local_addr()?);
    let buckets = Rc::new(RefCell::default());
    loop {
        let (client, _) = listener.accept().await.context("cannot accept")?;
        client.set_nodelay(true)?;
        let buckets = Rc::clone(&buckets);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer::answer(request, &buckets));
            // A connection's end is no matter of the server's.
            let _ = http1::Builder::new()
                .max_buf_size(BUFFER_LEN)
                .serve_connection(TokioIo::new(client), service)
                .await;
        });
    }
}
