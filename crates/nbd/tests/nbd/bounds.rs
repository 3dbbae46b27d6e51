//! What clients may take of the server, and what happens to those that want more.

use crate::{
    devices::{Probe, WAITS_AT},
    raw::{READ, WRITE, request_bytes},
    serve::{Served, soon, until},
};
use restblk_block::BlockDevice;
use restblk_nbd::{Limits, Tls};
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::UnixStream};

const MIB: u32 = 1 << 20;

async fn served(limits: Limits) -> (Arc<Probe>, Served) {
    let device = Probe::plain(64 << 20);
    let served = Served::new(Arc::clone(&device) as Arc<dyn BlockDevice>, limits, Tls::Off).await;
    (device, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_in_flight_are_bounded_per_connection_and_per_server() {
    let limits = Limits {
        connection_bytes: 32 << 20,
        server_bytes: 48 << 20,
        ..Limits::default()
    };
    let (device, served) = served(limits).await;
    let mut clients = [served.client(false).await, served.client(false).await];
    for client in &mut clients {
        for cookie in 0..40 {
            client.request(READ, 0, cookie, WAITS_AT, MIB).await;
        }
    }
    until("48 requests to begin", || device.begun.load(SeqCst) == 48).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(device.begun.load(SeqCst), 48);
    assert_eq!(served.server.stats().bytes_in_flight, 48 << 20);
    device.permits.add_permits(80);
    for client in &mut clients {
        for _ in 0..40 {
            assert_eq!(client.simple(MIB as usize).await.error, 0);
        }
    }
    until("the budget to be free", || {
        served.server.stats().bytes_in_flight == 0
    })
    .await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let (device, served) = served(Limits {
        requests_per_connection: 8,
        ..Limits::default()
    })
    .await;
    let mut client = served.client(false).await;
    for cookie in 0..20 {
        client.request(READ, 0, cookie, WAITS_AT, 512).await;
    }
    until("eight requests to begin", || device.begun.load(SeqCst) == 8).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(device.begun.load(SeqCst), 8);
    device.permits.add_permits(20);
    for _ in 0..20 {
        assert_eq!(client.simple(512).await.error, 0);
    }
}

#[tokio::test]
async fn clients_that_stall_lose_their_connection_and_their_memory() {
    let limits = Limits {
        stall: Some(Duration::from_millis(300)),
        ..Limits::default()
    };
    let (_, served) = served(limits).await;
    // takes no reply
    let mut deaf = served.client(false).await;
    for cookie in 0..4 {
        deaf.request(READ, 0, cookie, 0, 3 * MIB).await;
    }
    // sends half a write
    let mut slow = served.client(false).await;
    slow.send(&request_bytes(WRITE, 0, 1, 0, MIB)).await;
    // sends half a header
    let mut slower = served.client(false).await;
    slower.send(&request_bytes(WRITE, 0, 1, 0, MIB)[..10]).await;
    until("both to be dropped", || served.server.stats().connections == 0).await;
    assert_eq!(served.server.stats().bytes_in_flight, 0);
    // while a client that says nothing stays
    let mut idle = served.client(false).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(idle.errno(READ, 0, 0, 512).await, 0);
}

#[tokio::test]
async fn a_handshake_has_a_time_limit_and_connections_a_number() {
    let limits = Limits {
        handshake: Duration::from_millis(300),
        connections: 2,
        ..Limits::default()
    };
    let (_, served) = served(limits).await;
    let mut client = served.client(false).await;
    let mut silent = UnixStream::connect(&served.socket).await.unwrap();
    soon(silent.read_exact(&mut [0; 18])).await.unwrap();
    let mut third = UnixStream::connect(&served.socket).await.unwrap();
    assert_eq!(
        soon(third.read(&mut [0; 18])).await.unwrap(),
        0,
        "the server is full"
    );
    assert_eq!(
        soon(silent.read(&mut [0; 18])).await.unwrap(),
        0,
        "the handshake took too long"
    );
    until("its place", || served.server.stats().connections == 1).await;
    assert_eq!(client.errno(READ, 0, 0, 512).await, 0);
    assert_eq!(served.client(false).await.errno(READ, 0, 0, 512).await, 0);
}

#[tokio::test]
async fn closing_lets_requests_finish() {
    let (device, served) = served(Limits::default()).await;
    let mut client = served.client(false).await;
    client.request(READ, 0, 5, WAITS_AT, 512).await;
    until("the request to begin", || device.begun.load(SeqCst) == 1).await;
    let server = served.server.clone();
    let closing = tokio::spawn(async move { server.close().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!closing.is_finished());
    device.permits.add_permits(1);
    assert_eq!(client.simple(512).await.cookie, 5);
    soon(closing).await.unwrap();
    assert!(client.is_over().await);
}
