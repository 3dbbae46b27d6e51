//! Pools and their mirrors.

use super::{
    State,
    answer::{Answer, Body, Created, Done, InPath, created, done, json},
};
use axum::extract::Query;
use restblk_api::{ErrorBody, MirrorChange, MirrorSpec, Pool, PoolSpec, mirror::MirrorTable};
use restblk_types::{PoolName, RateLimits};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// A mirror.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Mirror {
    /// Its URL.
    url: String,
}

#[utoipa::path(get, path = "/v1/pools", tag = "pools", responses((status = 200, body = [Pool])))]
pub(super) async fn list(service: State) -> Answer<Vec<Pool>> {
    json(Ok(service.pools()))
}

/// Proves the store and makes a pool of it on this host.
#[utoipa::path(post, path = "/v1/pools", tag = "pools", request_body = PoolSpec, responses((status = 201, body = Pool), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub(super) async fn create(service: State, Body(spec): Body<PoolSpec>) -> Created<Pool> {
    created(service.create_pool(spec).await)
}

#[utoipa::path(get, path = "/v1/pools/{pool}", tag = "pools", params(("pool" = String, Path)), responses((status = 200, body = Pool), (status = 404, body = ErrorBody)))]
pub(super) async fn show(service: State, InPath(pool): InPath<PoolName>) -> Answer<Pool> {
    json(service.pool(&pool))
}

/// Forgets the pool on this host; its store keeps everything.
#[utoipa::path(delete, path = "/v1/pools/{pool}", tag = "pools", params(("pool" = String, Path)), responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn delete(service: State, InPath(pool): InPath<PoolName>) -> Done {
    done(service.delete_pool(&pool).await)
}

#[utoipa::path(post, path = "/v1/pools/{pool}/mirrors", tag = "pools", params(("pool" = String, Path)), request_body = MirrorTable, responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(super) async fn add_mirror(
    service: State,
    InPath(pool): InPath<PoolName>,
    Body(mirror): Body<MirrorSpec>,
) -> Answer<Pool> {
    json(service.pools.add_mirror(&pool, &mirror).await)
}

/// Changes how a mirror is used, from the next request on.
#[utoipa::path(put, path = "/v1/pools/{pool}/mirrors", tag = "pools", params(("pool" = String, Path)), request_body = MirrorChange, responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(super) async fn set_mirror(
    service: State,
    InPath(pool): InPath<PoolName>,
    Body(change): Body<MirrorChange>,
) -> Answer<Pool> {
    json(service.pools.set_mirror(&pool, &change).await)
}

/// Has a mirror take no new requests; answers when the last one under way has ended.
#[utoipa::path(post, path = "/v1/pools/{pool}/mirrors/drain", tag = "pools", params(("pool" = String, Path)), request_body = MirrorChange, responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(super) async fn drain_mirror(
    service: State,
    InPath(pool): InPath<PoolName>,
    Body(mirror): Body<Mirror>,
) -> Answer<Pool> {
    json(service.pools.drain_mirror(&pool, &mirror.url).await)
}

#[utoipa::path(delete, path = "/v1/pools/{pool}/mirrors", tag = "pools", params(("pool" = String, Path), Mirror), responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(super) async fn remove_mirror(
    service: State,
    InPath(pool): InPath<PoolName>,
    Query(mirror): Query<Mirror>,
) -> Answer<Pool> {
    json(service.pools.remove_mirror(&pool, &mirror.url).await)
}

/// Sets how much I/O the pool's volumes may do together on this host; in force at once.
#[utoipa::path(put, path = "/v1/pools/{pool}/limits", tag = "pools", params(("pool" = String, Path)), request_body = RateLimits, responses((status = 200, body = Pool), (status = "4XX", body = ErrorBody)))]
pub(super) async fn limit(
    service: State,
    InPath(pool): InPath<PoolName>,
    Body(limits): Body<RateLimits>,
) -> Answer<Pool> {
    json(service.pools.limit(&pool, limits).await)
}
