//! Malice on the wire: small servers that send what no server should. Always an error that names operation, object and
//! server; never wrong data; no connection used again after one.

use bytes::Bytes;
use restblk_store::{
    CdmiStore, Dialect, Durability, HttpClient, Key, MemoryStore, Precondition, Store, StoreError,
};
use restblk_types::{ErrorKind, Extent};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers the n-th request of each connection as the script says.
pub(crate) struct Malicious {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    read_request_and_body(stream).await.map(|(head, _)| head)
}

/// The head of a request, and its body as far as it is text.
pub(crate) async fn read_request_and_body(stream: &mut TcpStream) -> Option<(String, String)> {
    let head = read_head(stream).await?;
    let body = read_body(stream, &head).await?;
    Some((head, String::from_utf8(body).unwrap_or_default()))
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

async fn read_body(stream: &mut TcpStream, head: &str) -> Option<Vec<u8>> {
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

impl Malicious {
    pub(crate) async fn new<F, R>(answer: F) -> Self
    where
        F: Fn(TcpStream, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, answer) = (Arc::clone(&connections), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move { answer(stream, number).await });
            }
        });
        Self { address, connections }
    }

    /// Sends the same bytes to every request.
    async fn saying(text: &'static [u8]) -> Self {
        Self::new(move |mut stream, _| async move {
            while read_request(&mut stream).await.is_some() {
                if stream.write_all(text).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    fn store(&self) -> CdmiStore {
        let url = format!("http://{}/", self.address);
        let mut config = crate::server::config(&url);
        config.request_timeout_ms = 300;
        let http = Arc::new(HttpClient::new(&config, &url).unwrap());
        let mut can = MemoryStore::new().capabilities();
        can.durability = Durability::OnFlush;
        CdmiStore::pinned(http, Dialect::Cdmi2, can)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn key() -> Key {
    Key::new("vol").unwrap()
}

async fn get(store: &CdmiStore) -> Result<Bytes, StoreError> {
    let found = store.get(&key(), Extent::new(0, 4)).await;
    if let Err(error) = &found {
        let text = error.to_string();
        assert!(text.starts_with("read vol at http://127.0.0.1:"), "{text}");
    }
    Ok(found?.payload.into_bytes())
}

#[tokio::test]
async fn bodies_shorter_than_announced_are_errors() {
    let server = Malicious::new(|mut stream, _| async move {
        read_request(&mut stream).await;
        let head =
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nab";
        stream.write_all(head).await.unwrap();
    })
    .await;
    let error = get(&server.store()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
}

#[tokio::test]
async fn bodies_longer_than_announced_close_the_connection() {
    let server = Malicious::saying(
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nabcdHTTP/1.1 206 Partial \
          Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nEVIL",
    )
    .await;
    let store = server.store();
    for _ in 0..5 {
        // Whatever the surplus is, the next request does not read it as its answer.
        assert_eq!(get(&store).await.unwrap(), "abcd");
    }
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn a_kept_connection_with_a_surplus_that_comes_later_is_not_used() {
    let (surplus_sent, mut surplus) = tokio::sync::mpsc::unbounded_channel();
    let server = Malicious::new(move |mut stream, _| {
        let surplus_sent = surplus_sent.clone();
        async move {
            let good =
                b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nabcd";
            let evil =
                b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nEVIL";
            while read_request(&mut stream).await.is_some() {
                stream.write_all(good).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                let _ = stream.write_all(evil).await;
                let _ = surplus_sent.send(());
            }
        }
    })
    .await;
    let store = server.store();
    for _ in 0..4 {
        assert_eq!(get(&store).await.unwrap(), "abcd");
        // What was written to a socket of the loopback has arrived.
        surplus.recv().await.unwrap();
    }
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn garbage_is_an_error() {
    for garbage in [
        &b"\x15\x03\x01\x00\x02\x02\x46"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/9.9 banana\r\n\r\n",
        b"\0\0\0\0",
    ] {
        let server = Malicious::saying(garbage).await;
        let error = get(&server.store()).await.unwrap_err();
        assert!(error.kind().is_transient(), "{error}");
        let error = server
            .store()
            .write_at(&key(), 0, Bytes::from_static(b"x"), false)
            .await
            .unwrap_err();
        assert!(error.is_ambiguous(), "{error}");
    }
}

#[tokio::test]
async fn wrong_ranges_and_lengths_are_errors() {
    for (answer, kind) in [
        (&b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-7/9\r\nContent-Length: 4\r\n\r\nabcd"[..], ErrorKind::Corrupt),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\nabcd", ErrorKind::Corrupt),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 3\r\n\r\nabc", ErrorKind::Corrupt),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 5\r\n\r\nabcde", ErrorKind::Corrupt),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nab", ErrorKind::Invalid),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", ErrorKind::Unsupported),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ErrorKind::Unsupported),
        (b"HTTP/1.1 301 Moved Permanently\r\nLocation: /vol/\r\nContent-Length: 0\r\n\r\n", ErrorKind::Invalid),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", ErrorKind::Denied),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", ErrorKind::NotFound),
        (b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n", ErrorKind::Invalid),
        (b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", ErrorKind::Retry),
        (b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n", ErrorKind::NoSpace),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", ErrorKind::Corrupt),
    ] {
        let server = Malicious::saying(answer).await;
        let error = get(&server.store()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}: {}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn the_pause_that_a_server_asks_for_is_kept() {
    let server =
        Malicious::saying(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
            .await;
    let error = get(&server.store()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (ErrorKind::Unavailable, Some(Duration::from_secs(7)))
    );
}

#[tokio::test]
async fn a_large_body_goes_into_no_missing_folder() {
    let is_made = Arc::new(AtomicBool::new(false));
    let server = Malicious::new(move |mut stream, _| {
        let is_made = Arc::clone(&is_made);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                let is_folder = head.starts_with("PUT /folder/ ");
                if !is_folder && !is_made.load(Ordering::SeqCst) {
                    // Unread, and closed: what follows breaks the connection, and its sender never sees the answer.
                    let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(refusal).await.unwrap();
                    return;
                }
                read_body(&mut stream, &head).await.unwrap();
                is_made.store(true, Ordering::SeqCst);
                let done = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(done).await.unwrap();
            }
        }
    })
    .await;
    let store = server.store();
    for name in ["folder/a", "folder/b"] {
        let body = Bytes::from(vec![7; 16 << 20]);
        store
            .put(&Key::new(name).unwrap(), body, Precondition::Absent)
            .await
            .unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_refused_a_large_body_is_left() {
    let server = Malicious::new(|mut stream, number| async move {
        let head = read_head(&mut stream).await.unwrap();
        if number == 0 {
            let refusal = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            // The close comes when the client has the answer and means to go on.
            read_body(&mut stream, &head).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            return;
        }
        let answer =
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4\r\n\r\nabcd";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let store = server.store();
    let body = Bytes::from(vec![7; 64 << 10]);
    let error = store.put(&key(), body, Precondition::Absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(get(&store).await.unwrap(), "abcd");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn slow_answers_end_in_time() {
    for part in [
        &b"HTTP/1.1 206 Partial Content\r\nX: "[..],
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\n",
    ] {
        let server = Malicious::new(move |mut stream, _| async move {
            read_request(&mut stream).await;
            stream.write_all(part).await.unwrap();
            // A byte now and then, for ever.
            while stream.write_all(b"z").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(150)).await;
                if part.ends_with(b"\r\n\r\n") {
                    std::future::pending::<()>().await;
                }
            }
        })
        .await;
        let begun = Instant::now();
        let error = get(&server.store()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_late_answer_is_never_another_requests() {
    // The first answer on each connection comes after the time-out and is evil; the connection must be gone by then.
    let server = Malicious::new(|mut stream, number| async move {
        while read_request(&mut stream).await.is_some() {
            let text = if number == 0 { "EVIL" } else { "good" };
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let answer = format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\n{text}");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let store = server.store();
    let late = store
        .write_at(&key(), 0, Bytes::from_static(b"x"), false)
        .await
        .unwrap_err();
    assert!(late.is_late() && late.is_ambiguous(), "{late}");
    for _ in 0..30 {
        assert_eq!(get(&store).await.unwrap(), "good");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_dies_says_retry() {
    // Each connection answers once and dies when it is asked again.
    let server = Malicious::new(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
        read_request(&mut stream).await;
    })
    .await;
    let store = server.store();
    let key = key();
    let write = || store.write_at(&key, 0, Bytes::from_static(b"x"), false);
    write().await.unwrap();
    let error = write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(error.is_ambiguous() && !error.is_late());
    write().await.unwrap();
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_not_used() {
    let server = Malicious::new(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    let store = server.store();
    for _ in 0..5 {
        store
            .write_at(&key(), 0, Bytes::from_static(b"x"), false)
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.connections(), 5);
}

/// By a reset, which also throws away what was not sent yet: it must not be carried out later.
#[tokio::test]
async fn a_dropped_request_resets_its_connection() {
    let (closed, mut told) = tokio::sync::mpsc::channel(1);
    let server = Malicious::new(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await;
            let end = stream.read(&mut [0; 1]).await;
            let is_reset = end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
            closed.send(is_reset).await.unwrap();
        }
    })
    .await;
    let store = server.store();
    let hasty = tokio::time::timeout(Duration::from_millis(50), get(&store)).await;
    assert!(hasty.is_err());
    assert!(told.recv().await.unwrap());
    assert_eq!(store.http().stats().snapshot().connections_open, 0);
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_does_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    for url in [url.as_str(), "http://no-such-host.invalid/"] {
        let http = Arc::new(HttpClient::new(&crate::server::config(url), url).unwrap());
        let store = CdmiStore::pinned(http, Dialect::Cdmi2, MemoryStore::new().capabilities());
        let error = store
            .put(&key(), Bytes::from_static(b"x"), Precondition::Always)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!error.is_ambiguous(), "{error}");
    }
}

#[tokio::test]
async fn a_flush_that_failed_is_final() {
    for answer in [
        &b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n",
    ] {
        let server = Malicious::saying(answer).await;
        let error = server.store().flush(&key(), &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn no_more_connections_than_allowed_and_all_are_served() {
    let server = Malicious::new(|mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .await
                .unwrap();
        }
    })
    .await;
    let url = format!("http://{}/", server.address);
    let mut config = crate::server::config(&url);
    config.connections_max = 3;
    let http = Arc::new(HttpClient::new(&config, &url).unwrap());
    let store = CdmiStore::pinned(http, Dialect::Cdmi2, MemoryStore::new().capabilities());
    let key = key();
    let writes = (0..60).map(|n| store.write_at(&key, n, Bytes::from_static(b"x"), false));
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
    assert_eq!(server.connections(), 3);
    let stats = store.http().stats().snapshot();
    assert_eq!(
        (
            stats.requests,
            stats.errors,
            stats.connections_opened,
            stats.in_flight
        ),
        (60, 0, 3, 0)
    );
}

/// So that a name which was given another address is followed also by a pool that is never idle.
#[tokio::test]
async fn a_connection_is_made_anew_after_a_while_however_busy() {
    let server = Malicious::new(|mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            let answer = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            answer.await.unwrap();
        }
    })
    .await;
    let url = format!("http://{}/", server.address);
    let mut config = crate::server::config(&url);
    config.idle_timeout_ms = 3_600_000;
    let http = Arc::new(HttpClient::new(&config, &url).unwrap());
    let store = CdmiStore::pinned(http, Dialect::Cdmi2, MemoryStore::new().capabilities());
    // The first to end after the time closes it.
    for (minutes, connections) in [(0, 1), (3, 1), (3, 1), (0, 2)] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60 * minutes)).await;
        tokio::time::resume();
        store
            .write_at(&key(), 0, Bytes::from_static(b"x"), false)
            .await
            .unwrap();
        let opened = store.http().stats().snapshot().connections_opened;
        assert_eq!(opened, connections, "after {minutes} minutes more");
    }
}
