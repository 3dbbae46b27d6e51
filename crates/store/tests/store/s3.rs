//! The S3 client against what a friendly server never says: refusals in each form, conditions that collide, uploads that break
//! off. (Friendly servers: tests/e2e/native/store-s3.sh.)

use crate::malice::{Malicious, read_request_and_body};
use bytes::Bytes;
use restblk_store::{ETag, Key, Precondition, S3Store, Store, StoreConfig, StoreError, StoreKind};
use restblk_types::{ErrorKind, Extent};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;

/// A server that answers each request as the script says, and writes down what was asked.
pub(crate) struct Scripted {
    server: Malicious,
    asked: Arc<Mutex<Vec<(String, String)>>>,
    secret: tempfile::NamedTempFile,
}

pub(crate) type Answer = (u16, &'static str, String);

pub(crate) fn answer(status: u16, body: impl Into<String>) -> Answer {
    (status, "", body.into())
}

fn failure(status: u16, code: &str) -> Answer {
    answer(
        status,
        format!("<Error><Code>{code}</Code><Message>words</Message></Error>"),
    )
}

impl Scripted {
    /// `script` is given the head of the request and how many were before it.
    pub(crate) async fn new(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::<(String, String)>::new()));
        let (log, script) = (Arc::clone(&asked), Arc::new(script));
        let server = Malicious::new(move |mut stream, _| {
            let (log, script) = (Arc::clone(&log), Arc::clone(&script));
            async move {
                while let Some((head, body)) = read_request_and_body(&mut stream).await {
                    let (status, headers, body) = {
                        let mut log = log.lock().unwrap();
                        log.push((head.clone(), body));
                        script(&head, log.len() - 1)
                    };
                    let text = format!(
                        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    let body = if head.starts_with("HEAD") {
                        ""
                    } else {
                        body.as_str()
                    };
                    if stream.write_all((text + body).as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "secret-key\n").unwrap();
        Self {
            server,
            asked,
            secret,
        }
    }

    fn config(&self) -> StoreConfig {
        let mut config = StoreConfig::new(
            StoreKind::S3,
            [format!("http://{}/bucket/p", self.server.address)],
        );
        config.request_timeout_ms = 2_000;
        config.user = Some("AKID".to_owned());
        config.password_file = Some(self.secret.path().to_owned());
        config
    }

    fn store(&self) -> S3Store {
        let can = restblk_store::MemoryStore::new().capabilities();
        let config = self.config();
        S3Store::pinned(&config, &config.urls[0], can).unwrap()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server.address
    }

    /// The body of each request so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(|(_, body)| body.clone())
            .collect()
    }

    /// Method and target of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|(head, _)| {
                head.lines()
                    .next()
                    .unwrap()
                    .trim_end_matches(" HTTP/1.1")
                    .to_owned()
            })
            .collect()
    }
}

fn key() -> Key {
    Key::new("vol").unwrap()
}

async fn put(store: &S3Store, len: usize, when: Precondition) -> Result<(), StoreError> {
    store.put(&key(), Bytes::from(vec![7; len]), when).await.map(drop)
}

#[tokio::test]
async fn a_collision_is_no_conflict() {
    // Amazon's 409 says that nothing was done and asks for the request again; 412 says who won.
    let server = Scripted::new(|_, n| match n {
        0 => failure(409, "ConditionalRequestConflict"),
        1 => failure(409, "OperationAborted"),
        2 => answer(200, ""),
        3 => failure(409, "ConditionalRequestConflict"),
        4 => failure(412, "PreconditionFailed"),
        _ => failure(409, "ConditionalRequestConflict"),
    })
    .await;
    let store = server.store();
    put(&store, 3, Precondition::Absent).await.unwrap();
    let lost = put(&store, 3, Precondition::Absent).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Conflict, "{lost}");
    // For ever: to be tried again by whoever tries again, and surely not done.
    let endless = put(&store, 3, Precondition::Absent).await.unwrap_err();
    assert_eq!(endless.kind(), ErrorKind::Retry, "{endless}");
    assert!(!endless.is_ambiguous(), "{endless}");
    assert_eq!(server.asked().len(), 5 + 9);
}

