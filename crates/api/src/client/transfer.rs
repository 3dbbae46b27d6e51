//! Bodies that are too long to be held: taken or given piece by piece, as fast as the slower side goes.

use super::request::{answer_of, connect};
use super::{Client, ClientError};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What a body is made of, as it comes; an error breaks it off.
pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// An answer that is being taken. Dropped, it ends.
pub struct Download {
    client: Client,
    body: Incoming,
    /// Drives the connection; none once that has ended.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// The next piece; none at the end. An answer that was cut off is an error.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = {
                let frame = self.body.frame();
                tokio::pin!(frame);
                match &mut self.connection {
                    None => frame.await,
                    Some(connection) => tokio::select! {
                        biased;
                        frame = &mut frame => frame,
                        _ = connection => {
                            self.connection = None;
                            continue;
                        }
                    },
                }
            };
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.client.broken(&error)),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

/// The body of a request, from a channel.
struct Given(Pieces);

impl Body for Given {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|piece| Some(piece?.map(Frame::data)))
    }
}

impl Client {
    /// Asks for an answer that is taken piece by piece.
    pub(super) async fn download(&self, path: &str) -> Result<Download, ClientError> {
        let (mut sender, connection) = connect(self).await?;
        let request = Request::builder().method(Method::GET).uri(path);
        let request = request
            .header(header::HOST, "restblk")
            .body(http_body_util::Empty::<Bytes>::new())
            .map_err(|error| self.protocol(&Method::GET, path, &error))?;
        let mut connection: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(connection);
        let response = {
            let response = sender.send_request(request);
            tokio::pin!(response);
            tokio::select! {
                biased;
                response = &mut response => response,
                _ = &mut connection => response.await,
            }
        };
        let response = response.map_err(|error| self.broken(&error))?;
        let (status, body) = (response.status(), response.into_body());
        let mut download = Download {
            client: self.clone(),
            body,
            connection: Some(connection),
        };
        if status.is_success() {
            return Ok(download);
        }
        let mut answer = Vec::new();
        while let Some(piece) = download.piece().await? {
            answer.extend_from_slice(&piece);
        }
        Err(self.refused(&Method::GET, path, status, &answer))
    }

    /// Gives a body piece by piece, and reads the answer, which may come before all of it was given.
    pub(super) async fn upload<A: DeserializeOwned>(
        &self,
        path: &str,
        pieces: Pieces,
    ) -> Result<A, ClientError> {
        let (sender, connection) = connect(self).await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "restblk")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Given(pieces))
            .map_err(|error| self.protocol(&Method::POST, path, &error))?;
        let (status, answer) = answer_of(self, sender, connection, request).await?;
        if status.is_success() {
            return self.read(&Method::POST, path, &answer);
        }
        Err(self.refused(&Method::POST, path, status, &answer))
    }
}
