//! Servers that lie: refused with the reason, or an error; never wrong data, never a foreign object touched.

use crate::proofs::files;
use crate::server::TestServer;
use bytes::Bytes;
use restblk_cdmi_server::{Landing, Late, Quirks};
use restblk_store::{CdmiStore, Dialect, Key, Precondition, Store, StoreError, find_dialect};
use restblk_types::{ErrorKind, Extent};

/// A server with objects of others in it; what the search says; the objects are as they were.
async fn search(dialect: Dialect, quirks: Quirks) -> Result<(CdmiStore, restblk_store::Proof), StoreError> {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "theirs",
        ".restblk/probe/theirs",
        ".restblk/volumes/disk1",
        "volumes/disk1",
    ] {
        let path = dir.path().join("pool").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("bytes of {name}")).unwrap();
    }
    let server = TestServer::over(dir, dialect, |config| config.quirks = quirks).await;
    let theirs = |files: Vec<(String, Vec<u8>)>| -> Vec<(String, Vec<u8>)> {
        files
            .into_iter()
            .filter(|(_, bytes)| bytes.starts_with(b"bytes of"))
            .collect()
    };
    let before = theirs(files(server.dir.path()));
    assert_eq!(before.len(), 4);
    let found = find_dialect(&server.http(), None).await;
    assert_eq!(
        theirs(files(server.dir.path())),
        before,
        "probing touched a foreign object"
    );
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_replaces_on_partial_writes_is_refused() {
    for dialect in Dialect::ALL {
        let error = search(
            dialect,
            Quirks {
                replace_on_partial: true,
                ..Quirks::default()
            },
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        let own = format!("{dialect} (");
        assert!(
            text.contains(&own) && text.contains("replaced the whole object (4 bytes left of 8)"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_writes_at_offset_zero_is_refused() {
    for dialect in Dialect::ALL {
        let error = search(
            dialect,
            Quirks {
                partial_at_zero: true,
                ..Quirks::default()
            },
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("landed at offset 0"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_true_exclusive_create_loses_the_capability() {
    for dialect in [Dialect::Cdmi2, Dialect::Cdmi1, Dialect::Srb] {
        let (store, proof) = search(
            dialect,
            Quirks {
                ignore_if_none_match: true,
                ..Quirks::default()
            },
        )
        .await
        .unwrap();
        assert!(!proof.capabilities.exclusive_create);
        assert!(
            proof
                .notes
                .iter()
                .any(|note| note.starts_with("exclusive create: ")),
            "{:?}",
            proof.notes
        );
        let refused = store
            .put(&Key::new("x").unwrap(), Bytes::new(), Precondition::Absent)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_ranges_is_refused() {
    for dialect in Dialect::ALL {
        let error = search(
            dialect,
            Quirks {
                ignore_range: true,
                ..Quirks::default()
            },
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_shortens_bodies_is_refused() {
    for quirks in [
        Quirks {
            shorten_reads_bytes: Some(1),
            ..Quirks::default()
        },
        Quirks {
            truncate_reads_bytes: Some(3),
            ..Quirks::default()
        },
    ] {
        for dialect in Dialect::ALL {
            let error = search(dialect, quirks.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }
}

/// Reads of a known object are either right or an error that names all there is to name.
async fn right_or_error(quirks: Quirks, dialect: Dialect) -> Vec<StoreError> {
    let dir = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::create_dir(dir.path().join("pool")).unwrap();
    std::fs::write(dir.path().join("pool/known"), &body).unwrap();
    let server = TestServer::over(dir, dialect, |config| config.quirks = quirks).await;
    let store = server.store(dialect).await;
    let key = Key::new("known").unwrap();
    let mut errors = Vec::new();
    for (offset, len) in [(0, 4096), (77, 1), (50_000, 50_000), (0, 100_000)] {
        let range = Extent::new(offset, len).unwrap();
        let from = usize::try_from(offset).unwrap();
        match store.get(&key, Some(range)).await {
            Ok(found) => {
                let wanted = &body[from..from + usize::try_from(len).unwrap()];
                assert!(found.payload.into_bytes() == wanted, "wrong data at {range}");
            }
            Err(error) => errors.push(error),
        }
    }
    for error in &errors {
        let text = error.to_string();
        assert!(text.starts_with("read known at http://127.0.0.1:"), "{text}");
    }
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_is_ever_wrong() {
    for dialect in Dialect::ALL {
        let cut = right_or_error(
            Quirks {
                truncate_reads_bytes: Some(100),
                ..Quirks::default()
            },
            dialect,
        )
        .await;
        assert!(
            cut.len() == 3 && cut.iter().all(|error| error.kind() == ErrorKind::Retry),
            "{cut:?}"
        );
        let short = right_or_error(
            Quirks {
                shorten_reads_bytes: Some(1),
                ..Quirks::default()
            },
            dialect,
        )
        .await;
        assert!(
            short.len() == 4 && short.iter().all(|error| !error.kind().is_transient()),
            "{short:?}"
        );
        let whole = right_or_error(
            Quirks {
                ignore_range: true,
                ..Quirks::default()
            },
            dialect,
        )
        .await;
        assert!(
            whole.len() >= 3 && whole.iter().all(|error| !error.kind().is_transient()),
            "{whole:?}"
        );
        assert!(right_or_error(Quirks::default(), dialect).await.is_empty());
    }
}

/// Answers that come after the time-out: an error, and no later request ever sees them.
#[tokio::test(flavor = "multi_thread")]
async fn late_answers_are_never_taken_for_others() {
    let late = Late {
        fraction: 0.3,
        delay_ms: 400,
        landing: Landing::AtOnce,
    };
    let dir = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..100_u8).flat_map(|n| [n; 64]).collect();
    std::fs::create_dir(dir.path().join("pool")).unwrap();
    std::fs::write(dir.path().join("pool/known"), &body).unwrap();
    let server = TestServer::over(dir, Dialect::Cdmi2, |config| config.quirks.late = Some(late)).await;
    let mut config = server.config();
    config.request_timeout_ms = 150;
    let http = std::sync::Arc::new(restblk_store::HttpClient::new(&config, &server.url()).unwrap());
    let all = server.store(Dialect::Cdmi2).await.capabilities();
    let store = CdmiStore::pinned(http, Dialect::Cdmi2, all);
    let key = Key::new("known").unwrap();
    let (mut right, mut late) = (0, 0);
    for n in 0..100_u8 {
        match store.get(&key, Extent::new(u64::from(n) * 64, 64)).await {
            Ok(found) => {
                assert_eq!(
                    found.payload.into_bytes(),
                    [n; 64][..],
                    "the answer of another request"
                );
                right += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                late += 1;
            }
        }
    }
    assert!(right > 50 && late > 20, "{right} right, {late} late");
    assert_eq!(store.http().stats().snapshot().timeouts, late);
}