#[tokio::test]
async fn a_state_that_is_gone_is_a_conflict() {
    let server = Scripted::new(|_, _| failure(404, "NoSuchKey")).await;
    let when = Precondition::Matches(ETag("\"t\"".to_owned()));
    let error = put(&server.store(), 3, when).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn the_region_is_learned_from_the_refusal() {
    let server = Scripted::new(|head, _| {
        if head.contains("/eu-north-7/s3/aws4_request") {
            (206, "Content-Range: bytes 0-3/9\r\n", "good".to_owned())
        } else {
            answer(
                400,
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-north-7</Region></Error>",
            )
        }
    })
    .await;
    let store = server.store();
    for _ in 0..2 {
        let found = store.get(&key(), Extent::new(0, 4)).await.unwrap();
        assert_eq!(found.payload.into_bytes(), "good");
    }
    // Once for both.
    assert_eq!(server.asked().len(), 3);

    let mut config = server.config();
    config
        .settings
        .insert("region".to_owned(), "us-west-2".to_owned());
    let pinned = S3Store::pinned(&config, &config.urls[0], store.capabilities()).unwrap();
    let error = pinned.get(&key(), None).await.unwrap_err();
    assert!(
        error.to_string().contains("us-west-2") && error.to_string().contains("eu-north-7"),
        "{error}"
    );
}

#[tokio::test]
async fn expired_credentials_are_read_again_from_their_file() {
    let server = Scripted::new(|head, _| match head.contains("x-amz-security-token: new") {
        true => answer(200, "fine"),
        false => failure(400, "ExpiredToken"),
    })
    .await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "old").unwrap();
    let mut config = server.config();
    let name = token.path().display().to_string();
    config.settings.insert("session_token_file".to_owned(), name);
    let store = S3Store::pinned(&config, &config.urls[0], server.store().capabilities()).unwrap();
    let error = store.get(&key(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let text = format!("{error} {error:?} {store:?}");
    assert!(
        text.contains("expired") && !text.contains("secret-key") && !text.contains("old"),
        "{text}"
    );
    std::fs::write(token.path(), "new\n").unwrap();
    assert_eq!(
        store.get(&key(), None).await.unwrap().payload.into_bytes(),
        "fine"
    );
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    for (status, code, kind, says) in [
        (404, "NoSuchBucket", ErrorKind::Invalid, "no bucket bucket"),
        (403, "AccessDenied", ErrorKind::Denied, "s3:PutObject"),
        (
            403,
            "InvalidAccessKeyId",
            ErrorKind::Denied,
            "does not know the access key",
        ),
        (403, "SignatureDoesNotMatch", ErrorKind::Denied, "secret key"),
        (403, "RequestTimeTooSkewed", ErrorKind::Denied, "clock"),
        (503, "SlowDown", ErrorKind::Unavailable, "fewer requests"),
        (500, "InternalError", ErrorKind::Retry, "failed"),
        (400, "BadDigest", ErrorKind::Retry, "damaged"),
        (400, "RequestTimeout", ErrorKind::Retry, "waited"),
        (403, "QuotaExceeded", ErrorKind::NoSpace, "quota"),
        (501, "NotImplemented", ErrorKind::Unsupported, "cannot"),
        (301, "PermanentRedirect", ErrorKind::Invalid, "region"),
    ] {
        let server = Scripted::new(move |_, _| failure(status, code)).await;
        let error = put(&server.store(), 3, Precondition::Always).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("put vol at http://127.0.0.1:") && text.contains(says),
            "{text}"
        );
        assert_eq!(error.is_ambiguous(), status == 500, "{text}");
    }
}

#[tokio::test]
async fn a_refused_head_is_explained_by_a_get() {
    let server = Scripted::new(|head, _| match head.starts_with("HEAD") {
        true => answer(403, ""),
        false => failure(403, "InvalidAccessKeyId"),
    })
    .await;
    let error = server.store().head(&key()).await.unwrap_err();
    assert!(
        error.to_string().contains("does not know the access key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_with_the_difference() {
    let server = Scripted::new(|_, _| {
        let body = "<Error><Code>RequestTimeTooSkewed</Code></Error>".to_owned();
        (403, "Date: Wed, 01 Jan 2020 00:00:00 GMT\r\n", body)
    })
    .await;
    let error = server.store().get(&key(), None).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("s ahead of the server's: set it right"),
        "{error}"
    );
}

#[tokio::test]
async fn damaged_bytes_are_no_data() {
    let server =
        Scripted::new(|_, _| (200, "x-amz-checksum-crc32c: 4waSgw==\r\n", "123456780".to_owned())).await;
    let error = server.store().get(&key(), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let server =
        Scripted::new(|_, _| (200, "x-amz-checksum-crc32c: 4waSgw==\r\n", "123456789".to_owned())).await;
    server.store().get(&key(), None).await.unwrap();
}

const CREATED: &str =
    "<InitiateMultipartUploadResult><UploadId>u 1</UploadId></InitiateMultipartUploadResult>";

/// An upload of 20 MiB, of which `broken` answers the request that it names.
async fn upload(
    broken: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
) -> (Result<(), StoreError>, Vec<String>) {
    let server = Scripted::new(move |head, _| {
        let target = head.lines().next().unwrap();
        match broken(target) {
            Some(answer) => answer,
            None if target.contains("?uploads") => answer(200, CREATED),
            None if target.starts_with("PUT") => (200, "ETag: \"part\"\r\n", String::new()),
            None if target.starts_with("DELETE") => answer(204, ""),
            None if target.starts_with("GET") => failure(404, "NoSuchUpload"),
            None => answer(
                200,
                "<CompleteMultipartUploadResult><ETag>&quot;all&quot;</ETag></CompleteMultipartUploadResult>",
            ),
        }
    })
    .await;
    let result = put(&server.store(), 20 << 20, Precondition::Always).await;
    (result, server.asked())
}

#[tokio::test]
async fn large_bodies_go_in_parts() {
    let (result, asked) = upload(|_| None).await;
    result.unwrap();
    let parts = asked.iter().filter(|line| line.contains("partNumber=")).count();
    assert_eq!((parts, asked.len()), (3, 5), "{asked:?}");
    assert_eq!(asked[4], "POST /bucket/p/vol?uploadId=u%201");
}

#[tokio::test]
async fn a_broken_upload_is_aborted() {
    let (result, asked) = upload(|target| {
        target
            .contains("partNumber=2")
            .then(|| failure(507, "InsufficientStorage"))
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_ambiguous()),
        (ErrorKind::NoSpace, false),
        "{error}"
    );
    assert!(
        asked.contains(&"DELETE /bucket/p/vol?uploadId=u%201".to_owned()),
        "{asked:?}"
    );

    // The completion may begin well and end badly.
    let late = |target: &str| {
        target
            .starts_with("POST /bucket/p/vol?uploadId")
            .then(|| failure(200, "InternalError"))
    };
    let (result, asked) = upload(late).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_ambiguous()),
        (ErrorKind::Retry, true),
        "{error}"
    );
    assert!(asked.iter().any(|line| line.starts_with("DELETE")), "{asked:?}");
}

#[tokio::test]
async fn a_dropped_upload_is_aborted() {
    let server = Scripted::new(|head, _| match head.lines().next().unwrap() {
        line if line.contains("?uploads") => answer(200, CREATED),
        line if line.starts_with("DELETE") => answer(204, ""),
        line if line.starts_with("GET") => failure(404, "NoSuchUpload"),
        // No end of the header: the answer never comes.
        _ => (100, "", String::new()),
    })
    .await;
    let store = server.store();
    let hasty = tokio::time::timeout(
        std::time::Duration::from_millis(300),
        put(&store, 20 << 20, Precondition::Always),
    )
    .await;
    assert!(hasty.is_err());
    for _ in 0..100 {
        if server.asked().iter().any(|line| line.starts_with("GET")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let asked = server.asked();
    assert_eq!(
        asked[asked.len() - 2..],
        [
            "DELETE /bucket/p/vol?uploadId=u%201",
            "GET /bucket/p/vol?uploadId=u%201"
        ]
    );
}
