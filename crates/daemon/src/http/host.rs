//! The daemon and its host.

use super::{
    State,
    answer::{Answer, json},
};
use crate::cache;
use axum::http::header;
use axum::response::IntoResponse;
use restblk_api::{HostInfo, HostReport};

#[utoipa::path(get, path = "/v1/host", tag = "host", responses((status = 200, body = HostInfo)))]
pub(super) async fn info(service: State) -> Answer<HostInfo> {
    json(Ok(HostInfo {
        cache: service.cache.as_deref().map(cache::info),
        ..service.info.clone()
    }))
}

#[utoipa::path(get, path = "/v1/doctor", tag = "host", responses((status = 200, body = HostReport)))]
pub(super) async fn doctor(service: State) -> Answer<HostReport> {
    json(Ok(service.doctor().await))
}

#[utoipa::path(get, path = "/metrics", tag = "host", responses((status = 200, description = "Prometheus' text format", body = String)))]
pub(super) async fn metrics(service: State) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        service.metrics().await,
    )
}
