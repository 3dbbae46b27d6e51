//! Conversions of volumes. One that has begun goes on to its end, whether or not its client waits for it.

use super::{
    State,
    answer::{Answer, Body, Done, InPath, done, json},
    attachments::broken,
};
use restblk_api::{ConvertVolume, ErrorBody, Volume};
use restblk_types::{PoolName, VolumeName, VolumeRef};
use std::sync::Arc;

/// Changes the layout of a volume, attached or not, or waits for the change that is under way; answers when that is done. Where it was taken back the
/// volume is as it was, and the error says why. The volume itself tells how far it is.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/convert", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = ConvertVolume, responses((status = 200, body = Volume), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn convert(
    service: State,
    InPath((pool, name)): InPath<(PoolName, VolumeName)>,
    Body(request): Body<ConvertVolume>,
) -> Answer<Volume> {
    let service = Arc::clone(&service);
    let converted = tokio::spawn(async move {
        let volume = VolumeRef::new(pool.clone(), name.clone());
        service.attachments.convert(&volume, &request).await?;
        service.volume(&pool, &name).await
    });
    json(converted.await.map_err(broken)?)
}

/// Takes back the change of a volume's layout; answers when that is done.
#[utoipa::path(delete, path = "/v1/volumes/{pool}/{volume}/convert", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn cancel(service: State, InPath(volume): InPath<VolumeRef>) -> Done {
    let attachments = Arc::clone(&service.attachments);
    let cancelled = tokio::spawn(async move { attachments.cancel_conversion(&volume).await });
    done(cancelled.await.map_err(broken)?)
}
