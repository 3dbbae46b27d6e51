//! Tokens by OAuth 2.0: for a service account by a statement signed with its key (RFC 7523), on Google's machines from their
//! metadata service.

use super::settings::Source;
use crate::http::{Answer, Call, HttpClient, Secret, status};
use crate::renewed::{Ends, Renewed};
use crate::{StoreConfig, StoreError, StoreKind};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use restblk_types::ErrorKind;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// To read and write objects, and no more.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
const ANSWER_LEN_MAX: u64 = 256 << 10;
/// The longest life that Google gives a statement, and so a token.
const LIFE_S: u64 = 3600;

/// A token, with its end.
pub(super) struct Token {
    pub(super) secret: Secret,
    until: SystemTime,
}

impl Ends for Token {
    fn ends(&self) -> Option<SystemTime> {
        Some(self.until)
    }
}

/// The tokens of one store.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Source,
    config: StoreConfig,
    now: Renewed<Token>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// What of a service account's file is needed.
#[derive(Deserialize)]
struct Account {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    token_uri: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

fn failed(kind: ErrorKind, reason: impl Into<String>) -> StoreError {
    StoreError::new(kind, "get", "a token of Google's", reason)
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The statement that is exchanged for a token, signed.
fn statement(account: &Account) -> Result<String, String> {
    let header = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": account.private_key_id });
    let claims = serde_json::json!({
        "iss": account.client_email, "scope": SCOPE, "aud": account.token_uri, "iat": now_s(), "exp": now_s() + LIFE_S,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let key = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.as_bytes())
        .map_err(|error| format!("its private_key is no PEM: {error}"))?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
        .map_err(|error| format!("its private_key is no RSA key: {error}"))?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(|_| "its private_key cannot sign".to_owned())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

impl Tokens {
    pub(super) fn new(source: Source, config: &StoreConfig) -> Self {
        // Of the store's configuration only the patience: the authorities and certificates are the store's own.
        let mut own = StoreConfig::new(StoreKind::Gcs, [""]);
        own.connect_timeout_ms = config.connect_timeout_ms;
        own.request_timeout_ms = config.request_timeout_ms;
        Self {
            source,
            config: own,
            now: Renewed::default(),
        }
    }

    /// The token to use now; `None` where requests are anonymous.
    pub(super) async fn get(&self) -> Result<Option<Arc<Token>>, StoreError> {
        if self.source == Source::Anonymous {
            return Ok(None);
        }
        self.now.get(self.load()).await.map(Some)
    }

    pub(super) fn refused(&self, used: &Arc<Token>) {
        self.now.forget(used);
    }

    async fn load(&self) -> Result<Token, StoreError> {
        match &self.source {
            Source::ServiceAccount(file) => self.by_account(file).await,
            Source::Metadata(url) => self.by_metadata(url).await,
            Source::Anonymous => Err(failed(ErrorKind::Bug, "nobody needs one")),
        }
    }

    async fn by_account(&self, file: &Path) -> Result<Token, StoreError> {
        let wrong = |reason: String| failed(ErrorKind::Denied, format!("{}: {reason}", file.display()));
        let text = tokio::fs::read(file)
            .await
            .map_err(|error| wrong(error.to_string()))?;
        let account: Account = serde_json::from_slice(&text)
            .map_err(|_| wrong("it is no file of a service account's key, in JSON".to_owned()))?;
        if account.kind != "service_account" {
            return Err(wrong(format!(
                "it is of the type \"{}\": make a key of a service account",
                status::one_line(&account.kind)
            )));
        }
        let statement = statement(&account).map_err(wrong)?;
        let form = (
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let body =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={statement}");
        self.ask(&account.token_uri, Method::POST, form, body).await
    }

    async fn by_metadata(&self, url: &str) -> Result<Token, StoreError> {
        let url = format!(
            "{}/computeMetadata/v1/instance/service-accounts/default/token",
            url.trim_end_matches('/')
        );
        let flavor = (
            HeaderName::from_static("metadata-flavor"),
            HeaderValue::from_static("Google"),
        );
        self.ask(&url, Method::GET, flavor, String::new()).await
    }

    async fn ask(
        &self,
        url: &str,
        method: Method,
        header: (HeaderName, HeaderValue),
        body: String,
    ) -> Result<Token, StoreError> {
        let http = HttpClient::unauthenticated(&self.config, url)?;
        let call = Call {
            method,
            // The client's prefix ends with a slash, and this is no folder.
            target: http.endpoint().prefix().trim_end_matches('/').to_owned(),
            headers: vec![header],
            body: Bytes::from(body),
            answer_len_max: ANSWER_LEN_MAX,
        };
        let answer = http.send(call).await.map_err(|error| {
            let error = error.into_store_error("get", &"a token of Google's", false);
            error.at(http.endpoint())
        })?;
        read(answer).map_err(|error| error.at(http.endpoint()))
    }
}

fn read(answer: Answer) -> Result<Token, StoreError> {
    let status = answer.status;
    let body = answer.body.into_bytes();
    if !status.is_success() {
        let kind = match status.as_u16() {
            408 | 429 | 500..=599 => ErrorKind::Unavailable,
            _ => ErrorKind::Denied,
        };
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let words = ["error", "error_description"].map(|name| said[name].as_str().unwrap_or_default());
        let reason = format!(
            "it is refused (status {}): {}; check the service account, its key, and this host's clock",
            status.as_u16(),
            status::one_line(&words.join(" "))
        );
        return Err(failed(kind, reason));
    }
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
        failed(
            ErrorKind::Invalid,
            "the answer holds none: is that the service of tokens?",
        )
    })?;
    Ok(Token {
        secret: Secret::new(granted.access_token),
        until: SystemTime::now() + Duration::from_secs(granted.expires_in),
    })
}
