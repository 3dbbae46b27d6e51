//! Exports that come, go and change while clients are there; sockets and who may use them.

use crate::{
    devices::{Probe, WAITS_AT},
    raw::{FLUSH, READ, info_bytes},
    serve::{Served, soon, until},
};
use restblk_block::{BlockDevice, MemoryDevice};
use restblk_nbd::{Exports, Limits, Server, Tls, UnixAccess};
use restblk_types::{BlockSize, ErrorKind};
use std::{
    os::unix::fs::PermissionsExt,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

#[tokio::test]
async fn an_export_in_use_is_removed_when_its_requests_are_done() {
    let device = Probe::plain(8 << 20);
    let served = Served::plain(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
    let (mut busy, mut idle) = (served.client(false).await, served.client(false).await);
    busy.request(READ, 0, 9, WAITS_AT, 512).await;
    until("the request to begin", || device.begun.load(SeqCst) == 1).await;
    assert_eq!(served.exports.list()[0].connections, 2);
    let removing = tokio::spawn({
        let exports = Arc::clone(&served.exports);
        async move { exports.remove("disk").await }
    });
    assert!(
        idle.is_over().await,
        "a client without requests is closed at once"
    );
    assert!(!removing.is_finished());
    let mut late = served.raw().await;
    assert_eq!(late.option_ends(7, &info_bytes("disk", &[])).await, (1 << 31) | 6);
    device.permits.add_permits(1);
    assert_eq!(busy.simple(512).await.error, 0, "what was in flight is answered");
    assert!(busy.is_over().await);
    soon(removing).await.unwrap().unwrap();
    served.exports.add("disk", "", memory(1 << 20)).unwrap();
    assert_eq!(served.client(false).await.errno(READ, 0, 0, 512).await, 0);
}

fn memory(size: usize) -> Arc<dyn BlockDevice> {
    Arc::new(MemoryDevice::new(size, BlockSize::B512))
}

#[tokio::test]
async fn new_connections_see_a_new_size_and_old_ones_may_use_it() {
    let device = Probe::plain(1 << 20);
    let served = Served::plain(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
    let mut old = served.client(false).await;
    assert_eq!(old.errno(READ, 0, 1 << 20, 512).await, 22);
    device.memory.resize(2 << 20);
    let facts = served.raw().await.option(6, &info_bytes("disk", &[])).await;
    assert_eq!(facts[0].1[2..10], (2u64 << 20).to_be_bytes());
    assert_eq!(old.errno(READ, 0, (2 << 20) - 512, 512).await, 0);
    device.memory.resize(1 << 20);
    assert_eq!(
        old.errno(READ, 0, 1 << 20, 512).await,
        22,
        "a shrunk device is safe too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_connection_wrote_and_flushed_the_others_read() {
    let served = Arc::new(Served::plain(memory(16 << 20)).await);
    let mut writers = Vec::new();
    for part in 0..4u8 {
        let served = Arc::clone(&served);
        writers.push(tokio::spawn(async move {
            let mut client = served.client(part % 2 == 1).await;
            for block in 0..64u64 {
                let offset = (block * 4 + u64::from(part)) * 16384;
                assert_eq!(client.write(0, offset, &[part * 64 + 1; 16384]).await, 0);
            }
            assert_eq!(client.errno(FLUSH, 0, 0, 0).await, 0);
        }));
    }
    for writer in writers {
        soon(writer).await.unwrap();
    }
    let mut reader = served.client(false).await;
    for block in 0..256u64 {
        reader.request(READ, 0, block, block * 16384, 16384).await;
        let part = u8::try_from(block % 4).unwrap();
        assert_eq!(reader.simple(16384).await.data, [part * 64 + 1; 16384]);
    }
}

#[tokio::test]
async fn sockets_have_permissions_and_replace_only_dead_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let server = Server::new(Exports::new(), Limits::default(), Tls::Off);
    let access = UnixAccess {
        mode: 0o660,
        group: None,
    };
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let first = server
        .listen_unix(&path, access)
        .await
        .expect("a dead process' socket is replaced");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    assert_eq!(
        server.listen_unix(&path, access).await.unwrap_err().kind(),
        ErrorKind::Busy
    );
    drop(first);
    assert!(!path.exists());
    let missing = folder.path().join("none/socket");
    assert_eq!(
        server.listen_unix(&missing, access).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );

    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listening) = server.listen_tcp(address.parse().unwrap()).await else {
            eprintln!("skipped: this host has no {address}");
            continue;
        };
        let bound = listening.tcp_addr().unwrap();
        assert_eq!(listening.uri(), format!("nbd://{bound}"));
        assert_eq!(
            server.listen_tcp(bound).await.unwrap_err().kind(),
            ErrorKind::Busy
        );
        soon(tokio::net::TcpStream::connect(bound)).await.unwrap();
    }
    until("the clients to be gone", || server.stats().connections == 0).await;
    tokio::time::timeout(Duration::from_secs(5), server.close())
        .await
        .unwrap();
}
