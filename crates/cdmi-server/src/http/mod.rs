//! The protocol: what every request goes through, whatever it asks for.
//!
//! In this order: limits on the URI, authentication, (deliberate lateness), the route, and the access log. The store's calls block,
//! so they run on the blocking pool, at most so many at a time; reads and changes are counted apart, so that changes that wait
//! for one another cannot keep reads from running.

mod auth;
mod body;
mod capabilities;
mod conditions;
mod container;
mod fields;
mod lock;
mod object_put;
mod object_read;
mod object_update;
mod path;
mod pieces;
mod query;
mod range;
mod request_line;
mod respond;
mod route;
mod srb;

use body::Body;
pub(crate) use request_line::RequestLines;

use crate::config::{Config, Mode};
use crate::error::{Error, Result, ServeError};
use crate::peer;
use crate::quirks::{Landing, LateCounter};
use crate::store::{Entry, Stat, Store};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory for bodies is counted in these.
const MEMORY_UNIT_BYTES: u64 = 4096;
/// Names the volatile cache that took a change or was flushed.
const INSTANCE: HeaderName = HeaderName::from_static("restblk-instance");

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    prefix: String,
    users: Option<auth::Users>,
    reads: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units: u32,
    pieces: Arc<pieces::Pieces>,
    late: LateCounter,
    /// The header's value that names the volatile cache, where there is one and the dialect has extensions.
    instance: Option<HeaderValue>,
}

/// Which of the two pools a call to the store goes to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Read,
    Change,
}

impl Shared {
    pub(crate) fn new(config: Config) -> std::result::Result<Self, ServeError> {
        let users = config.auth.as_ref().map(auth::Users::load).transpose()?;
        let store = Store::open(&config)?;
        let units = u32::try_from(config.limits.buffered_bytes_max / MEMORY_UNIT_BYTES)
            .unwrap_or(u32::MAX >> 4)
            .max(1);
        let instance = config
            .instance
            .or(store.instance())
            .filter(|_| config.mode != Mode::Srb)
            .and_then(|id| HeaderValue::try_from(format!("{id:032x}")).ok());
        Ok(Shared {
            instance,
            prefix: config.prefix(),
            users,
            reads: Arc::new(Semaphore::new(config.limits.file_operations_max.max(1))),
            changes: Arc::new(Semaphore::new(config.limits.file_operations_max.max(1))),
            memory: Arc::new(Semaphore::new(units as usize)),
            memory_units: units,
            pieces: Arc::default(),
            late: LateCounter::default(),
            store,
            config,
        })
    }

    /// Calls the store on the blocking pool. The call runs to its end even if nobody waits for it any more; a change does not begin
    /// once its peer is gone.
    async fn blocking<T: Send + 'static>(
        &self,
        kind: Kind,
        call: impl FnOnce(&Arc<Store>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let pool = match kind {
            Kind::Read => &self.reads,
            Kind::Change => &self.changes,
        };
        let permit = pool.clone().acquire_owned().await.map_err(gone)?;
        let store = self.store.clone();
        let peer = peer::of_task().filter(|_| matches!(kind, Kind::Change));
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            peer::call(peer, || {
                peer::still_there()?;
                call(&store)
            })
        })
        .await
        .map_err(gone)?
    }

    fn users_are_required(&self) -> bool {
        self.users.is_some()
    }

    /// Takes memory for a body; a body larger than all of it takes all of it.
    async fn reserve_memory(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT_BYTES))
            .unwrap_or(u32::MAX)
            .min(self.memory_units);
        self.memory.clone().acquire_many_owned(units).await.map_err(gone)
    }

    /// An object and what its file is now; at once if the file is open.
    async fn object(&self, path: &str) -> Result<(Arc<Entry>, Stat)> {
        if let Some(entry) = self.store.cached(path) {
            let stat = entry.stat()?;
            if stat.linked {
                return Ok((entry, stat));
            }
        }
        let path = path.to_owned();
        self.blocking(Kind::Read, move |store| {
            let entry = store.lookup(&path)?;
            let stat = entry.stat()?;
            Ok((entry, stat))
        })
        .await
    }
}

