//! The suite, on every store.

use crate::server::TestServer;
use restblk_store::conformance::{run, run_model};
use restblk_store::{Dialect, FileStore, MemoryStore, Mirrored, RetryPolicy, Store};
use std::sync::Arc;

#[tokio::test]
async fn memory() {
    run(|| Arc::new(MemoryStore::new())).await;
    run_model(Arc::new(MemoryStore::new()), 11, 3000).await;
}

#[tokio::test]
async fn memory_of_two_kinds() {
    for align in [512, 4096] {
        let store = MemoryStore::of_two_kinds(align);
        let proof = restblk_store::prove(&store).await.unwrap();
        assert_eq!(proof.capabilities, store.capabilities(), "{:?}", proof.notes);
        run(|| Arc::new(MemoryStore::of_two_kinds(align))).await;
        run_model(Arc::new(MemoryStore::of_two_kinds(align)), 21, 3000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file() {
    let dir = tempfile::tempdir().unwrap();
    run(|| Arc::new(FileStore::open(dir.path()).unwrap())).await;
    run_model(Arc::new(FileStore::open(dir.path()).unwrap()), 12, 1000).await;
    let left = walk(dir.path())
        .into_iter()
        .filter(|name| name.contains(".restblk-tmp-"))
        .count();
    assert_eq!(left, 0, "temporary files are left");
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path()));
        }
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names
}

async fn cdmi(dialect: Dialect) {
    let server = TestServer::new(dialect).await;
    let store: Arc<dyn Store> = Arc::new(server.store(dialect).await);
    assert_eq!(store.capabilities().lock, dialect != Dialect::Srb);
    run(|| Arc::clone(&store)).await;
    run_model(store, 13, 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cdmi2() {
    cdmi(Dialect::Cdmi2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cdmi1() {
    cdmi(Dialect::Cdmi1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scality() {
    cdmi(Dialect::Scality).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn srb() {
    cdmi(Dialect::Srb).await;
}

/// Of servers of one directory.
async fn mirrored(servers: &[TestServer], seed: u64) {
    let mut mirrors: Vec<(String, Arc<dyn Store>)> = Vec::new();
    for (n, server) in servers.iter().cycle().take(2).enumerate() {
        mirrors.push((
            format!("mirror {n}"),
            Arc::new(server.store(Dialect::Cdmi2).await),
        ));
    }
    let store: Arc<dyn Store> = Arc::new(Mirrored::new(mirrors, RetryPolicy::default()).unwrap());
    run(|| Arc::clone(&store)).await;
    run_model(store, seed, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrored_of_one_server() {
    mirrored(&[TestServer::new(Dialect::Cdmi2).await], 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrored_of_two_servers() {
    mirrored(&TestServer::sharing(Dialect::Cdmi2, 2).await, 15).await;
}
