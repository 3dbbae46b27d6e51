//! Tokens of Entra ID: asked for with an application's secret, with a platform's token, or as the machine itself.

use super::settings::{Application, Source};
use crate::http::{Answer, Call, HttpClient, Secret, password, quote};
use crate::{StoreConfig, StoreError, StoreKind};
use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use restblk_types::ErrorKind;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

const SCOPE: &str = "https://storage.azure.com/.default";
const RESOURCE: &str = "https://storage.azure.com/";
const ANSWER_LEN_MAX: u64 = 256 << 10;
/// Most characters of the service's own words that are repeated.
const WORDS_LEN_MAX: usize = 200;

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds: a number, or text of one.
    expires_in: Value,
}

#[derive(Default, Deserialize)]
struct Refused {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

fn error(kind: ErrorKind, url: &str, reason: impl Into<String>) -> StoreError {
    StoreError::new(kind, "get", "a token for the store", reason).at(url)
}

fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", quote(value).collect::<String>());
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A new token, and how long it lasts.
pub(super) async fn fetch(source: &Source, config: &StoreConfig) -> Result<(Secret, Duration), StoreError> {
    match source {
        Source::ClientSecret(application) => {
            let secret = password(config)?.unwrap_or_else(|| Secret::new(""));
            exchange(application, &[("client_secret", secret.expose())], config).await
        }
        Source::WorkloadIdentity {
            application,
            token_file,
        } => {
            // The platform replaces it from time to time.
            let assertion = tokio::fs::read_to_string(token_file).await.map_err(|failed| {
                let object = format!("the platform's token {}", token_file.display());
                StoreError::new(ErrorKind::Invalid, "read", object, failed.to_string())
            })?;
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            let proof = [
                ("client_assertion_type", kind),
                ("client_assertion", assertion.trim()),
            ];
            exchange(application, &proof, config).await
        }
        Source::ManagedIdentity {
            client_id,
            metadata_url,
        } => {
            let mut query = vec![("api-version", "2018-02-01"), ("resource", RESOURCE)];
            query.extend(client_id.as_deref().map(|id| ("client_id", id)));
            let metadata = (
                HeaderName::from_static("metadata"),
                HeaderValue::from_static("true"),
            );
            ask(metadata_url, "", config, |path| Call {
                method: Method::GET,
                target: format!("{path}?{}", form(&query)),
                headers: vec![metadata],
                body: Bytes::new(),
                answer_len_max: ANSWER_LEN_MAX,
            })
            .await
        }
        Source::Anonymous | Source::Key { .. } | Source::Sas => Err(error(
            ErrorKind::Bug,
            "nowhere",
            "these credentials have no tokens",
        )),
    }
}

/// The OAuth 2.0 client credentials grant.
async fn exchange(
    application: &Application,
    proof: &[(&str, &str)],
    config: &StoreConfig,
) -> Result<(Secret, Duration), StoreError> {
    let mut pairs = vec![
        ("grant_type", "client_credentials"),
        ("client_id", application.client_id.as_str()),
        ("scope", SCOPE),
    ];
    pairs.extend_from_slice(proof);
    let tenant: String = quote(&application.tenant_id).collect();
    let place = format!("{tenant}/oauth2/v2.0/token");
    ask(&application.authority_url, &place, config, |path| Call {
        method: Method::POST,
        target: path,
        headers: vec![
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            ),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ],
        body: Bytes::from(form(&pairs)),
        answer_len_max: ANSWER_LEN_MAX,
    })
    .await
}

async fn ask(
    url: &str,
    place: &str,
    config: &StoreConfig,
    call: impl FnOnce(String) -> Call,
) -> Result<(Secret, Duration), StoreError> {
    // Of the store's configuration only the patience: the authorities and certificates are the store's own.
    let mut own = StoreConfig::new(StoreKind::Azure, [url]);
    own.connect_timeout_ms = config.connect_timeout_ms;
    own.request_timeout_ms = config.request_timeout_ms;
    let http = HttpClient::unauthenticated(&own, url)?;
    let path = format!("{}{place}", http.endpoint().prefix());
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let answer = http.send(call(path.to_owned())).await.map_err(|failed| {
        let failed = failed.into_store_error("get", &"a token for the store", false);
        failed.at(http.endpoint())
    })?;
    read(answer, &http.endpoint().to_string())
}

fn read(answer: Answer, url: &str) -> Result<(Secret, Duration), StoreError> {
    let status = answer.status;
    let body = answer.body.into_bytes();
    if !status.is_success() {
        let said: Refused = serde_json::from_slice(&body).unwrap_or_default();
        let words: String = format!("{} {}", said.error, said.error_description)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(WORDS_LEN_MAX)
            .collect();
        let kind = match status.as_u16() {
            408 | 410 | 429 | 500..=599 => ErrorKind::Unavailable,
            404 => ErrorKind::Invalid,
            _ => ErrorKind::Denied,
        };
        let reason = format!(
            "the identity service refuses (status {}): {}; check `tenant_id`, `client_id` and the secret, or this machine's identity",
            status.as_u16(),
            words.trim()
        );
        return Err(error(kind, url, reason));
    }
    let wrong = |reason: &str| {
        error(
            ErrorKind::Invalid,
            url,
            format!("{reason}: is this the identity service?"),
        )
    };
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| wrong("its answer holds no token"))?;
    let seconds = match &granted.expires_in {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let seconds = seconds.ok_or_else(|| wrong("its token has no lifetime"))?;
    Ok((Secret::new(granted.access_token), Duration::from_secs(seconds)))
}
