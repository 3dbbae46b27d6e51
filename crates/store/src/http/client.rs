//! The client of one endpoint: one call, one exchange.

use super::connect::Connector;
use super::connection::{Clock, Connection, Failed, Limits};
use super::endpoint::Endpoint;
use super::error::{Class, HttpError};
use super::greet::{Greeter, Lane, greeted};
use super::pool::Pool;
use super::secret::Secret;
use super::stats::Stats;
use super::tls::Tls;
use crate::folders::LARGE_BODY_LEN;
use crate::{Payload, StoreConfig, StoreError};
use base64::Engine;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, DATE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use restblk_types::ErrorKind;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The slowest server that is waited for: bytes that it moves in a second.
const RATE_MIN: u64 = 128 << 10;
/// Longest body of an answer that reports a failure; the rest is of no interest.
const FAILURE_LEN_MAX: u64 = 64 << 10;
/// Where so many connections in a row were closed right after they had been looked at, and each was the right server's, it is one that closes each
/// after its answer: the next one carries the request at once. One that is going down makes no further connection. Of a server that is known to
/// close them one is looked at before each request.
const GREETINGS_MAX: u32 = 3;

/// An HTTP/1.1 client of one endpoint.
pub struct HttpClient {
    endpoint: Endpoint,
    connector: Connector,
    pool: Pool,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    request_timeout: Duration,
    greeter: OnceLock<Arc<dyn Greeter>>,
    /// The server closes each connection after its answer, as far as was seen.
    closes: AtomicBool,
}

/// A request.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Quoted path from the root, and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    /// Longest body of a successful answer.
    pub(crate) answer_len_max: u64,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("endpoint", &self.endpoint.to_string())
            .finish_non_exhaustive()
    }
}

fn invalid(url: &dyn fmt::Display, reason: impl fmt::Display) -> StoreError {
    StoreError::new(ErrorKind::Invalid, "open", url, reason.to_string())
}

/// The password, or what a protocol has in its place, from where the configuration says it is.
pub(crate) fn password(config: &StoreConfig) -> Result<Option<Secret>, StoreError> {
    if let Some(file) = &config.password_file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            StoreError::new(
                ErrorKind::Invalid,
                "read",
                format!("the password file {}", file.display()),
                error.to_string(),
            )
        })?;
        return Ok(Some(Secret::new(text.lines().next().unwrap_or_default())));
    }
    let Some(variable) = &config.password_env else {
        return Ok(None);
    };
    match std::env::var(variable) {
        Ok(text) => Ok(Some(Secret::new(text))),
        Err(_) => {
            let object = format!("the environment variable {variable}");
            Err(StoreError::new(
                ErrorKind::Invalid,
                "read",
                object,
                "it is not set, or no text",
            ))
        }
    }
}

