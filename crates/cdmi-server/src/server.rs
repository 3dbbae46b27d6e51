//! The listeners and their connections.
//!
//! Every connection has one place of a bounded number before it is accepted. A connection that is slow to send a request's head or
//! body, or to take a response, is closed; see `Limits`. Shutdown lets requests under way end, up to a time.

use crate::config::{Config, Mode};
use crate::error::ServeError;
use crate::http::{RequestLines, Shared, serve};
use crate::peer::{self, Peer};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept (no file descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BACKLOG: i32 = 1024;
/// Most bytes that a connection reads at a time; the limits on heads are checked apart.
const READ_BUFFER_BYTES: usize = 256 << 10;

/// A running server. Dropping it stops the listeners at once and leaves requests under way to the runtime; prefer
/// [`shutdown`](Self::shutdown).
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    listeners: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("tls_addresses", &self.tls_addresses)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the store, listens, and serves until [`shutdown`](Self::shutdown). Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When the root cannot be used or is in use, an address is taken, a file cannot be read, or no address is given.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let tls = config.tls.as_ref().map(crate::tls::acceptor).transpose()?;
        let tls_listen = config
            .tls
            .as_ref()
            .map(|tls| tls.listen.clone())
            .unwrap_or_default();
        if config.listen.is_empty() && tls_listen.is_empty() {
            return Err(ServeError::Config("no address to listen on is given".to_owned()));
        }
        let plain = config
            .listen
            .iter()
            .map(|address| listen(*address))
            .collect::<Result<Vec<_>, _>>()?;
        let secure = tls_listen
            .iter()
            .map(|address| listen(*address))
            .collect::<Result<Vec<_>, _>>()?;
        let local = |list: &[TcpListener]| {
            list.iter()
                .filter_map(|listener| listener.local_addr().ok())
                .collect::<Vec<_>>()
        };
        let (addresses, tls_addresses) = (local(&plain), local(&secure));
        let places = Arc::new(Semaphore::new(config.limits.connections_max.max(1)));
        // Opening the store reads and sweeps a directory.
        let shared = tokio::task::spawn_blocking(move || Shared::new(config))
            .await
            .map_err(|error| ServeError::Config(error.to_string()))??;
        let shared = Arc::new(shared);
        let (stop, stopped) = watch::channel(false);
        let mut listeners = Vec::new();
        for (listener, acceptor) in plain
            .into_iter()
            .map(|l| (l, None))
            .chain(secure.into_iter().map(|l| (l, tls.clone())))
        {
            listeners.push(tokio::spawn(accept(
                listener,
                acceptor,
                shared.clone(),
                places.clone(),
                stopped.clone(),
            )));
        }
        Ok(Server {
            shared,
            addresses,
            tls_addresses,
            listeners,
            stop,
        })
    }

    /// The addresses that speak plain HTTP, in the order of the configuration, with their real ports.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that speak TLS.
    pub fn tls_addrs(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// The root URI of an address of this server, for instance `http://127.0.0.1:8080/cdmi/2.0.0/`; the plain one if there is.
    pub fn base_uri(&self) -> String {
        let prefix = self.shared.config.prefix();
        match (self.addresses.first(), self.tls_addresses.first()) {
            (Some(address), _) => format!("http://{address}{prefix}"),
            (None, Some(address)) => format!("https://{address}{prefix}"),
            (None, None) => prefix,
        }
    }

    /// Stops listening, lets requests under way end for at most `grace`, keeps the entity tags for the next start, and syncs the
    /// file system, so that a reboot after it loses nothing that was acknowledged.
    pub async fn shutdown(mut self, grace: Duration) {
        let _ = self.stop.send(true);
        for listener in &mut self.listeners {
            listener.abort();
            let _ = listener.await;
        }
        // Each connection holds a receiver until it ends.
        let quiet = tokio::time::timeout(grace, self.stop.closed()).await.is_ok();
        if !quiet {
            tracing::warn!("some requests did not end in time and were cut off");
        }
        let store = self.shared.store.clone();
        let settle = move || {
            store.settle();
            if quiet {
                store.end();
            }
        };
        let _ = tokio::task::spawn_blocking(settle).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
        let _ = self.stop.send(true);
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let open = || {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // So that `[::]:80` and `0.0.0.0:80` can both be given.
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| ServeError::Listen { address, source })
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connect(
                    stream,
                    tls.clone(),
                    shared.clone(),
                    place,
                    stopped.clone(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connect(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
    stopped: watch::Receiver<bool>,
) {
    let _place = place;
    let _ = stream.set_nodelay(true);
    let write_timeout = Duration::from_millis(shared.config.limits.write_timeout_ms);
    // A peer that takes nothing for this long is gone, as far as the kernel is concerned.
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(write_timeout));
    // Without a copy of the socket (no file descriptor is left) nobody could look whether the peer is still there.
    let peer = match Peer::of(&stream) {
        Ok(peer) => peer,
        Err(error) => return tracing::warn!(%error, "a connection is closed"),
    };
    match tls {
        None => serve_connection(stream, peer, shared, stopped).await,
        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve_connection(stream, peer, shared, stopped).await,
            Ok(Err(error)) => tracing::info!(%error, "TLS handshake failed"),
            Err(_) => tracing::info!("TLS handshake timed out"),
        },
    }
}

async fn serve_connection<T>(stream: T, peer: Peer, shared: Arc<Shared>, stopped: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if shared.config.mode == Mode::Srb {
        drive(RequestLines::new(stream), peer, shared, stopped).await;
    } else {
        drive(stream, peer, shared, stopped).await;
    }
}

/// Ends when a shutdown was asked for, or the server is gone.
async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn drive<T>(stream: T, peer: Peer, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.config.limits;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_timeout_ms))
        .max_buf_size(READ_BUFFER_BYTES.max(limits.head_bytes_max + limits.uri_bytes_max))
        .title_case_headers(shared.config.mode.has_scal_headers());
    let service = {
        let shared = shared.clone();
        service_fn(move |request| peer::scope(peer.clone(), serve(shared.clone(), request)))
    };
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop_asked(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended with an error");
    }
}
