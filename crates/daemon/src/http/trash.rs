//! The trash.

use super::{
    State,
    answer::{Answer, Body, Created, Done, InPath, created, done, json},
};
use restblk_api::{ErrorBody, RestoreVolume, TrashEntry, Volume};
use restblk_types::{PoolName, TrashId};

#[utoipa::path(get, path = "/v1/trash/{pool}", tag = "trash", params(("pool" = String, Path)), responses((status = 200, body = [TrashEntry]), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(service: State, InPath(pool): InPath<PoolName>) -> Answer<Vec<TrashEntry>> {
    json(service.trash(&pool).await)
}

/// Makes a volume of the trash a volume again.
#[utoipa::path(post, path = "/v1/trash/{pool}/{id}/restore", tag = "trash", params(("pool" = String, Path), ("id" = String, Path)), request_body = RestoreVolume, responses((status = 201, body = Volume), (status = "4XX", body = ErrorBody)))]
pub(super) async fn restore(
    service: State,
    InPath((pool, id)): InPath<(PoolName, TrashId)>,
    Body(request): Body<RestoreVolume>,
) -> Created<Volume> {
    created(service.restore_volume(&pool, id, request.name).await)
}

/// Removes a volume of the trash for good, before its time.
#[utoipa::path(delete, path = "/v1/trash/{pool}/{id}", tag = "trash", params(("pool" = String, Path), ("id" = String, Path)), responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn purge(service: State, InPath((pool, id)): InPath<(PoolName, TrashId)>) -> Done {
    done(service.purge_volume(&pool, id).await)
}
