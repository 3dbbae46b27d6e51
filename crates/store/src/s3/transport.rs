//! How reqsign reaches what hands out credentials: files, the environment, and services over our HTTP client.

use crate::http::{Call, Endpoint, HttpClient};
use crate::{StoreConfig, StoreKind};
use bytes::Bytes;
use http::{Request, Response};
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of an answer with credentials.
const ANSWER_LEN_MAX: u64 = 1 << 20;
/// The metadata service is next door: a host without one must not wait for it.
const CONNECT_TIMEOUT_MS: u64 = 1_500;
const REQUEST_TIMEOUT_MS: u64 = 10_000;

/// HTTP for reqsign.
#[derive(Debug)]
struct Transport {
    /// The authorities of the pool's configuration hold for the service of tokens too.
    config: StoreConfig,
    /// Where requests to Amazon's service of tokens go instead: reqsign knows no other.
    sts: Option<Endpoint>,
    clients: Mutex<HashMap<String, Arc<HttpClient>>>,
}

/// Files for reqsign.
#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        Ok(tokio::fs::read(path).await?)
    }
}

impl Transport {
    fn client(&self, origin: String) -> std::result::Result<Arc<HttpClient>, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&origin) {
            return Ok(Arc::clone(client));
        }
        let client = HttpClient::unauthenticated(&self.config, &origin).map_err(|error| error.to_string())?;
        let client = Arc::new(client);
        clients.insert(origin, Arc::clone(&client));
        Ok(client)
    }
}

impl HttpSend for Transport {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let host = parts.uri.host().unwrap_or_default();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let sts = self.sts.as_ref().filter(|_| host.starts_with("sts."));
        let (origin, target) = match sts {
            Some(sts) => (
                sts.to_string(),
                format!("{}{}", sts.prefix(), path.trim_start_matches('/')),
            ),
            None => {
                let (scheme, authority) = (parts.uri.scheme_str(), parts.uri.authority());
                let authority = authority.map_or("", |authority| authority.as_str());
                (
                    format!("{}://{authority}", scheme.unwrap_or("http")),
                    path.to_owned(),
                )
            }
        };
        let client = self.client(origin.clone()).map_err(Error::config_invalid)?;
        let call = Call {
            method: parts.method,
            target,
            headers: parts
                .headers
                .iter()
                .filter(|(name, _)| *name != http::header::HOST && *name != http::header::CONTENT_LENGTH)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            body,
            answer_len_max: ANSWER_LEN_MAX,
        };
        let answer = client.send(call).await.map_err(|error| {
            Error::unexpected(format!("{origin} does not answer: {}", error.reason)).set_retryable(true)
        })?;
        let mut response = Response::new(answer.body.into_bytes());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// What reqsign needs.
pub(super) fn context(config: &StoreConfig, sts: Option<Endpoint>) -> Context {
    let mut quick = StoreConfig::new(StoreKind::S3, [""]);
    quick.ca_file.clone_from(&config.ca_file);
    quick.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    quick.request_timeout_ms = REQUEST_TIMEOUT_MS;
    Context::new()
        .with_file_read(Files)
        .with_env(OsEnv)
        .with_http_send(Transport {
            config: quick,
            sts,
            clients: Mutex::default(),
        })
}