fn gone(error: impl std::fmt::Display) -> Error {
    Error::Io {
        what: "finish the request",
        source: std::io::Error::other(error.to_string()),
    }
}

/// Answers one request.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> std::result::Result<
    Response<impl hyper::body::Body<Data = bytes::Bytes, Error = std::io::Error> + Send>,
    Infallible,
> {
    let started = Instant::now();
    let method = request.method().clone();
    let path = tracing::enabled!(tracing::Level::INFO).then(|| request.uri().path().to_owned());
    let late = shared
        .config
        .quirks
        .late
        .filter(|late| shared.late.next_is_late(late.fraction));
    let response = match late {
        None => answer(&shared, request).await,
        Some(late) => {
            let delay = Duration::from_millis(late.delay_ms);
            // In a task of its own, so that it goes on when the client closes the connection.
            let shared = shared.clone();
            let task = tokio::spawn(async move {
                if late.landing == Landing::AfterDelay {
                    // The body has to be taken off the wire first: it is gone with the connection.
                    return late_landing(&shared, request, delay).await;
                }
                let response = answer(&shared, request).await;
                tokio::time::sleep(delay).await;
                response
            });
            task.await.unwrap_or_else(|error| respond::error(&gone(error)))
        }
    };
    if let Some(path) = path {
        tracing::info!(
            target: "restblk_cdmi_server::access",
            %method,
            path,
            status = response.status().as_u16(),
            bytes = response.body().length(),
            ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
    }
    Ok(response)
}

async fn late_landing(shared: &Arc<Shared>, request: Request<Incoming>, delay: Duration) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let limit = shared.config.limits.range_bytes_max;
    match body::collect(shared, &head.headers, &mut body, limit).await {
        Err(error) => respond::error(&error),
        Ok(collected) => {
            tokio::time::sleep(delay).await;
            guarded(shared, head, route::Payload::Collected(collected.bytes)).await
        }
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let can_be_heard = body::can_be_heard(shared, &head.headers, &body);
    let response = guarded(shared, head, route::Payload::Incoming(&mut body)).await;
    if can_be_heard && !response.status().is_success() && response.status() != StatusCode::REQUEST_TIMEOUT {
        body::hear_out(shared, &mut body).await;
    }
    response
}

async fn guarded(
    shared: &Arc<Shared>,
    head: http::request::Parts,
    body: route::Payload<'_>,
) -> Response<Body> {
    let uri = head.uri.clone();
    let method = head.method.clone();
    let request = route::Request { head, body };
    let result = match check(shared, &request) {
        Ok(()) => route::route(shared, request).await,
        Err(error) => Err(error),
    };
    let mut response = result.unwrap_or_else(|error| match &error {
        Error::IsContainer(path) => respond::moved(&shared.prefix, path, uri.query(), &error),
        error => respond::error(error),
    });
    // A flush may be a HEAD.
    if let Some(instance) = &shared.instance
        && method != Method::GET
        && response.status().is_success()
    {
        response.headers_mut().insert(INSTANCE, instance.clone());
    }
    if method == Method::HEAD && !matches!(response.body(), Body::Empty) {
        // hyper sends no body to a HEAD, but takes the length from it.
        let length = response.body().length();
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Body::Empty;
    }
    response
}

fn check(shared: &Shared, request: &route::Request<'_>) -> Result<()> {
    let limit = shared.config.limits.uri_bytes_max;
    let length = request
        .head
        .uri
        .path_and_query()
        .map_or(0, |uri| uri.as_str().len());
    if length > limit {
        return Err(Error::UriTooLong(limit));
    }
    let head: usize = request
        .head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if head > shared.config.limits.head_bytes_max {
        return Err(Error::HeadTooLarge(shared.config.limits.head_bytes_max));
    }
    match &shared.users {
        Some(users) => users.check(&request.head.headers),
        None => Ok(()),
    }
}
