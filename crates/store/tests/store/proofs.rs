//! The search for the dialect, against servers that tell the truth.

use crate::server::TestServer;
use restblk_store::{
    Dialect, Durability, Resize, Store, StoreConfig, StoreKind, find_dialect, open, open_pinned,
};
use restblk_types::ErrorKind;

/// Every file below the directory with its bytes.
pub(crate) fn files(dir: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dialect_is_found() {
    for dialect in Dialect::ALL {
        let server = TestServer::new(dialect).await;
        // This server takes CDMI 1's form in the mode `scality` too, and the specification's form is preferred.
        let only = (dialect == Dialect::Scality).then_some(dialect);
        let (store, proof) = find_dialect(&server.http(), only).await.unwrap();
        assert_eq!(
            (store.dialect(), proof.dialect.clone()),
            (dialect, Some(dialect.to_string())),
            "{proof:?}"
        );
        let can = proof.capabilities;
        assert!(
            can.write_at && can.exclusive_create && can.list,
            "{dialect}: {can:?}"
        );
        assert_eq!(can.durability, Durability::OnFlush, "{dialect}");
        assert_eq!(can.resize, Resize::Native, "{dialect}");
        assert_eq!(
            can.compare_and_set && can.punch && can.atomic_put,
            dialect != Dialect::Srb,
            "{dialect}: {can:?}"
        );
        let left = store
            .list(
                Some(&restblk_store::Key::new(".restblk/probe").unwrap()),
                None,
                100,
            )
            .await
            .unwrap();
        assert!(left.entries.is_empty(), "{dialect} leaves {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_dialect_is_refused_with_the_reason() {
    let server = TestServer::new(Dialect::Cdmi2).await;
    for wrong in [Dialect::Cdmi1, Dialect::Scality, Dialect::Srb] {
        let error = find_dialect(&server.http(), Some(wrong)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(wrong.as_str()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_opens_with_one_call_and_again_without_its_server() {
    let server = TestServer::new(Dialect::Cdmi2).await;
    let dead = "http://127.0.0.1:9/cdmi/2.0.0/";
    let mut config = StoreConfig::new(StoreKind::Cdmi, [dead.to_owned(), server.url() + "main"]);
    config.fail_after_ms = Some(2_000);
    let opened = open(&config).await.unwrap();
    assert_eq!(opened.proof.dialect, Some(Dialect::Cdmi2.to_string()));
    let key = restblk_store::Key::new("volumes/disk 1").unwrap();
    opened
        .store
        .put(&key, "bytes".into(), restblk_store::Precondition::Absent)
        .await
        .unwrap();
    assert_eq!(
        std::fs::read(server.pool().join("main/volumes/disk 1")).unwrap(),
        b"bytes"
    );

    let proof = serde_json::from_str(&serde_json::to_string(&opened.proof).unwrap()).unwrap();
    let again = open_pinned(&config, &proof).unwrap();
    assert_eq!(again.get(&key, None).await.unwrap().payload.into_bytes(), "bytes");
    server
        .server
        .shutdown(std::time::Duration::from_millis(100))
        .await;
    let again = open_pinned(&config, &proof).unwrap();
    let error = again.get(&key, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn file_and_memory_open_too() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().display());
    let opened = open(&StoreConfig::new(StoreKind::File, [url])).await.unwrap();
    assert!(opened.proof.capabilities.exclusive_create && opened.proof.capabilities.punch);
    assert!(files(dir.path()).is_empty());
    open(&StoreConfig::new(StoreKind::Memory, ["a name"]))
        .await
        .unwrap();
    let missing = open(&StoreConfig::new(StoreKind::File, ["/nonexistent"]))
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_end_the_search_and_are_not_shown() {
    use restblk_cdmi_server::{Auth, User};
    let server = TestServer::with(Dialect::Cdmi2, |config| {
        let users = vec![User {
            name: "me".to_owned(),
            password: "right-secret".to_owned(),
        }];
        config.auth = Some(Auth { users, file: None });
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    let mut config = server.config();
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("credentials"), "{error}");
    (config.user, config.password_file) = (Some("me".to_owned()), Some(file.clone()));
    std::fs::write(&file, "wrong-secret\n").unwrap();
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error} {error:?}").contains("wrong-secret"));
    std::fs::write(&file, "right-secret\n").unwrap();
    let opened = open(&config).await.unwrap();
    assert!(!format!("{opened:?}").contains("right-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_may_be_at_the_servers_root_and_at_an_ipv6_address() {
    let server = TestServer::with(Dialect::Cdmi2, |config| {
        config.listen.push((std::net::Ipv6Addr::LOCALHOST, 0).into());
    })
    .await;
    let six = server.server.local_addrs()[1];
    for url in [server.server.base_uri(), format!("http://{six}/cdmi/2.0.0/")] {
        let mut config = StoreConfig::new(StoreKind::Cdmi, [url.clone()]);
        config.fail_after_ms = Some(2_000);
        let opened = open(&config).await.unwrap();
        assert_eq!(opened.store.location(), url);
        let network = opened.store.mirrors()[0].network.clone();
        assert!(
            network.is_some_and(|network| network.requests == 0),
            "the pool's own client has sent something"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_path_is_told_once_and_not_for_each_dialect() {
    let server = TestServer::new(Dialect::Cdmi2).await;
    let url = format!("http://{}/elsewhere/", server.server.local_addrs()[0]);
    let error = open(&StoreConfig::new(StoreKind::Cdmi, [url])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert_eq!(text.matches("(status 404").count(), 1, "{text}");
    assert!(text.contains("cdmi2, cdmi1, scality, srb: "), "{text}");
    assert!(!text.contains(".restblk/probe"), "{text}");
}
