//! Making a connection: name to addresses, addresses in turn, socket options, TLS.
//!
//! Addresses of both families are interleaved; the next one starts when the one before has failed or has taken a quarter
//! of a second (RFC 8305), and the first to connect wins. Each connection resolves the name anew: what may be remembered of it is the system's
//! resolver's business.

use super::endpoint::{Endpoint, Host};
use super::error::{Class, HttpError};
use super::tls::Tls;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const STAGGER: Duration = Duration::from_millis(250);
/// Idle time before the kernel asks the peer whether it is there, and between its questions.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connected socket, with TLS or without. Closed in the middle of an exchange it is reset: what was not sent yet is thrown away, and
/// what lies between is told that nobody waits any more. A request that was given up must not be carried out later.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    in_exchange: InExchange,
}

#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Whether an exchange is under way on a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct InExchange(Arc<AtomicBool>);

impl InExchange {
    pub(super) fn set(&self, under_way: bool) {
        self.0.store(under_way, Ordering::Relaxed);
    }
}

impl Stream {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            in_exchange: InExchange::default(),
        }
    }

    pub(super) fn in_exchange(&self) -> InExchange {
        self.in_exchange.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.in_exchange.0.load(Ordering::Relaxed) {
            let tcp = match &self.socket {
                Socket::Plain(tcp) => tcp,
                Socket::Tls(tls) => tls.get_ref().0,
            };
            // Where that fails it is closed as ever.
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }
}

/// How to connect.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<Tls>,
    pub(super) connect_timeout: Duration,
    /// After this long without an acknowledgement the kernel gives the connection up.
    pub(super) user_timeout: Duration,
}

impl Connector {
    /// A new connection, within the time for connecting.
    pub(super) async fn connect(&self) -> Result<Stream, HttpError> {
        let late = |_| {
            let reason = format!(
                "it cannot be connected to within {} ms",
                self.connect_timeout.as_millis()
            );
            HttpError::unsent(Class::Unreachable, reason)
        };
        timeout(self.connect_timeout, self.connect_untimed())
            .await
            .map_err(late)?
    }

    async fn connect_untimed(&self) -> Result<Stream, HttpError> {
        let addresses = self.resolve().await?;
        let tcp = self.first_of(addresses).await?;
        self.set_options(&tcp)
            .map_err(|error| HttpError::unsent(Class::Unreachable, error.to_string()))?;
        let Some(tls) = &self.tls else {
            return Ok(Stream::new(Socket::Plain(tcp)));
        };
        match tls.connector.connect(tls.name.clone(), tcp).await {
            Ok(stream) => Ok(Stream::new(Socket::Tls(Box::new(stream)))),
            Err(error) => {
                let (class, reason) = tls.explain(&error);
                Err(HttpError::unsent(class, reason))
            }
        }
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, HttpError> {
        let port = self.endpoint.port();
        let name = match self.endpoint.host() {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
            Host::Name(name) => name,
        };
        let found: Vec<SocketAddr> = match tokio::net::lookup_host((name.as_str(), port)).await {
            Ok(found) => found.collect(),
            Err(error) => {
                let reason = format!("the name {name} cannot be resolved: {error}");
                return Err(HttpError::unsent(Class::Unreachable, reason));
            }
        };
        if found.is_empty() {
            return Err(HttpError::unsent(
                Class::Unreachable,
                format!("the name {name} has no address"),
            ));
        }
        Ok(interleave(found))
    }

    async fn first_of(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, HttpError> {
        let mut failures: Vec<String> = Vec::new();
        let mut under_way = FuturesUnordered::new();
        let mut rest = addresses.into_iter();
        loop {
            if let Some(address) = rest.next() {
                under_way.push(async move { (address, TcpStream::connect(address).await) });
            } else if under_way.is_empty() {
                return Err(HttpError::unsent(Class::Unreachable, failures.join("; ")));
            }
            let pause = async {
                if rest.len() == 0 {
                    std::future::pending().await
                } else {
                    sleep(STAGGER).await
                }
            };
            tokio::select! {
                biased;
                Some((address, result)) = under_way.next() => match result {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failures.push(format!("{address}: {error}")),
                },
                () = pause => {}
            }
        }
    }

    fn set_options(&self, tcp: &TcpStream) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let socket = SockRef::from(tcp);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
        socket.set_tcp_user_timeout(Some(self.user_timeout))
    }
}

/// Families in turn, the resolver's first choice first.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut out = Vec::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return out,
            (a, b) => out.extend(a.into_iter().chain(b)),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| {
            list.iter()
                .map(|a| a.parse::<SocketAddr>().unwrap())
                .collect::<Vec<_>>()
        };
        let given = parse(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1"]);
        assert_eq!(
            interleave(given),
            parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
    }
}
