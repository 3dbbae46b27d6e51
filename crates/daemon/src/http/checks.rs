//! Checks of volumes, and what they have on their stores.

use super::{
    State,
    answer::{Answer, Body, InPath, json},
    attachments::broken,
};
use restblk_api::{CheckProgress, CheckVolume, ErrorBody, VolumeCheck, VolumeUsage};
use restblk_types::VolumeRef;
use std::sync::Arc;

/// What a log volume has on its store, and what it has not sent there yet.
#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}/usage", tag = "checks", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 200, body = VolumeUsage), (status = 404, body = ErrorBody)))]
pub(super) async fn usage(service: State, InPath(volume): InPath<VolumeRef>) -> Answer<VolumeUsage> {
    json(service.attachments.usage(&volume).await)
}

/// How far the check of a volume has come.
#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}/check", tag = "checks", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 200, body = CheckProgress), (status = 404, body = ErrorBody)))]
pub(super) async fn progress(service: State, InPath(volume): InPath<VolumeRef>) -> Answer<CheckProgress> {
    json(service.checks.progress(&volume))
}

/// Looks a volume through, and repairs it where that is asked for; answers when that is done. A check ends with the connection that asked for it; a
/// repair that has begun goes on to its end.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/check", tag = "checks", params(("pool" = String, Path), ("volume" = String, Path)), request_body = CheckVolume, responses((status = 200, body = VolumeCheck), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn check(
    service: State,
    InPath(volume): InPath<VolumeRef>,
    Body(request): Body<CheckVolume>,
) -> Answer<VolumeCheck> {
    if !request.repair {
        return json(service.attachments.check(&volume, request, &service.checks).await);
    }
    let service = Arc::clone(&service);
    let repaired =
        tokio::spawn(async move { service.attachments.check(&volume, request, &service.checks).await });
    json(repaired.await.map_err(broken)?)
}
