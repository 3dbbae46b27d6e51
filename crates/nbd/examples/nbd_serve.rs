//! Serves memory or a file as an NBD export on a Unix socket, to be measured or tried with any client.
//!
//! `nbd_serve SOCKET (memory:BYTES | FILE)` prints the URI and serves until it is killed.

#[path = "support/file.rs"]
mod file;

use restblk_block::{BlockDevice, MemoryDevice};
use restblk_nbd::{Exports, Limits, Server, Tls, UnixAccess};
use restblk_types::BlockSize;
use std::{error::Error, path::Path, sync::Arc};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [socket, volume] = arguments.as_slice() else {
        return Err("usage: nbd_serve SOCKET (memory:BYTES | FILE)".into());
    };
    let device: Arc<dyn BlockDevice> = match volume.strip_prefix("memory:") {
        Some(bytes) => Arc::new(MemoryDevice::new(bytes.parse()?, BlockSize::B512)),
        None => Arc::new(file::FileDevice::open(Path::new(volume))?),
    };
    let exports = Exports::new();
    exports.add("volume", "an example", device)?;
    let server = Server::new(exports, Limits::default(), Tls::Off);
    let listening = server
        .listen_unix(Path::new(socket), UnixAccess::default())
        .await?;
    println!("{}", listening.uri());
    std::future::pending::<()>().await;
    Ok(())
}
