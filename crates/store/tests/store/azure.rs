//! The client of Azure Blob against a server that somebody started: `cargo xtask show stores/conformance-azure`.
//!
//! `RESTBLK_AZURE_URL` is a container's URL, `RESTBLK_AZURE_ACCOUNT` the account, `RESTBLK_AZURE_KEY_FILE` the file of its key.

use bytes::Bytes;
use futures_util::future::join_all;
use restblk_store::conformance::{run, run_model};
use restblk_store::{
    AzureStore, Durability, Key, Mirrored, Precondition, Resize, RetryPolicy, Store, StoreConfig, StoreKind,
    open, open_pinned,
};
use restblk_types::ErrorKind;
use std::sync::Arc;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this through cargo xtask show"))
}

fn config() -> StoreConfig {
    let mut config = StoreConfig::new(StoreKind::Azure, [variable("RESTBLK_AZURE_URL")]);
    config.user = Some(variable("RESTBLK_AZURE_ACCOUNT"));
    config.password_file = Some(variable("RESTBLK_AZURE_KEY_FILE").into());
    config.fail_after_ms = Some(10_000);
    config
}

fn store() -> Arc<AzureStore> {
    let config = config();
    Arc::new(AzureStore::new(&config, &config.urls[0]).unwrap())
}

/// An object of this test alone.
fn key(name: &str) -> Key {
    Key::new(format!("test/{:016x}/{name}", rand::random::<u64>())).unwrap()
}

async fn bytes(store: &AzureStore, key: &Key) -> Bytes {
    store.get(key, None).await.unwrap().payload.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn azure_is_proved_to_do_what_it_promises() {
    let opened = open(&config()).await.unwrap();
    let can = &opened.proof.capabilities;
    assert_eq!(*can, store().capabilities(), "{:?}", opened.proof.notes);
    assert_eq!(
        (can.write_align, can.resize, can.durability),
        (512, Resize::Native, Durability::OnWrite)
    );
    assert!(
        can.exclusive_create && can.compare_and_set && can.lock && can.punch,
        "{can:?}"
    );
    assert!(opened.proof.notes.is_empty(), "{:?}", opened.proof.notes);
    let left = store()
        .list(Some(&Key::new(".restblk/probe").unwrap()), None, 100)
        .await
        .unwrap();
    assert!(left.entries.is_empty(), "{left:?}");
    let again = open_pinned(&config(), &opened.proof).unwrap();
    let missing = again.head(&key("missing")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    println!("proved: {can:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn azure_passes_the_suite() {
    run(|| store()).await;
    run_model(store(), 31, 600).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn azure_passes_the_suite_behind_mirrors() {
    let mirrors = [
        ("a".to_owned(), store() as Arc<dyn Store>),
        ("b".to_owned(), store()),
    ];
    let mirrored: Arc<dyn Store> = Arc::new(Mirrored::new(mirrors, RetryPolicy::default()).unwrap());
    run(|| Arc::clone(&mirrored)).await;
}

/// What goes in blocks is there whole or not at all.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn azure_large_objects_are_whole_or_not_there() {
    let (store, key) = (store(), key("large"));
    let body = |fill: u8| -> Bytes { [vec![fill; 9 << 20], vec![!fill; 8_000_003]].concat().into() };
    // Ended after some of its blocks: nothing is seen of it, and the next one is not disturbed.
    let (half, when) = (body(1), Precondition::Absent);
    let cut = tokio::time::timeout(std::time::Duration::from_millis(60), store.put(&key, half, when)).await;
    assert!(cut.is_err(), "the put was to be cut off: {cut:?}");
    assert_eq!(store.head(&key).await.unwrap_err().kind(), ErrorKind::NotFound);
    let listed = store.list(None, None, 1000).await.unwrap();
    assert!(!listed.entries.iter().any(|entry| entry.key == key));

    store.put(&key, body(2), Precondition::Absent).await.unwrap();
    assert!(bytes(&store, &key).await == body(2));
    let taken = store.put(&key, body(3), Precondition::Absent).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken}");
    let seen = store.head(&key).await.unwrap().etag.unwrap();
    store
        .put(&key, body(4), Precondition::Matches(seen.clone()))
        .await
        .unwrap();
    let stale = store
        .put(&key, body(5), Precondition::Matches(seen))
        .await
        .unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict, "{stale}");
    assert!(bytes(&store, &key).await == body(4));
    // Two at once: one of the two, and none of a mixture.
    let puts = [6, 7].map(|fill| store.put(&key, body(fill), Precondition::Always));
    let done = join_all(puts).await.into_iter().filter(Result::is_ok).count();
    assert!(done >= 1);
    let found = bytes(&store, &key).await;
    assert!(found == body(6) || found == body(7), "a mixture");
    store.delete(&key, Precondition::Always).await.unwrap();
}

/// Clients that grow one object at once never make it shorter, and lose no write.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn azure_growing_loses_nothing() {
    let key = key("grown");
    store().create(&key, Precondition::Absent).await.unwrap();
    let writers = (0..6_u64).map(|n| {
        let (store, key) = (store(), key.clone());
        async move {
            for round in 0..4 {
                let block = round * 6 + n;
                let data = Bytes::from(vec![u8::try_from(block + 1).unwrap(); 512]);
                // Growing against others may have to be tried again: that is the mirrors' business.
                while let Err(error) = store.write_at(&key, block * 512, data.clone(), false).await {
                    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                }
            }
        }
    });
    join_all(writers).await;
    let wanted: Vec<u8> = (1..=24).flat_map(|n| [n; 512]).collect();
    assert_eq!(bytes(&store(), &key).await, wanted);
    // One that was made shorter behind our back is noticed.
    let (one, other) = (store(), store());
    one.write_at(&key, 23 * 512, Bytes::from(vec![9; 512]), false)
        .await
        .unwrap();
    other.set_size(&key, 512).await.unwrap();
    one.write_at(&key, 23 * 512, Bytes::from(vec![8; 512]), false)
        .await
        .unwrap();
    assert_eq!(one.head(&key).await.unwrap().size, 24 * 512);
    one.delete(&key, Precondition::Always).await.unwrap();
}

