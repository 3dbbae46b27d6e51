//! Mirrors over real servers: one dies, another takes over, and the dead one comes back.

use crate::server::TestServer;
use bytes::Bytes;
use restblk_store::prove::mirrors::{compare, compare_new};
use restblk_store::{
    CdmiStore, Dialect, Instance, Key, MirrorOptions, Mirrored, Precondition, RetryPolicy, Store,
};
use restblk_types::{ErrorKind, Extent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The mirrors of most of these tests are proxies before one server: they die and come back at their ports without it.
pub(crate) struct Proxy {
    pub(crate) url: String,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn new(server: &TestServer, port: u16) -> Self {
        let to = server.server.local_addrs()[0];
        let listener = tokio::net::TcpSocket::new_v4().unwrap();
        listener.set_reuseaddr(true).unwrap();
        listener.bind(([127, 0, 0, 1], port).into()).unwrap();
        let listener = listener.listen(64).unwrap();
        let url = format!("http://{}/cdmi/2.0.0/pool/", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut relays = tokio::task::JoinSet::new();
            while let Ok((mut inward, _)) = listener.accept().await {
                relays.spawn(async move {
                    if let Ok(mut outward) = tokio::net::TcpStream::connect(to).await {
                        let _ = tokio::io::copy_bidirectional(&mut inward, &mut outward).await;
                    }
                });
            }
        });
        Self { url, task }
    }

    fn port(&self) -> u16 {
        self.url
            .trim_end_matches("/cdmi/2.0.0/pool/")
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Closes every connection and the port.
    pub(crate) async fn kill(self) -> u16 {
        let port = self.port();
        self.task.abort();
        let _ = self.task.await;
        port
    }

    async fn store(&self, server: &TestServer) -> Arc<dyn Store> {
        let can = server.store(Dialect::Cdmi2).await.capabilities();
        let http = restblk_store::HttpClient::new(&crate::server::config(&self.url), &self.url).unwrap();
        Arc::new(CdmiStore::pinned(Arc::new(http), Dialect::Cdmi2, can))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_survive_the_death_of_any_mirror() {
    let server = TestServer::new(Dialect::Cdmi2).await;
    let (first, second) = (Proxy::new(&server, 0).await, Proxy::new(&server, 0).await);
    let mirrors = [
        ("a".to_owned(), first.store(&server).await),
        ("b".to_owned(), second.store(&server).await),
    ];
    let policy = RetryPolicy {
        landing_grace: Duration::from_millis(50),
        ..RetryPolicy::default()
    };
    let store = Arc::new(Mirrored::new(mirrors, policy).unwrap());
    let key = Key::new("vol").unwrap();
    store
        .put(&key, Bytes::from(vec![0; 64 * 512]), Precondition::Always)
        .await
        .unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let rounds: Arc<[AtomicU64; 8]> = Arc::default();
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let (store, key) = (Arc::clone(&store), key.clone());
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            tokio::spawn(async move {
                let mine = &rounds[usize::try_from(writer).unwrap()];
                while !stop.load(Ordering::SeqCst) {
                    let round = mine.load(Ordering::SeqCst) + 1;
                    for block in 0..8 {
                        let offset = (writer * 8 + block) * 512;
                        let data = Bytes::from(vec![u8::try_from(round % 251).unwrap(); 512]);
                        store.write_at(&key, offset, data.clone(), false).await.unwrap();
                        let found = store.get(&key, Extent::new(offset, 512)).await.unwrap();
                        assert!(
                            found.payload.into_bytes() == data,
                            "a write that was answered is not read back"
                        );
                    }
                    mine.store(round, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let pause = || tokio::time::sleep(Duration::from_millis(150));
    pause().await;
    let port = first.kill().await;
    pause().await;
    let first = Proxy::new(&server, port).await;
    pause().await;
    let port = second.kill().await;
    pause().await;
    // Both down for a while: everybody waits.
    let first_port = first.kill().await;
    pause().await;
    let _second = Proxy::new(&server, port).await;
    let _first = Proxy::new(&server, first_port).await;
    let all_go_on = async {
        while rounds.iter().any(|done| done.load(Ordering::SeqCst) < 3) {
            pause().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_go_on)
        .await
        .unwrap();
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    let seen = store.mirrors();
    assert!(
        seen.iter()
            .all(|mirror| mirror.requests > 0 && mirror.errors > 0 && mirror.outstanding == 0),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_come_and_go_in_use() {
    let server = TestServer::new(Dialect::Cdmi2).await;
    let (first, second) = (Proxy::new(&server, 0).await, Proxy::new(&server, 0).await);
    let store = Mirrored::new(
        [("a".to_owned(), first.store(&server).await)],
        RetryPolicy::default(),
    )
    .unwrap();
    let key = Key::new("vol").unwrap();
    store
        .put(&key, Bytes::from_static(b"x"), Precondition::Always)
        .await
        .unwrap();
    assert_eq!(store.remove("a").unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(
        store
            .add("a", first.store(&server).await, MirrorOptions::default())
            .unwrap_err()
            .kind(),
        ErrorKind::Exists
    );
    let dull: Arc<dyn Store> = Arc::new(restblk_store::FileStore::open(server.dir.path()).unwrap());
    assert_eq!(
        store
            .add("dull", dull, MirrorOptions::default())
            .unwrap_err()
            .kind(),
        ErrorKind::Unsupported
    );
    store
        .add("b", second.store(&server).await, MirrorOptions::default())
        .unwrap();
    store.remove("a").unwrap();
    assert_eq!(store.remove("a").unwrap_err().kind(), ErrorKind::NotFound);
    first.kill().await;
    assert_eq!(store.get(&key, None).await.unwrap().payload.into_bytes(), "x");
    assert_eq!(store.mirrors().len(), 1);
}

/// A request that waits for a dead mirror goes on when another one is added.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_mirror_ends_the_waiting() {
    let server = TestServer::new(Dialect::Cdmi2).await;
    let (first, second) = (Proxy::new(&server, 0).await, Proxy::new(&server, 0).await);
    let store = Arc::new(
        Mirrored::new(
            [("a".to_owned(), first.store(&server).await)],
            RetryPolicy::default(),
        )
        .unwrap(),
    );
    let key = Key::new("vol").unwrap();
    store
        .put(&key, Bytes::from_static(b"x"), Precondition::Always)
        .await
        .unwrap();
    let second = second.store(&server).await;
    first.kill().await;
    let waiting = tokio::spawn({
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            store
                .get(&key, None)
                .await
                .map(|found| found.payload.into_bytes())
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    store.add("b", second, MirrorOptions::default()).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_power_is_told_by_its_instance() {
    for dialect in [Dialect::Cdmi2, Dialect::Cdmi1, Dialect::Scality] {
        let server = TestServer::with(dialect, |config| config.instance = Some(1)).await;
        let store = server.store(dialect).await;
        let key = Key::new("v").unwrap();
        store
            .put(&key, Bytes::from_static(b"0123"), Precondition::Always)
            .await
            .unwrap();
        let write = |store: CdmiStore| async move {
            let data = Bytes::from_static(b"x");
            let took = store.write_at(&Key::new("v").unwrap(), 0, data, false).await;
            (store, took.unwrap().into_iter().collect::<Vec<_>>())
        };
        let (_, took) = write(store).await;
        assert_eq!(took, [Instance::new(1)]);
        let TestServer { server: old, dir } = server;
        old.shutdown(Duration::from_secs(5)).await;
        let server = TestServer::over(dir, dialect, |config| config.instance = Some(2)).await;
        let (store, again) = write(server.store(dialect).await).await;
        let flushed = store.flush(&key, &again).await.unwrap();
        assert_eq!(flushed.misses(&again), None, "{dialect}");
        assert_eq!(flushed.misses(&took), Some(Instance::new(1)), "{dialect}");
    }
}

/// Servers of one directory keep its locks together. One that forgets what it grants is found out beside another.
#[tokio::test(flavor = "multi_thread")]
async fn locks_are_proved_between_mirrors() {
    for dialect in [Dialect::Cdmi2, Dialect::Cdmi1, Dialect::Scality] {
        let servers = TestServer::sharing(dialect, 2).await;
        let forgetful = TestServer::over(Arc::clone(&servers[0].dir), dialect, |config| {
            config.shared = true;
            config.quirks.forget_locks = true;
        })
        .await;
        let mut named: Vec<(String, Arc<dyn Store>)> = Vec::new();
        for (n, server) in servers.iter().chain([&forgetful]).enumerate() {
            named.push((format!("m{n}"), Arc::new(server.store(dialect).await)));
        }
        let proof = restblk_store::prove(&*named[0].1).await.unwrap();
        assert!(proof.capabilities.lock, "{:?}", proof.notes);
        let mut together = proof.clone();
        compare(&named[..2], &mut together).await.unwrap();
        assert_eq!(together, proof);
        compare(&named, &mut together).await.unwrap();
        assert!(!together.capabilities.lock);
        let note = together.notes.last().unwrap();
        assert!(note.starts_with("lock, between mirrors: "), "{note}");
        let joining = compare_new(&named[2], &named[..2], &proof).await.unwrap_err();
        assert!(joining.to_string().contains("lock, between mirrors"), "{joining}");
    }
}
