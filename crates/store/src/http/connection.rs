//! One connection, driven by whoever waits for its answer.
//!
//! hyper splits a connection into a sender and a driver that does the I/O. Usually the driver gets a task of its own; here
//! the two are polled together, which saves two hops between tasks for each request, and makes dropping the future of an
//! exchange close the socket.

use super::connect::{InExchange, Stream};
use super::error::{Class, HttpError};
use super::relay::Relay;
use super::stats::OpenConnection;
use crate::Payload;
use bytes::Bytes;
use futures_util::future::poll_fn;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection as Driver, SendRequest};
use hyper_util::rt::TokioIo;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that hyper reads at a time, at most. Measured: 1 MiB reads at depth 1 are half as fast again as with 512 KiB, which
/// does not fit in a cache; and a part of a payload keeps a buffer of this size alive.
const READ_BUF_LEN_MAX: usize = 128 << 10;

/// A connection between exchanges.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Engine,
    relay: Relay,
    in_exchange: InExchange,
    /// Exchanges completed.
    exchanges: u64,
    /// Who is at its other end was looked at (`greet`).
    pub(super) greeted: bool,
    pub(super) idle_since: Instant,
    pub(super) born: Instant,
    _open: OpenConnection,
}

/// hyper's half of a connection that does the I/O; nothing once it has ended. It is let go then, because a request that it had not
/// taken up would else wait in it for an answer that nobody gives.
struct Engine(Option<Pin<Box<HttpDriver>>>);

type HttpDriver = Driver<TokioIo<Stream>, Full<Bytes>>;

impl Engine {
    /// Reads and writes what can be read and written now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let ended = self
            .0
            .as_mut()
            .is_some_and(|future| future.as_mut().poll(cx).is_ready());
        if ended {
            self.0 = None;
        }
    }
}

/// How long an exchange may take.
pub(super) struct Limits {
    /// Without any progress.
    pub(super) idle: Duration,
    /// Until the first byte of the answer.
    pub(super) first_byte: Duration,
    /// In all.
    pub(super) whole: Duration,
}

/// An exchange that failed.
pub(super) enum Failed {
    /// It did not even begin, for this reason: the request comes back.
    Unsent(Box<Request<Full<Bytes>>>, HttpError),
    Error(HttpError),
}

impl Connection {
    pub(super) async fn new(stream: Stream, open: OpenConnection) -> Result<Self, HttpError> {
        let in_exchange = stream.in_exchange();
        let made = Builder::new()
            .max_buf_size(READ_BUF_LEN_MAX)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, driver) =
            made.map_err(|error| HttpError::unsent(Class::Unreachable, error.to_string()))?;
        Ok(Self {
            sender,
            driver: Engine(Some(Box::pin(driver))),
            relay: Relay::new(),
            in_exchange,
            exchanges: 0,
            greeted: false,
            idle_since: Instant::now(),
            born: Instant::now(),
            _open: open,
        })
    }

    /// Whether a request can be sent on it now: the peer has neither closed it nor sent anything unasked for. Reads what
    /// is there, does not wait.
    pub(super) async fn is_usable(&mut self) -> bool {
        let (driver, relay) = (&mut self.driver, &self.relay);
        poll_fn(|cx| {
            let _: Poll<()> = relay.poll(cx, |cx| {
                driver.drive(cx);
                Poll::Pending
            });
            Poll::Ready(())
        })
        .await;
        self.driver.0.is_some() && self.sender.is_ready()
    }

    /// Sends the request and reads the head of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        clock: &mut Clock<'_>,
    ) -> Result<Response<Incoming>, Failed> {
        let earlier = self.exchanges;
        self.in_exchange.set(true);
        let (driver, relay) = (&mut self.driver, &self.relay);
        // It hands the request to the driver at once, and wakes it.
        let sender = &mut self.sender;
        let mut answer = pin!(relay.before_poll(|| sender.try_send_request(request)));
        let head = poll_fn(|cx| {
            let head = relay.poll(cx, |cx| {
                driver.drive(cx);
                answer.as_mut().poll(cx)
            });
            match head {
                Poll::Ready(head) => Poll::Ready(Ok(head)),
                Poll::Pending => clock.poll(cx).map(|()| Err(clock.spent("no answer"))),
            }
        })
        .await;
        match head {
            Ok(Ok(response)) => {
                clock.progress();
                Ok(response)
            }
            Ok(Err(mut failed)) => {
                let mut error = HttpError::from_hyper(failed.error(), earlier);
                match failed.take_message() {
                    Some(request) => {
                        error.sent = false;
                        Err(Failed::Unsent(Box::new(request), error))
                    }
                    None => Err(Failed::Error(error)),
                }
            }
            Err(late) => Err(Failed::Error(late)),
        }
    }

    /// Reads the body, at most `len_max` bytes.
    pub(super) async fn read_body(
        &mut self,
        body: &mut Incoming,
        len_max: u64,
        clock: &mut Clock<'_>,
    ) -> Result<Payload, HttpError> {
        let mut payload = Payload::default();
        loop {
            let mut frame = body.frame();
            let (driver, relay) = (&mut self.driver, &self.relay);
            let next = poll_fn(|cx| {
                let next = relay.poll(cx, |cx| {
                    driver.drive(cx);
                    Pin::new(&mut frame).poll(cx)
                });
                match next {
                    Poll::Ready(next) => Poll::Ready(Ok(next)),
                    Poll::Pending => clock
                        .poll(cx)
                        .map(|()| Err(clock.spent("the answer's body stopped coming"))),
                }
            })
            .await?;
            match next {
                None => break,
                Some(Ok(frame)) => {
                    clock.progress();
                    if let Ok(data) = frame.into_data() {
                        payload.push(data);
                    }
                    if payload.len() as u64 > len_max {
                        let reason =
                            format!("its answer has more than the {len_max} bytes that were asked for");
                        return Err(HttpError::sent(Class::Overlong, reason));
                    }
                }
                Some(Err(error)) => {
                    let mut broken = HttpError::from_hyper(&error, 0);
                    broken.reason = format!(
                        "the answer's body ended after {} bytes, before its announced end ({error})",
                        payload.len()
                    );
                    return Err(broken);
                }
            }
        }
        Ok(payload)
    }

    /// Counts an exchange that was complete.
    pub(super) fn complete(&mut self) {
        self.in_exchange.set(false);
        self.exchanges += 1;
        self.idle_since = Instant::now();
    }
}

