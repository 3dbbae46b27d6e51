//! Attachments. An operation that has begun goes on to its end, whether or not its client waits for it.

use super::{
    State,
    answer::{Answer, Body, Created, Done, Failed, InPath, created, done, json},
};
use crate::patience::bounded;
use restblk_api::{AttachRequest, Attachment, DetachRequest, ErrorBody};
use restblk_types::{ErrorKind, VolumeRef};
use std::sync::Arc;
use tokio::task::JoinError;

#[utoipa::path(get, path = "/v1/attachments", tag = "attachments", responses((status = 200, body = [Attachment])))]
pub(super) async fn list(service: State) -> Answer<Vec<Attachment>> {
    json(Ok(service.attachments.list().await))
}

#[utoipa::path(get, path = "/v1/attachments/{pool}/{volume}", tag = "attachments", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 200, body = Attachment), (status = 404, body = ErrorBody)))]
pub(super) async fn show(service: State, InPath(volume): InPath<VolumeRef>) -> Answer<Attachment> {
    json(service.attachments.get(&volume).await)
}

/// Attaches a volume to this host.
#[utoipa::path(post, path = "/v1/attachments", tag = "attachments", request_body = AttachRequest, responses((status = 201, body = Attachment), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(super) async fn attach(service: State, Body(request): Body<AttachRequest>) -> Created<Attachment> {
    let attachments = Arc::clone(&service.attachments);
    created(
        tokio::spawn(bounded(async move { attachments.attach(request).await }))
            .await
            .map_err(broken)?,
    )
}

/// Detaches a volume from this host.
#[utoipa::path(post, path = "/v1/attachments/{pool}/{volume}/detach", tag = "attachments", params(("pool" = String, Path), ("volume" = String, Path)), request_body = DetachRequest, responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn detach(
    service: State,
    InPath(volume): InPath<VolumeRef>,
    Body(request): Body<DetachRequest>,
) -> Done {
    let attachments = Arc::clone(&service.attachments);
    done(
        tokio::spawn(bounded(async move {
            attachments.detach(&volume, request.force).await
        }))
        .await
        .map_err(broken)?,
    )
}

pub(super) fn broken(error: JoinError) -> Failed {
    ErrorBody::new(ErrorKind::Bug, format!("finish the operation: {error}")).into()
}
