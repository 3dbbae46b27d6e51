//! One request and its answer over a fresh connection to the Unix socket.

use super::{Client, ClientError};
use crate::ErrorBody;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use std::time::Duration;
use tokio::net::UnixStream;

/// The longest answer that is read: some hundred thousand volumes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection, and what drives it.
type Connected<B> = (SendRequest<B>, Connection<TokioIo<UnixStream>, B>);

/// How long a call may take.
#[derive(Clone, Copy)]
pub(super) enum Wait {
    /// As long as the client's patience: questions.
    Patience,
    /// For ever: what changes something.
    ForEver,
}

impl Client {
    /// Sends a request and reads the whole answer.
    pub(super) async fn ask<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        let answer = self.send(Method::GET, path, Bytes::new(), Wait::Patience).await?;
        self.read(&Method::GET, path, &answer)
    }

    /// Sends a change with `body` as JSON and reads the answer.
    pub(super) async fn change<B: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<A, ClientError> {
        let json = self.json(&method, path, body)?;
        let answer = self.send(method.clone(), path, json, Wait::ForEver).await?;
        self.read(&method, path, &answer)
    }

    /// Sends a change whose answer has nothing in it.
    pub(super) async fn command<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<(), ClientError> {
        let json = match body {
            Some(body) => self.json(&method, path, body)?,
            None => Bytes::new(),
        };
        self.send(method, path, json, Wait::ForEver).await.map(drop)
    }

    fn json<B: Serialize>(&self, method: &Method, path: &str, body: &B) -> Result<Bytes, ClientError> {
        serde_json::to_vec(body)
            .map(Bytes::from)
            .map_err(|error| self.protocol(method, path, &error))
    }

    pub(super) fn read<A: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        answer: &Bytes,
    ) -> Result<A, ClientError> {
        serde_json::from_slice(answer).map_err(|error| self.protocol(method, path, &error))
    }

    /// Sends a request; the body of a 2xx answer, or the error that the daemon or the way to it gave.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Wait,
    ) -> Result<Bytes, ClientError> {
        let (status, answer) = match wait {
            Wait::ForEver => self.exchange(&method, path, body).await?,
            Wait::Patience => within(self.patience, self.exchange(&method, path, body))
                .await
                .unwrap_or_else(|| {
                    let (socket, what) = (self.socket.clone(), format!("{method} {path}"));
                    Err(ClientError::TimedOut {
                        socket,
                        what,
                        after: self.patience,
                    })
                })?,
        };
        if status.is_success() {
            return Ok(answer);
        }
        Err(self.refused(&method, path, status, &answer))
    }

    /// The error that an answer tells.
    pub(super) fn refused(
        &self,
        method: &Method,
        path: &str,
        status: StatusCode,
        answer: &[u8],
    ) -> ClientError {
        match serde_json::from_slice::<ErrorBody>(answer) {
            Ok(error) => error.into(),
            Err(_) => self.protocol(method, path, &format!("status {status} without an explanation")),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let (sender, connection) = connect(self).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "restblk");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.protocol(method, path, &error))?;
        answer_of(self, sender, connection, request).await
    }

    pub(super) fn cannot_connect(&self, error: &io::Error) -> ClientError {
        let socket = self.socket.clone();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ClientError::NoSocket { socket },
            io::ErrorKind::ConnectionRefused => ClientError::Refused { socket },
            io::ErrorKind::PermissionDenied => ClientError::Denied { socket },
            _ => ClientError::Broken {
                socket,
                reason: error.to_string(),
            },
        }
    }

    pub(super) fn broken(&self, error: &(dyn std::error::Error + 'static)) -> ClientError {
        ClientError::Broken {
            socket: self.socket.clone(),
            reason: chain(error),
        }
    }

    pub(super) fn protocol(&self, method: &Method, path: &str, reason: &impl ToString) -> ClientError {
        ClientError::Protocol {
            socket: self.socket.clone(),
            what: format!("{method} {path}"),
            reason: reason.to_string(),
        }
    }
}

/// A fresh connection, to be driven beside what is asked over it.
pub(super) async fn connect<B>(client: &Client) -> Result<Connected<B>, ClientError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = UnixStream::connect(&client.socket)
        .await
        .map_err(|error| client.cannot_connect(&error))?;
    http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| client.broken(&error))
}

/// Sends a request and reads the whole answer.
pub(super) async fn answer_of<B>(
    client: &Client,
    mut sender: SendRequest<B>,
    connection: Connection<TokioIo<UnixStream>, B>,
    request: Request<B>,
) -> Result<(StatusCode, Bytes), ClientError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| client.broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| client.broken(&*error))?.to_bytes();
        Ok((status, body))
    };
    // The connection is driven here and not in a task of its own, so that dropping this future closes it.
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