/// What is too large, or has a name that the service would change, is refused before anything is sent.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn azure_limits_are_told() {
    let (store, key) = (store(), key("limits"));
    store.create(&key, Precondition::Absent).await.unwrap();
    let large = Bytes::from(vec![1; (4 << 20) + 512]);
    let refused = store.write_at(&key, 0, large, false).await.unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Invalid && refused.to_string().contains("4194304"),
        "{refused}"
    );
    store.set_size(&key, 8 << 40).await.unwrap();
    let refused = store.set_size(&key, (8 << 40) + 512).await.unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Invalid && refused.to_string().contains("8 TiB"),
        "{refused}"
    );
    for name in ["disk.", "a\\b"] {
        let odd = Key::new(name).unwrap();
        let refused = store.create(&odd, Precondition::Absent).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    }
    let requests = store.network().unwrap().requests;
    assert_eq!(requests, 2, "requests were sent for what is refused here");
    store.delete(&key, Precondition::Always).await.unwrap();
}

fn with_sas(file: impl Into<std::path::PathBuf>) -> StoreConfig {
    let mut config = StoreConfig::new(StoreKind::Azure, [variable("RESTBLK_AZURE_URL")]);
    config.password_file = Some(file.into());
    config.fail_after_ms = Some(10_000);
    config
}

fn client(config: &StoreConfig) -> Arc<AzureStore> {
    Arc::new(AzureStore::new(config, &config.urls[0]).unwrap())
}

