//! The API over HTTP on a Unix socket. Each handler takes the request apart, calls the service, and no more.

mod answer;
mod attachments;
mod checks;
mod conversions;
mod host;
mod listen;
mod openapi;
mod pools;
mod snapshots;
mod streams;
mod trash;
mod volumes;

pub(crate) use listen::{bind, serve_metrics};

use crate::{patience, service::Service};
use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use std::sync::Arc;

pub(crate) type State = axum::extract::State<Arc<Service>>;

/// An operation done to its end: a client that goes away cuts nothing off in its midst.
async fn to_the_end(request: Request, next: Next) -> Response {
    let answer = tokio::spawn(patience::bounded(next.run(request))).await;
    answer.unwrap_or_else(|error| attachments::broken(error).into_response())
}

/// All routes. The same paths stand in `restblk_api::paths`; a test walks through them.
pub(crate) fn router(service: Arc<Service>) -> Router {
    // Each a few requests to a store.
    let volumes = Router::new()
        .route("/v1/volumes", get(volumes::list).post(volumes::create))
        .route(
            "/v1/volumes/{pool}/{volume}",
            get(volumes::show).delete(volumes::delete),
        )
        .route("/v1/volumes/{pool}/{volume}/extend", post(volumes::extend))
        .route("/v1/volumes/{pool}/{volume}/shrink", post(volumes::shrink))
        .route("/v1/volumes/{pool}/{volume}/limits", put(volumes::limit))
        .route("/v1/volumes/{pool}/{volume}/durability", put(volumes::durability))
        .route(
            "/v1/volumes/{pool}/{volume}/compression",
            put(volumes::compression),
        )
        .route("/v1/volumes/{pool}/{volume}/keys", put(volumes::keys))
        .route("/v1/volumes/{pool}/{volume}/adopt", post(volumes::adopt))
        .route("/v1/trash/{pool}", get(trash::list))
        .route("/v1/trash/{pool}/{id}/restore", post(trash::restore))
        .layer(middleware::from_fn(to_the_end));
    Router::new()
        .merge(volumes)
        .route(
            "/v1/volumes/{pool}/{volume}/snapshots",
            get(snapshots::list).post(snapshots::create),
        )
        .route(
            "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}",
            get(snapshots::show).delete(snapshots::delete),
        )
        .route(
            "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/protection",
            put(snapshots::protect),
        )
        .route(
            "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/rollback",
            post(snapshots::roll_back),
        )
        .route(
            "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/clone",
            post(snapshots::clone),
        )
        .route("/v1/trash/{pool}/{id}", delete(trash::purge))
        .route("/v1/snapshots", post(snapshots::create_several))
        .route("/v1/volumes/{pool}/{volume}/flatten", post(snapshots::flatten))
        .route(
            "/v1/volumes/{pool}/{volume}/convert",
            post(conversions::convert).delete(conversions::cancel),
        )
        .route("/v1/volumes/{pool}/{volume}/usage", get(checks::usage))
        .route(
            "/v1/volumes/{pool}/{volume}/check",
            get(checks::progress).post(checks::check),
        )
        .route("/v1/volumes/{pool}/{volume}/warm", post(snapshots::warm))
        .route("/v1/volumes/{pool}/{volume}/diff", get(streams::diff))
        .route(
            "/v1/volumes/{pool}/{volume}/snapshots/{snapshot}/stream",
            get(streams::send),
        )
        .route("/v1/volumes/{pool}/{volume}/receive", post(streams::receive))
        .route("/v1/host", get(host::info))
        .route("/v1/doctor", get(host::doctor))
        .route("/v1/pools", get(pools::list).post(pools::create))
        .route("/v1/pools/{pool}", get(pools::show).delete(pools::delete))
        .route(
            "/v1/pools/{pool}/mirrors",
            post(pools::add_mirror)
                .put(pools::set_mirror)
                .delete(pools::remove_mirror),
        )
        .route("/v1/pools/{pool}/mirrors/drain", post(pools::drain_mirror))
        .route("/v1/pools/{pool}/limits", put(pools::limit))
        .route(
            "/v1/attachments",
            get(attachments::list).post(attachments::attach),
        )
        .route("/v1/attachments/{pool}/{volume}", get(attachments::show))
        .route(
            "/v1/attachments/{pool}/{volume}/detach",
            post(attachments::detach),
        )
        .route("/openapi.json", get(openapi::document))
        .route("/metrics", get(host::metrics))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .with_state(service)
}