/// The time of one exchange: a single timer, moved only when it fires.
pub(super) struct Clock<'a> {
    timer: Pin<&'a mut Sleep>,
    limits: &'a Limits,
    end: Instant,
    /// Progress must be seen before this.
    next: Instant,
}

impl<'a> Clock<'a> {
    /// The timer that a clock needs.
    pub(super) fn timer(limits: &Limits, now: Instant) -> Sleep {
        sleep_until(now + limits.first_byte.min(limits.whole))
    }

    pub(super) fn new(timer: Pin<&'a mut Sleep>, limits: &'a Limits, now: Instant) -> Self {
        Self {
            timer,
            limits,
            end: now + limits.whole,
            next: now + limits.first_byte,
        }
    }

    /// More time in all: the answer has announced so much.
    pub(super) fn allow(&mut self, more: Duration) {
        self.end += more;
    }

    fn progress(&mut self) {
        self.next = Instant::now() + self.limits.idle;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let until = self.next.min(self.end);
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn spent(&self, what: &str) -> HttpError {
        let limit = if self.next < self.end {
            self.limits.idle
        } else {
            self.limits.whole
        };
        let reason = format!(
            "{what} within {} ms; the connection was closed",
            limit.as_millis()
        );
        HttpError::sent(Class::TimedOut, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::Connector;
    use super::super::stats::Stats;
    use super::*;
    use std::io::{Read, Write};
    use std::pin::pin;
    use std::sync::Arc;

    fn request() -> Request<Full<Bytes>> {
        Request::get("/")
            .header("host", "h")
            .body(Full::default())
            .unwrap()
    }

    #[tokio::test]
    async fn a_request_that_meets_a_close_comes_back_at_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            assert!(peer.read(&mut asked).unwrap() > 0);
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        });
        let connector = Connector {
            endpoint: endpoint.parse().unwrap(),
            tls: None,
            connect_timeout: Duration::from_secs(5),
            user_timeout: Duration::from_secs(5),
        };
        let stats = Arc::<Stats>::default();
        let stream = connector.connect().await.unwrap();
        let mut connection = Connection::new(stream, stats.connected()).await.unwrap();
        let limits = Limits {
            idle: Duration::from_secs(5),
            first_byte: Duration::from_secs(5),
            whole: Duration::from_secs(5),
        };
        let begun = Instant::now();
        let mut timer = pin!(Clock::timer(&limits, begun));
        let mut clock = Clock::new(timer.as_mut(), &limits, begun);
        let Ok(response) = connection.send(request(), &mut clock).await else {
            panic!("no answer");
        };
        let mut body = response.into_body();
        connection.read_body(&mut body, 0, &mut clock).await.unwrap();
        connection.complete();
        // The peer's close is there before the next request, and nobody has looked.
        server.join().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        let sent = connection.send(request(), &mut clock).await;
        assert!(matches!(sent, Err(Failed::Unsent(..))), "it was not taken up");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