/// The secret part of a shared access signature.
fn signature(file: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    text.trim().rsplit_once("sig=").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn sas_is_as_good_as_the_key() {
    let config = with_sas(variable("RESTBLK_AZURE_SAS_FILE"));
    let proof = open(&config).await.unwrap().proof;
    assert_eq!(proof.capabilities, store().capabilities(), "{:?}", proof.notes);
    run(|| client(&config)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn sas_that_is_over_says_when_and_can_be_replaced_while_in_use() {
    let (old, new) = (
        variable("RESTBLK_AZURE_OLD_SAS_FILE"),
        variable("RESTBLK_AZURE_SAS_FILE"),
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sas");
    std::fs::copy(&old, &file).unwrap();
    let config = with_sas(&file);
    let error = open(&config).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Denied, "{text}");
    assert!(
        text.contains(" ends 20") && text.contains(file.to_str().unwrap()),
        "{text}"
    );
    assert!(!format!("{error:?}").contains(&signature(&old)), "{error:?}");
    let (store, key) = (client(&config), key("replaced"));
    let denied = store
        .put(&key, Bytes::from_static(b"x"), Precondition::Absent)
        .await;
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::Denied);
    std::fs::copy(&new, &file).unwrap();
    store
        .put(&key, Bytes::from_static(b"x"), Precondition::Absent)
        .await
        .unwrap();
    assert!(!format!("{store:?}").contains(&signature(&new)));
    store.delete(&key, Precondition::Always).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn sas_for_reading_reads_and_leaves_nothing_half_made() {
    let (all, reader) = (
        store(),
        client(&with_sas(variable("RESTBLK_AZURE_READ_SAS_FILE"))),
    );
    let there = key("there");
    all.put(&there, Bytes::from_static(b"bytes"), Precondition::Absent)
        .await
        .unwrap();
    assert_eq!(bytes(&reader, &there).await, "bytes");
    let missing = key("missing");
    let large = Bytes::from(vec![1; 9 << 20]);
    for denied in [
        reader
            .put(&missing, Bytes::from_static(b"x"), Precondition::Absent)
            .await
            .map(drop),
        reader.put(&missing, large, Precondition::Absent).await.map(drop),
        reader.create(&missing, Precondition::Absent).await.map(drop),
        reader.delete(&there, Precondition::Always).await,
        reader.lock(&there, "a test", false).await.map(drop),
    ] {
        let error = denied.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("racwdl"), "{error}");
    }
    assert_eq!(all.head(&missing).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bytes(&all, &there).await, "bytes");
    all.delete(&there, Precondition::Always).await.unwrap();
}

/// Tokens come from the stand-in for Entra ID at `RESTBLK_ENTRA_URL`, and go to a server with TLS.
fn with_token(settings: &[(&str, &str)], secret: Option<&std::path::Path>) -> StoreConfig {
    let mut config = StoreConfig::new(StoreKind::Azure, [variable("RESTBLK_AZURE_URL")]);
    config.ca_file = Some(variable("RESTBLK_AZURE_CA_FILE").into());
    config.password_file = secret.map(Into::into);
    config.fail_after_ms = Some(10_000);
    let own = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config.settings.extend(own);
    config
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn token_of_every_source_opens_the_store() {
    let entra = variable("RESTBLK_ENTRA_URL");
    let metadata = format!("{entra}/metadata/identity/oauth2/token");
    let dir = tempfile::tempdir().unwrap();
    let (secret, platform) = (dir.path().join("secret"), dir.path().join("platform"));
    std::fs::write(&secret, "right\n").unwrap();
    std::fs::write(&platform, "platform-token").unwrap();
    let application = [
        ("tenant_id", "tenant"),
        ("client_id", "app"),
        ("authority_url", &*entra),
    ];
    let mut by_secret = application.to_vec();
    by_secret.push(("credentials", "client-secret"));
    let mut by_platform = application.to_vec();
    by_platform.extend([
        ("credentials", "workload-identity"),
        ("token_file", platform.to_str().unwrap()),
    ]);
    let by_machine = [("credentials", "managed-identity"), ("metadata_url", &*metadata)];
    for (settings, secret) in [
        (&by_secret[..], Some(&*secret)),
        (&by_platform, None),
        (&by_machine, None),
    ] {
        let opened = open(&with_token(settings, secret)).await.unwrap();
        assert!(
            opened.proof.capabilities.lock,
            "{settings:?}: {:?}",
            opened.proof.notes
        );
    }
    std::fs::write(&secret, "hunter2\n").unwrap();
    let error = open(&with_token(&by_secret, Some(&secret))).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert_eq!(error.kind(), ErrorKind::Denied, "{text}");
    assert!(
        text.contains("AADSTS7000215") && text.contains(&entra) && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Azure Blob: cargo xtask show stores/conformance-azure"]
async fn token_is_renewed_before_it_ends_and_never_goes_over_http() {
    let metadata = format!("{}/metadata/identity/oauth2/token", variable("RESTBLK_ENTRA_URL"));
    let settings = [
        ("credentials", "managed-identity"),
        ("metadata_url", &*metadata),
        // The stand-in gives this one tokens of two seconds.
        ("client_id", "short"),
    ];
    let mut config = with_token(&settings, None);
    let (store, key) = (client(&config), key("renewed"));
    for _ in 0..5 {
        store
            .put(&key, Bytes::from_static(b"x"), Precondition::Always)
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    }
    store.delete(&key, Precondition::Always).await.unwrap();
    config.urls[0] = config.urls[0].replace("https://", "http://");
    let refused = AzureStore::new(&config, &config.urls[0]).unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Invalid && refused.to_string().contains("https://"),
        "{refused}"
    );
}
