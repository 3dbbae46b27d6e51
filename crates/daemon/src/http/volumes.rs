//! Volumes.

use super::{
    State,
    answer::{Answer, Body, Created, Failed, InPath, created, json},
};
use axum::{
    Json,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use restblk_api::{
    ChangeKeys, CreateVolume, Deletion, ErrorBody, ExtendVolume, SetCompression, SetDurability, ShrinkVolume,
    TrashEntry, Volume,
};
use restblk_types::{ErrorKind, PoolName, RateLimits, VolumeName};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which volumes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Those of this pool alone.
    #[param(value_type = Option<String>)]
    pool: Option<PoolName>,
}

#[utoipa::path(get, path = "/v1/volumes", tag = "volumes", params(Which), responses((status = 200, body = [Volume]), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(service: State, Query(which): Query<Which>) -> Answer<Vec<Volume>> {
    json(service.volumes(which.pool.as_ref()).await)
}

#[utoipa::path(post, path = "/v1/volumes", tag = "volumes", request_body = CreateVolume, responses((status = 201, body = Volume), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(super) async fn create(service: State, Body(request): Body<CreateVolume>) -> Created<Volume> {
    created(service.create_volume(request).await)
}

#[utoipa::path(get, path = "/v1/volumes/{pool}/{volume}", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 200, body = Volume), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
) -> Answer<Volume> {
    json(service.volume(&pool, &volume).await)
}

/// What becomes of a volume that is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// It goes for good, whatever the daemon's configuration says.
    #[serde(default)]
    now: bool,
    /// It is in the trash for so many seconds.
    keep: Option<u64>,
}

/// Deletes a volume for good, or moves it to the trash.
#[utoipa::path(delete, path = "/v1/volumes/{pool}/{volume}", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path), How), responses((status = 204), (status = 202, body = TrashEntry), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Query(how): Query<How>,
) -> Result<Response, Failed> {
    let how = match (how.now, how.keep) {
        (true, None) => Deletion::Now,
        (false, Some(seconds)) => Deletion::Keep(seconds),
        (false, None) => Deletion::AsConfigured,
        (true, Some(_)) => {
            let message = format!("delete {pool}/{volume}: `now` and `keep` exclude each other");
            return Err(ErrorBody::new(ErrorKind::Invalid, message).into());
        }
    };
    Ok(match service.delete_volume(&pool, &volume, how).await? {
        Some(entry) => (StatusCode::ACCEPTED, Json(entry)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Makes a volume larger, also while it is attached to this host.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/extend", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = ExtendVolume, responses((status = 200, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn extend(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Body(request): Body<ExtendVolume>,
) -> Answer<Volume> {
    json(service.extend_volume(&pool, &volume, request.size).await)
}

/// Makes a log volume smaller, which must not be attached.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/shrink", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = ShrinkVolume, responses((status = 200, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn shrink(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Body(request): Body<ShrinkVolume>,
) -> Answer<Volume> {
    json(service.shrink_volume(&pool, &volume, &request).await)
}

/// Sets how much I/O a volume may do; in force at once where it is attached to this host.
#[utoipa::path(put, path = "/v1/volumes/{pool}/{volume}/limits", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = RateLimits, responses((status = 200, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn limit(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Body(limits): Body<RateLimits>,
) -> Answer<Volume> {
    json(service.limit_volume(&pool, &volume, limits).await)
}

/// Sets what a flush of a log volume waits for; in force at once where it is attached to this host.
#[utoipa::path(put, path = "/v1/volumes/{pool}/{volume}/durability", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = SetDurability, responses((status = 200, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn durability(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Body(request): Body<SetDurability>,
) -> Answer<Volume> {
    json(service.set_durability(&pool, &volume, request.durability).await)
}

/// Sets how the data of a log volume is packed; in force at once where it is attached to this host.
#[utoipa::path(put, path = "/v1/volumes/{pool}/{volume}/compression", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = SetCompression, responses((status = 200, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn compression(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Body(request): Body<SetCompression>,
) -> Answer<Volume> {
    json(service.set_compression(&pool, &volume, request.compression).await)
}

/// Changes what opens an encrypted volume; its data stays as it is.
#[utoipa::path(put, path = "/v1/volumes/{pool}/{volume}/keys", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), request_body = ChangeKeys, responses((status = 200, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn keys(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
    Body(request): Body<ChangeKeys>,
) -> Answer<Volume> {
    json(service.change_keys(&pool, &volume, request).await)
}

/// Makes a volume of a raw file that another program put on the store.
#[utoipa::path(post, path = "/v1/volumes/{pool}/{volume}/adopt", tag = "volumes", params(("pool" = String, Path), ("volume" = String, Path)), responses((status = 201, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn adopt(
    service: State,
    InPath((pool, volume)): InPath<(PoolName, VolumeName)>,
) -> Created<Volume> {
    created(service.adopt_volume(&pool, &volume).await)
}
