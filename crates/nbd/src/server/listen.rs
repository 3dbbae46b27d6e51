//! Where clients connect: Unix sockets with a mode and a group, TCP addresses of either family.

use super::{
    Server, ServerError, Tls,
    connection::{self, Admission, Duplex},
};
use crate::sockbuf;
use socket2::{SockRef, TcpKeepalive};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinHandle,
};

/// After how long an idle TCP client is asked whether it is still there, and how often.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long accepting rests after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may connect to a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixAccess {
    /// Permission bits, such as 0o600.
    pub mode: u32,
    /// The group that owns the socket; `None` leaves the process' own.
    pub group: Option<u32>,
}

impl Default for UnixAccess {
    /// The owner alone.
    fn default() -> Self {
        Self {
            mode: 0o600,
            group: None,
        }
    }
}

/// A place where the server accepts clients, until this is dropped. Connections outlive it.
#[derive(Debug)]
pub struct Listening {
    uri: String,
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
    task: JoinHandle<()>,
}

impl Listening {
    /// For people and NBD clients, without an export: `nbd://[::1]:10809` or `nbd+unix:///?socket=/run/x`; `nbds` where
    /// TLS is required.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The TCP address with the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.unix {
            // Somebody may have cleaned up before us.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Server {
    fn scheme(&self) -> &'static str {
        match self.shared.tls {
            Tls::Off | Tls::Allow(_) => "nbd",
            Tls::Require(_) => "nbds",
        }
    }

    /// Accepts clients on a Unix socket. A socket that a dead process left there is replaced.
    pub async fn listen_unix(&self, path: &Path, access: UnixAccess) -> Result<Listening, ServerError> {
        let address = path.display().to_string();
        if UnixStream::connect(path).await.is_ok() {
            return Err(ServerError::AddressInUse { address });
        }
        let listener = bind_unix(path, access).map_err(|source| ServerError::Listen {
            address: address.clone(),
            source,
        })?;
        let uri = format!("{}+unix:///?socket={address}", self.scheme());
        let task = tokio::spawn(accept(self.clone(), uri.clone(), listener));
        Ok(Listening {
            uri,
            tcp: None,
            unix: Some(path.to_owned()),
            task,
        })
    }

    /// Accepts clients on a TCP address; port 0 lets the system choose.
    pub async fn listen_tcp(&self, address: SocketAddr) -> Result<Listening, ServerError> {
        let listen = async {
            let listener = TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        };
        let (listener, bound) = listen.await.map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServerError::AddressInUse {
                address: address.to_string(),
            },
            _ => ServerError::Listen {
                address: address.to_string(),
                source,
            },
        })?;
        let uri = format!("{}://{bound}", self.scheme());
        let task = tokio::spawn(accept(self.clone(), uri.clone(), listener));
        Ok(Listening {
            uri,
            tcp: Some(bound),
            unix: None,
            task,
        })
    }
}

/// Binds beside the path and moves the socket there once its permissions are right, so that nobody connects before.
fn bind_unix(path: &Path, access: UnixAccess) -> io::Result<UnixListener> {
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    let place = || {
        if access.group.is_some() {
            std::os::unix::fs::chown(&beside, None, access.group)?;
        }
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(access.mode))?;
        std::fs::rename(&beside, path)
    };
    place().inspect_err(|_| {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&beside);
    })?;
    Ok(listener)
}

trait Accept: Send + 'static {
    type Stream: Duplex;
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, String)>> + Send;
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    async fn next(&self) -> io::Result<(UnixStream, String)> {
        let (stream, _) = self.accept().await?;
        sockbuf::widen(&stream);
        let peer = stream.peer_cred().map_or_else(
            |_| "unix".to_owned(),
            |cred| format!("unix uid {} pid {}", cred.uid(), cred.pid().unwrap_or_default()),
        );
        Ok((stream, peer))
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = self.accept().await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
        Ok((stream, peer.to_string()))
    }
}

async fn accept<L: Accept>(server: Server, uri: String, listener: L) {
    loop {
        let accepted = tokio::select! {
            () = server.shared.closing() => return,
            accepted = listener.next() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match Admission::new(&server.shared) {
                Some(admission) => {
                    tokio::spawn(connection::run(admission, stream, peer));
                }
                None => tracing::warn!(
                    uri,
                    peer,
                    "a client was turned away: the server has all connections it may have"
                ),
            },
            Err(error) => {
                tracing::warn!(uri, %error, "a client could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
