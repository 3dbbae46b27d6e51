//! The client of Google Cloud Storage where no emulator goes: tokens by a service account's key and from the metadata service, and
//! refusals. (The API itself: tests/e2e/native/store-gcs.sh.)

use crate::s3::{Scripted, answer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use restblk_store::{GcsStore, Key, MemoryStore, Precondition, Store, StoreConfig, StoreKind};
use restblk_types::ErrorKind;
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

fn key() -> Key {
    Key::new("vol").unwrap()
}

fn store(server: &Scripted, settings: &[(&str, &str)]) -> GcsStore {
    let url = format!("http://{}/bucket/p/", server.address());
    let mut config = StoreConfig::new(StoreKind::Gcs, [url.clone()]);
    config.request_timeout_ms = 2_000;
    config.settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    GcsStore::pinned(&config, &url, MemoryStore::new().capabilities()).unwrap()
}

/// A fresh key of a service account, as Google's file has it.
fn account(token_uri: &str) -> (tempfile::NamedTempFile, KeyPair) {
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    let pem = String::from_utf8(made.stdout).unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = serde_json::json!({
        "type": "service_account", "client_email": "me@test", "private_key_id": "1", "private_key": pem, "token_uri": token_uri,
    });
    std::fs::write(file.path(), text.to_string()).unwrap();
    (file, pair)
}

#[tokio::test]
async fn a_service_accounts_statement_is_signed_and_its_token_used_and_renewed() {
    let server = Scripted::new(|head, _| match head {
        head if head.starts_with("POST /token ") => answer(
            200,
            r#"{"access_token":"t0ken","expires_in":3599,"token_type":"Bearer"}"#,
        ),
        head if head.contains("authorization: Bearer t0ken") => {
            answer(200, r#"{"size":"7","generation":"42"}"#)
        }
        _ => answer(401, r#"{"error":{"code":401,"message":"Invalid Credentials"}}"#),
    })
    .await;
    let (file, pair) = account(&format!("http://{}/token", server.address()));
    let store = store(&server, &[("credentials_file", file.path().to_str().unwrap())]);
    for _ in 0..2 {
        let info = store.head(&key()).await.unwrap();
        assert_eq!((info.size, info.etag.unwrap().0.as_str()), (7, "42"));
    }
    assert_eq!(
        server.asked(),
        [
            "POST /token",
            "GET /storage/v1/b/bucket/o/p%2Fvol?fields=size,generation",
            "GET /storage/v1/b/bucket/o/p%2Fvol?fields=size,generation",
        ]
    );
    let body = server.bodies().remove(0);
    let (grant, statement) = body.split_once("&assertion=").unwrap();
    assert_eq!(
        grant,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    );
    let (signed, signature) = statement.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    public.verify(signed.as_bytes(), &signature).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "me@test");
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
    let shown = format!("{store:?}");
    assert!(!shown.contains("t0ken") && !shown.contains("PRIVATE"), "{shown}");
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_renewed_once() {
    let server = Scripted::new(|head, n| match head {
        head if head.starts_with("GET /computeMetadata/v1/instance/service-accounts/default/token") => {
            answer(200, format!(r#"{{"access_token":"n{n}","expires_in":3599}}"#))
        }
        head if head.contains("Bearer n2") => answer(200, r#"{"size":"7","generation":"42"}"#),
        _ => answer(401, "{}"),
    })
    .await;
    let url = format!("http://{}/", server.address());
    let store = store(&server, &[("credentials", "metadata"), ("metadata_url", &url)]);
    store.head(&key()).await.unwrap();
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    for (status, message, kind, says) in [
        (403, "no", ErrorKind::Denied, "storage.objects.create"),
        (
            404,
            "The specified bucket does not exist.",
            ErrorKind::Invalid,
            "no bucket bucket",
        ),
        (412, "Precondition", ErrorKind::Conflict, "somebody else"),
        (429, "rate", ErrorKind::Unavailable, "fewer requests"),
        (503, "later", ErrorKind::Unavailable, "not available"),
        (500, "oops", ErrorKind::Retry, "failed"),
    ] {
        let server =
            Scripted::new(move |_, _| answer(status, format!(r#"{{"error":{{"message":"{message}"}}}}"#)))
                .await;
        let store = store(&server, &[("credentials", "anonymous")]);
        let error = store
            .put(&key(), "body".into(), Precondition::Absent)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.is_ambiguous()),
            (kind, status == 500),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with("put vol at http://127.0.0.1:") && text.contains(says),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_upload_that_arrived_damaged_is_no_success() {
    let server = Scripted::new(|_, _| answer(200, r#"{"generation":"1","crc32c":"AAAAAA=="}"#)).await;
    let store = store(&server, &[("credentials", "anonymous")]);
    let error = store
        .put(&key(), "body".into(), Precondition::Always)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}
