//! Servers that lie, in each dialect: refused with the reason, or an error; never wrong data, never a foreign object touched.
//!
//! Each prints a line `liar: DIALECT: what it does: what came of it`, which `foundation/lying-stores` shows.

use crate::proofs::files;
use crate::server::TestServer;
use bytes::Bytes;
use restblk_cdmi_server::{Landing, Late, Quirks};
use restblk_store::{
    CdmiStore, Dialect, HttpClient, Key, Mirrored, Precondition, RetryPolicy, Store, StoreError, find_dialect,
};
use restblk_types::{ErrorKind, Extent};
use std::sync::Arc;
use std::time::Duration;

fn tell(dialect: Dialect, lie: &str, outcome: impl std::fmt::Display) {
    println!("liar: {dialect}: {lie}: {outcome}");
}

/// Why this dialect was refused; the error tells it of every dialect that was tried.
fn refused(dialect: Dialect, error: &StoreError) -> String {
    let own = |reason: &&str| reason.starts_with(dialect.as_str());
    let text = error.to_string();
    format!("refused: {}", text.split("; ").find(own).unwrap_or(&text))
}

/// This server takes CDMI 1's form in the mode `scality` too, and the specification's form is preferred.
fn only(dialect: Dialect) -> Option<Dialect> {
    (dialect == Dialect::Scality).then_some(dialect)
}

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
    let found = find_dialect(&server.http(), only(dialect)).await;
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
        tell(
            dialect,
            "replaces the object on a partial write",
            refused(dialect, &error),
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
        tell(dialect, "writes a part at offset 0", refused(dialect, &error));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_true_exclusive_create_loses_the_capability() {
    for dialect in Dialect::ALL {
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
        assert_eq!(proof.dialect.as_deref(), Some(dialect.as_str()));
        let notes = proof.notes.iter();
        let why: Vec<_> = notes.filter(|note| note.contains("exclusive create")).collect();
        tell(
            dialect,
            "ignores If-None-Match",
            format!("no exclusive create is asked of it: {why:?}; {refused}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgets_locks_loses_the_capability() {
    for dialect in Dialect::ALL
        .into_iter()
        .filter(|dialect| *dialect != Dialect::Srb)
    {
        let (store, proof) = search(
            dialect,
            Quirks {
                forget_locks: true,
                ..Quirks::default()
            },
        )
        .await
        .unwrap();
        let note = proof.notes.iter().find(|note| note.starts_with("lock: "));
        assert!(!proof.capabilities.lock && !store.capabilities().lock);
        assert!(note.is_some(), "{:?}", proof.notes);
        let key = Key::new("theirs").unwrap();
        let refused = store.lock(&key, "a test", false).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        tell(
            dialect,
            "grants locks and forgets them",
            format!("no lock is asked of it: {note:?}; {refused}"),
        );
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
        tell(dialect, "ignores Range", refused(dialect, &error));
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
            let lie = match quirks.truncate_reads_bytes {
                Some(_) => "truncates what is read",
                None => "shortens what is read and says so",
            };
            tell(dialect, lie, refused(dialect, &error));
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
        tell(
            dialect,
            "truncates what is read, once in use",
            format!("an error, tried again: {}", cut[0]),
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
        tell(
            dialect,
            "shortens what is read, once in use",
            format!("an I/O error: {}", short[0]),
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

/// A server with one object that answers some requests late, and a client that does not wait so long.
async fn hasty(dialect: Dialect, late: Late, body: &[u8]) -> (TestServer, CdmiStore) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("pool")).unwrap();
    std::fs::write(dir.path().join("pool/known"), body).unwrap();
    let server = TestServer::over(dir, dialect, |config| config.quirks.late = Some(late)).await;
    let mut config = server.config();
    config.request_timeout_ms = 150;
    let http = Arc::new(HttpClient::new(&config, &server.url()).unwrap());
    let all = server.store(dialect).await.capabilities();
    let store = CdmiStore::pinned(http, dialect, all);
    (server, store)
}

/// Answers that come after the time-out: an error, and no later request ever sees them.
#[tokio::test(flavor = "multi_thread")]
async fn late_answers_are_never_taken_for_others() {
    let late = Late {
        fraction: 0.3,
        delay_ms: 400,
        landing: Landing::AtOnce,
    };
    let body: Vec<u8> = (0..100_u8).flat_map(|n| [n; 64]).collect();
    let key = Key::new("known").unwrap();
    for dialect in Dialect::ALL {
        let (_server, store) = hasty(dialect, late, &body).await;
        let (mut right, mut late) = (0, Vec::new());
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
                    late.push(error);
                }
            }
        }
        let count = late.len();
        assert!(right > 50 && count > 20, "{right} right, {count} late");
        assert!(
            store.http().stats().snapshot().timeouts >= count as u64,
            "each closes its connection"
        );
        tell(
            dialect,
            "answers reads after the time-out",
            format!("{right} right, {count} tried again: {}", late[0]),
        );
    }
}

/// Writes that are carried out after the time-out, and after their connection was closed: what is acknowledged later is
/// not undone by them.
#[tokio::test(flavor = "multi_thread")]
async fn late_writes_undo_nothing() {
    let late = Late {
        fraction: 0.25,
        delay_ms: 400,
        landing: Landing::AfterDelay,
    };
    let key = Key::new("known").unwrap();
    let each = Dialect::ALL.into_iter().map(|dialect| {
        let key = key.clone();
        async move {
            let (server, store) = hasty(dialect, late, &[0; 64]).await;
            let policy = RetryPolicy {
                landing_grace: Duration::from_millis(800),
                ..RetryPolicy::default()
            };
            let store: Arc<dyn Store> = Arc::new(store);
            let mirrored = Mirrored::new([("only".to_owned(), Arc::clone(&store))], policy).unwrap();
            let written = || std::fs::read(server.pool().join("known")).unwrap();
            for n in 1..=20_u8 {
                mirrored
                    .write_at(&key, 16, Bytes::from(vec![n; 32]), false)
                    .await
                    .unwrap();
                assert_eq!(written()[16..48], [n; 32], "{dialect}: write {n}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(written()[16..48], [20; 32], "{dialect}: afterwards");
            let errors = mirrored.mirrors()[0].errors;
            assert!(errors > 0, "{dialect}: none was late");
            tell(
                dialect,
                "carries out writes after the time-out",
                format!("20 writes in order, {errors} of their tries given up, none lands over a newer one"),
            );
        }
    });
    futures_util::future::join_all(each).await;
}
