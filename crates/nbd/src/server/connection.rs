//! One client, from the accepted socket to its end.

use super::{
    Shared, Tls,
    handshake::{Handshake, Outcome},
};
use crate::transmission::{End, Session, Spoken, serve};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A stream whose halves are used by two tasks.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + Sized + 'static {
    type Read: AsyncRead + Unpin + Send;
    type Write: AsyncWrite + Unpin + Send + 'static;
    fn halves(self) -> (Self::Read, Self::Write);
}

impl Duplex for TcpStream {
    type Read = tokio::net::tcp::OwnedReadHalf;
    type Write = tokio::net::tcp::OwnedWriteHalf;
    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

impl Duplex for UnixStream {
    type Read = tokio::net::unix::OwnedReadHalf;
    type Write = tokio::net::unix::OwnedWriteHalf;
    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

impl<S: Duplex> Duplex for TlsStream<S> {
    type Read = tokio::io::ReadHalf<Self>;
    type Write = tokio::io::WriteHalf<Self>;
    fn halves(self) -> (Self::Read, Self::Write) {
        tokio::io::split(self)
    }
}

/// An open connection, counted.
#[derive(Debug)]
pub(super) struct Admission(Arc<Shared>);

impl Admission {
    /// `None` where the server is full.
    pub(super) fn new(shared: &Arc<Shared>) -> Option<Self> {
        let admit = |open: &mut usize| {
            let free = *open < shared.limits.connections;
            *open += usize::from(free);
            free
        };
        shared
            .connections
            .send_if_modified(admit)
            .then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.connections.send_modify(|open| *open -= 1);
    }
}

/// Serves a client until it is gone and nothing of it is in flight.
pub(super) async fn run<S: Duplex>(admission: Admission, stream: S, peer: String) {
    let shared = Arc::clone(&admission.0);
    tokio::select! {
        () = shared.closing() => {}
        result = negotiate(&shared, stream) => match result {
            Ok(Some(ready)) => ready.transmit(&shared, &peer).await,
            Ok(None) => tracing::debug!(%peer, "a client left in the handshake"),
            Err(error) => tracing::debug!(%peer, %error, "a handshake failed"),
        },
    }
}

/// A connection after the handshake.
enum Ready<S: Duplex> {
    Plain(S, Chosen),
    Tls(Box<TlsStream<S>>, Chosen),
}

struct Chosen {
    used: super::exports::ExportUse,
    spoken: Spoken,
}

async fn negotiate<S: Duplex>(shared: &Shared, stream: S) -> io::Result<Option<Ready<S>>> {
    timeout(shared.limits.handshake, handshake(shared, stream))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn handshake<S: Duplex>(shared: &Shared, mut stream: S) -> io::Result<Option<Ready<S>>> {
    let mut handshake = Handshake::greet(shared, &mut stream).await?;
    match handshake.options(&mut stream).await? {
        Outcome::Over => return Ok(None),
        Outcome::Transmit { used, spoken } => {
            return Ok(Some(Ready::Plain(stream, Chosen { used, spoken })));
        }
        Outcome::StartTls => {}
    }
    let (Tls::Allow(config) | Tls::Require(config)) = &shared.tls else {
        return Ok(None);
    };
    let mut stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
    match handshake.encrypted().options(&mut stream).await? {
        Outcome::Transmit { used, spoken } => Ok(Some(Ready::Tls(Box::new(stream), Chosen { used, spoken }))),
        Outcome::Over | Outcome::StartTls => Ok(None),
    }
}

impl<S: Duplex> Ready<S> {
    async fn transmit(self, shared: &Shared, peer: &str) {
        match self {
            Self::Plain(stream, chosen) => transmit(shared, stream, chosen, peer).await,
            Self::Tls(stream, chosen) => transmit(shared, *stream, chosen, peer).await,
        }
    }
}

async fn transmit<S: Duplex>(shared: &Shared, stream: S, chosen: Chosen, peer: &str) {
    let Chosen { used, spoken } = chosen;
    tracing::info!(peer, export = used.export.name, "a client is connected");
    let session = Session {
        device: Arc::clone(&used.export.device),
        spoken,
        account: shared.account(),
        gate: None,
        stall: shared.limits.stall,
    };
    let (read, write) = stream.halves();
    let stop = async {
        tokio::select! {
            () = used.removed() => {}
            () = shared.closing() => {}
        }
    };
    let (end, drain) = serve(read, write, session, stop).await;
    drain.await;
    match end {
        End::Broken(error) => {
            tracing::info!(peer, export = used.export.name, %error, "a client's connection broke")
        }
        end => tracing::info!(
            peer,
            export = used.export.name,
            ?end,
            "a client's connection ended"
        ),
    }
}