fn basic(user: &str, password: &Secret) -> Option<HeaderValue> {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl HttpClient {
    /// A client of this URL that authenticates itself by user and password, where the configuration has them (Basic). Reads
    /// the configured files; opens no connection.
    pub fn new(config: &StoreConfig, url: &str) -> Result<Self, StoreError> {
        let mut client = Self::unauthenticated(config, url)?;
        client.authorization = match (&config.user, password(config)?) {
            (Some(user), _) if user.contains(':') => {
                return Err(invalid(&client.endpoint, "a user name cannot have a colon"));
            }
            (Some(user), Some(password)) => basic(user, &password),
            _ => None,
        };
        Ok(client)
    }

    /// The same, without credentials: those of the protocol are in each call's headers.
    pub(crate) fn unauthenticated(config: &StoreConfig, url: &str) -> Result<Self, StoreError> {
        // A URL that is refused may hold a password: it is not repeated.
        let endpoint: Endpoint = url.parse().map_err(|error| invalid(&"the store's URL", error))?;
        let tls = endpoint
            .is_tls()
            .then(|| Tls::new(config, endpoint.host()))
            .transpose()?;
        let host = HeaderValue::try_from(endpoint.authority()).map_err(|error| invalid(&endpoint, error))?;
        Ok(Self {
            connector: Connector {
                endpoint: endpoint.clone(),
                tls,
                connect_timeout: config.connect_timeout(),
                user_timeout: config.request_timeout(),
            },
            pool: Pool::new(config.connections_max, config.idle_timeout()),
            host,
            authorization: None,
            request_timeout: config.request_timeout(),
            greeter: OnceLock::new(),
            closes: AtomicBool::new(false),
            endpoint,
        })
    }

    /// Where it goes.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its figures.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.pool.stats
    }

    /// Has who answers looked at on each connection before its next use; the first greeter stays.
    pub(crate) fn set_greeter(&self, greeter: Arc<dyn Greeter>) {
        // Who comes second is of another pool, which there is none of.
        let _ = self.greeter.set(greeter);
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, HttpError> {
        let uri = Uri::from_maybe_shared(Bytes::from(call.target)).map_err(|error| {
            HttpError::unsent(Class::Invalid, format!("its URL cannot be asked for: {error}"))
        })?;
        let sized = call.body.is_empty() && matches!(call.method, Method::PUT | Method::PATCH | Method::POST);
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("restblk/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if sized {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers.extend(call.headers);
        Ok(request)
    }

    /// How long the answer to a request with a body of this length is waited for.
    pub(crate) fn patience(&self, sent: usize) -> Duration {
        self.request_timeout + time_for(sent as u64)
    }

    fn limits(&self, sent: usize) -> Limits {
        let idle = self.request_timeout;
        let first_byte = self.patience(sent);
        Limits {
            idle,
            first_byte,
            whole: first_byte,
        }
    }

    /// Sends the call and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, HttpError> {
        let stats = &self.pool.stats;
        let lane = self.greeter.get().and_then(|_| Lane::current(stats));
        let _place = match &lane {
            None => Some(self.pool.place().await),
            Some(_) => None,
        };
        let _in_flight = stats.begin(call.body.len());
        let result = self.exchange(call, lane.as_ref()).await;
        match &result {
            Ok((answer, took)) => {
                stats.answered(*took, answer.body.len(), answer.status.is_server_error());
                if let Some(time) = server_time(&answer.headers) {
                    stats.server_time(time, SystemTime::now());
                }
            }
            Err(error) => stats.failed(error.class == Class::TimedOut),
        }
        result.map(|(answer, _)| answer)
    }

    fn greetings_max(&self) -> u32 {
        if self.closes.load(Ordering::Relaxed) {
            1
        } else {
            GREETINGS_MAX
        }
    }

    async fn connect(&self) -> Result<Connection, HttpError> {
        Connection::new(self.connector.connect().await?, self.pool.stats.connected()).await
    }

    /// A connection for one exchange, and whether it was a kept one.
    async fn connection(&self, lane: Option<&Lane>) -> Result<(Connection, bool), HttpError> {
        let mut in_vain = 0;
        loop {
            let kept = match lane {
                None => self.pool.take().await,
                Some(lane) => lane.take(),
            };
            let (connection, is_kept) = match kept {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            let is_fine = connection.greeted || lane.is_some() || in_vain >= self.greetings_max();
            let Some(greeter) = self.greeter.get().filter(|_| !is_fine) else {
                return Ok((connection, is_kept));
            };
            let look = greeted(greeter.as_ref(), connection, &self.pool.stats);
            if let Some(connection) = Box::pin(look).await? {
                self.closes.store(false, Ordering::Relaxed);
                return Ok((connection, is_kept));
            }
            in_vain += 1;
            if in_vain == GREETINGS_MAX {
                self.closes.store(true, Ordering::Relaxed);
            }
        }
    }

    async fn exchange(&self, call: Call, lane: Option<&Lane>) -> Result<(Answer, Duration), HttpError> {
        let (sent_len, len_max) = (call.body.len(), call.answer_len_max);
        let limits = self.limits(sent_len);
        let mut request = self.request(call)?;
        loop {
            let (mut connection, kept) = self.connection(lane).await?;
            let begun = Instant::now();
            let mut timer = std::pin::pin!(Clock::timer(&limits, begun));
            let mut clock = Clock::new(timer.as_mut(), &limits, begun);
            let response = match connection.send(request, &mut clock).await {
                Ok(response) => response,
                // Never written: the next connection may have it. A fresh one that cannot take it is broken.
                Err(Failed::Unsent(back, _)) if kept => {
                    request = *back;
                    continue;
                }
                Err(Failed::Unsent(_, error) | Failed::Error(error)) => return Err(error),
            };
            let (head, mut body) = response.into_parts();
            let answer_len_max = if head.status.is_success() {
                len_max
            } else {
                FAILURE_LEN_MAX
            };
            let announced = head
                .headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            if let Some(len) = announced.filter(|&len| len > answer_len_max && body_follows(&body)) {
                let reason = format!(
                    "it answers {} with {len} bytes where at most {answer_len_max} make sense",
                    head.status
                );
                return Err(HttpError::sent(Class::Overlong, reason));
            }
            clock.allow(time_for(announced.unwrap_or(answer_len_max)));
            let body = connection
                .read_body(&mut body, answer_len_max, &mut clock)
                .await?;
            let took = begun.elapsed();
            connection.complete();
            // Refused unread, perhaps: the server is about to close the connection then.
            let is_doubtful = sent_len >= LARGE_BODY_LEN && !head.status.is_success();
            match lane {
                _ if is_doubtful => {}
                None => self.pool.keep(connection).await,
                Some(lane) => lane.put(connection).await,
            }
            return Ok((
                Answer {
                    status: head.status,
                    headers: head.headers,
                    body,
                },
                took,
            ));
        }
    }
}

/// The time that an answer tells, in seconds since 1970.
pub(crate) fn server_time(headers: &HeaderMap) -> Option<u64> {
    let time = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// False for answers to `HEAD` and such, which announce a length and send nothing.
fn body_follows(body: &hyper::body::Incoming) -> bool {
    !hyper::body::Body::is_end_stream(body)
}

/// The time that bytes need at the slowest rate that is waited for.
fn time_for(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / RATE_MIN)
}
