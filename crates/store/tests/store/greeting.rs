//! Another repository behind a mirror's name, over real connections: it is sent nothing but the look at its marker.

use crate::malice::{Malicious, read_request_and_body};
use crate::mirrors::Proxy;
use crate::server::TestServer;
use bytes::Bytes;
use restblk_store::{
    CdmiStore, Dialect, HttpClient, Key, Marker, MemoryStore, MirrorOptions, MirrorState, Mirrored,
    Precondition, RetryPolicy, Store,
};
use restblk_types::Extent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

const BLOCK: u64 = 512;

fn key() -> Key {
    Key::new("vol").unwrap()
}

fn marker() -> Key {
    Key::new("marker").unwrap()
}

fn watch(store: &Mirrored) {
    store.watch(Marker {
        key: marker(),
        is_ours: Arc::new(|bytes| bytes == b"ours"),
    });
}

/// A server of a repository with this marker and a volume of these bytes.
async fn repository(name: &'static str, fill: u8, blocks: usize) -> TestServer {
    let server = TestServer::new(Dialect::Cdmi2).await;
    let store = server.store(Dialect::Cdmi2).await;
    let volume = Bytes::from(vec![fill; blocks * 512]);
    for (key, body) in [(marker(), Bytes::from_static(name.as_bytes())), (key(), volume)] {
        store.put(&key, body, Precondition::Always).await.unwrap();
    }
    server
}

fn client(url: &str, connections_max: usize) -> Arc<dyn Store> {
    let mut config = crate::server::config(url);
    config.connections_max = connections_max;
    let http = Arc::new(HttpClient::new(&config, url).unwrap());
    Arc::new(CdmiStore::pinned(
        http,
        Dialect::Cdmi2,
        MemoryStore::new().capabilities(),
    ))
}

fn mirrored(urls: &[&str], connections_max: usize) -> Arc<Mirrored> {
    let mirrors = urls
        .iter()
        .map(|url| ((*url).to_owned(), client(url, connections_max)));
    Arc::new(Mirrored::new(mirrors, RetryPolicy::default()).unwrap())
}

/// Writes to one block each, and reads it back, until it is told to stop; how many rounds each did.
fn load(store: &Arc<Mirrored>, stop: &Arc<AtomicBool>, writers: u64) -> Vec<tokio::task::JoinHandle<u64>> {
    let write = |writer: u64| {
        let (store, stop) = (Arc::clone(store), Arc::clone(stop));
        async move {
            let mut rounds = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                rounds += 1;
                let data = Bytes::from(vec![u8::try_from(1 + rounds % 200).unwrap(); 512]);
                store
                    .write_at(&key(), writer * BLOCK, data.clone(), false)
                    .await
                    .unwrap();
                if rounds.is_multiple_of(8) {
                    store.flush(&key(), &[]).await.unwrap();
                }
                let found = store
                    .get(&key(), Extent::new(writer * BLOCK, BLOCK))
                    .await
                    .unwrap();
                assert!(
                    found.payload.into_bytes() == data,
                    "an answered write is not read back"
                );
            }
            rounds
        }
    };
    (0..writers).map(|writer| tokio::spawn(write(writer))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_under_way_reaches_another_repository() {
    const WRITERS: u64 = 16;
    let ours = repository("ours", 0, 16).await;
    let theirs = repository("theirs", 0xee, 16).await;
    let untouched = std::fs::read(theirs.pool().join("vol")).unwrap();
    let (mut moving, steady) = (Proxy::new(&ours, 0).await, Proxy::new(&ours, 0).await);
    let (url, other) = (moving.url.clone(), steady.url.clone());
    let store = mirrored(&[&url, &other], 64);
    let stop = Arc::new(AtomicBool::new(false));
    let writers = load(&store, &stop, WRITERS);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Connections that were made before it is known by what to look are looked at as well.
    watch(&store);
    let state = || {
        store
            .mirrors()
            .iter()
            .find(|mirror| mirror.name == url)
            .unwrap()
            .state
    };
    for round in 0..12 {
        let port = moving.kill().await;
        moving = Proxy::new(&theirs, port).await;
        let begun = Instant::now();
        while state() != MirrorState::Foreign {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "round {round}: {:?}",
                state()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let port = moving.kill().await;
        moving = Proxy::new(&ours, port).await;
        // Rather than wait for the probe that would release it: as an operator takes it out and in.
        store.remove(&url).unwrap();
        store
            .add(&url, client(&url, 64), MirrorOptions::default())
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(state(), MirrorState::Up);
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        assert!(writer.await.unwrap() > 12);
    }
    assert!(std::fs::read(theirs.pool().join("vol")).unwrap() == untouched);
}

/// The look needs no place beside that of the request which waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough() {
    let server = repository("ours", 0, 4).await;
    let proxy = Proxy::new(&server, 0).await;
    let store = mirrored(&[&proxy.url], 1);
    watch(&store);
    let stop = Arc::new(AtomicBool::new(false));
    let writers = load(&store, &stop, 4);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let port = proxy.kill().await;
    let _proxy = Proxy::new(&server, port).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        assert!(writer.await.unwrap() > 2);
    }
}

/// A request is not sent to a server that says nothing, so nothing of it may land late, and it goes elsewhere without a grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_without_an_answer_costs_its_time_and_leaves_no_doubt() {
    let server = repository("ours", 0, 4).await;
    let steady = Proxy::new(&server, 0).await;
    let writes = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&writes);
    let silent = Malicious::new(move |mut stream, _| {
        let writes = Arc::clone(&counter);
        async move {
            while let Some((head, _)) = read_request_and_body(&mut stream).await {
                writes.fetch_add(usize::from(!head.starts_with("GET ")), Ordering::SeqCst);
            }
        }
    })
    .await;
    let url = format!("http://{}/cdmi/2.0.0/pool/", silent.address);
    let store = mirrored(&[&url, &steady.url], 64);
    let first = MirrorOptions {
        priority: 1,
        ..MirrorOptions::default()
    };
    store.set(&url, first).unwrap();
    watch(&store);
    let begun = Instant::now();
    let volume = key();
    let burst = (0..16).map(|at| store.write_at(&volume, at, Bytes::from_static(b"x"), false));
    for written in futures_util::future::join_all(burst).await {
        written.unwrap();
    }
    // The look's two seconds; after a write that was sent there would be two more, of grace, and the request's time-out.
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(3_500), "{took:?}");
    assert_eq!(writes.load(Ordering::SeqCst), 0);
}

/// One that closes each connection after its answer can be looked at before a request, and no nearer to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_no_connection_can_be_used() {
    let server = Malicious::new(|mut stream, _| async move {
        let Some((head, _)) = read_request_and_body(&mut stream).await else {
            return;
        };
        let answer: &[u8] = if head.contains("/marker ") {
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nours"
        } else {
            b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
        };
        let _ = stream.write_all(answer).await;
    })
    .await;
    let url = format!("http://{}/cdmi/2.0.0/pool/", server.address);
    let store = mirrored(&[&url], 1);
    watch(&store);
    for _ in 0..3 {
        store
            .write_at(&key(), 0, Bytes::from_static(b"x"), false)
            .await
            .unwrap();
    }
}
