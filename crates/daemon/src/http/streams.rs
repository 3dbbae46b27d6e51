//! What changed, and streams of snapshots. Bodies go through piece by piece; who does not take them holds back what makes them.

use super::{
    State,
    answer::{Created, Failed, InPath, created},
    attachments::broken,
};
use axum::{
    body::{Body, BodyDataStream},
    extract::{Query, Request},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use restblk_api::{DiffLine, DiffQuery, ErrorBody, ReceiveQuery, SendQuery, Snapshot};
use restblk_types::VolumeRef;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// How long a refused sender may take to notice.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Tells what changed in a volume since a snapshot, or between two of them, as lines of JSON; the last one is an end, or what went wrong.
#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}/diff", tag = "streams", params(("pool" = String, Path), ("volume" = String, Path), DiffQuery), responses((status = 200, body = DiffLine, content_type = "application/x-ndjson"), (status = 404, body = ErrorBody)))]
pub(super) async fn diff(
    service: State,
    InPath(of): InPath<VolumeRef>,
    Query(query): Query<DiffQuery>,
) -> Result<Response, Failed> {
    let pieces = service.attachments.diff(of, query.from).await?;
    Ok(answer("application/x-ndjson", pieces))
}

/// Sends a snapshot, or what changed since an earlier one, as the stream of docs/format.md.
#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/stream", tag = "streams", params(("pool" = String, Path), ("volume" = String, Path), ("snapshot" = String, Path), SendQuery), responses((status = 200, description = "The stream", content_type = "application/octet-stream"), (status = 404, body = ErrorBody)))]
pub(super) async fn send(
    service: State,
    InPath(snapshot): InPath<VolumeRef>,
    Query(query): Query<SendQuery>,
) -> Result<Response, Failed> {
    let pieces = service.attachments.send(snapshot, query).await?;
    Ok(answer("application/octet-stream", pieces))
}

/// Receives such a stream into a volume, which is made where the stream has all of it. What is right of a stream that breaks is kept, and can be gone on with.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/receive", tag = "streams", params(("pool" = String, Path), ("volume" = String, Path), ReceiveQuery), request_body(content_type = "application/octet-stream"), responses((status = 201, body = Snapshot), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn receive(
    service: State,
    InPath(volume): InPath<VolumeRef>,
    Query(query): Query<ReceiveQuery>,
    request: Request,
) -> Created<Snapshot> {
    let attachments = Arc::clone(&service.attachments);
    let mut body = request.into_body().into_data_stream();
    // A task of its own: a client that goes away leaves a volume that says how far it is.
    let received = tokio::spawn(async move {
        let received = attachments.receive(&volume, query, &mut body).await;
        if received.is_err() {
            // An answer whose connection is closed under what still comes may be lost.
            tokio::spawn(timeout(DRAIN_MAX, drain(body)));
        }
        received
    });
    created(received.await.map_err(broken)?)
}

async fn drain(mut body: BodyDataStream) {
    while let Some(Ok(_)) = body.next().await {}
}

fn answer(content_type: &'static str, pieces: mpsc::Receiver<Bytes>) -> Response {
    let next =
        async |mut pieces: mpsc::Receiver<Bytes>| Some((Ok::<_, Infallible>(pieces.recv().await?), pieces));
    let body = Body::from_stream(stream::unfold(pieces, next));
    ([(CONTENT_TYPE, content_type)], body).into_response()
}
