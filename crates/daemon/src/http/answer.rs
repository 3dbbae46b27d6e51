//! From results to answers: the one place where kinds become HTTP statuses.

use crate::error::Result;
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use restblk_api::ErrorBody;
use restblk_types::{ErrorKind, PoolName, VolumeRef};
use serde::de::DeserializeOwned;
use std::{fmt::Display, str::FromStr};

/// An error on its way out.
pub(super) struct Failed(ErrorBody);

impl From<ErrorBody> for Failed {
    fn from(body: ErrorBody) -> Self {
        Self(body)
    }
}

impl IntoResponse for Failed {
    /// Inside the daemon a message completes "failed to …"; on the wire it is the whole sentence.
    fn into_response(mut self) -> Response {
        self.0.message.insert_str(0, "failed to ");
        (status(self.0.kind), Json(self.0)).into_response()
    }
}

/// What handlers return.
pub(super) type Answer<T> = std::result::Result<Json<T>, Failed>;

/// A JSON answer of a service's result.
pub(super) fn json<T>(result: Result<T>) -> Answer<T> {
    result.map(Json).map_err(Failed)
}

/// 201 with what was made.
pub(super) type Created<T> = std::result::Result<(StatusCode, Json<T>), Failed>;

pub(super) fn created<T>(result: Result<T>) -> Created<T> {
    result
        .map(|made| (StatusCode::CREATED, Json(made)))
        .map_err(Failed)
}

/// 204.
pub(super) type Done = std::result::Result<StatusCode, Failed>;

pub(super) fn done(result: Result<()>) -> Done {
    result.map(|()| StatusCode::NO_CONTENT).map_err(Failed)
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Exists | ErrorKind::Busy | ErrorKind::Conflict | ErrorKind::Fenced => StatusCode::CONFLICT,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Retry | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A JSON body; what is wrong with it is told in the API's own form.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> std::result::Result<Self, Failed> {
        let body: std::result::Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        body.map(|Json(body)| Self(body)).map_err(|e| {
            Failed(ErrorBody::new(
                ErrorKind::Invalid,
                format!("read the request: {}", e.body_text()),
            ))
        })
    }
}

/// The names in a path.
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for InPath<PoolName> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Failed> {
        let axum::extract::Path(pool): axum::extract::Path<String> =
            names(axum::extract::Path::from_request_parts(parts, state).await)?;
        Ok(Self(names(pool.parse())?))
    }
}

impl<T, S> FromRequestParts<S> for InPath<(PoolName, T)>
where
    T: FromStr<Err: Display>,
    S: Send + Sync,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Failed> {
        let axum::extract::Path((pool, other)): axum::extract::Path<(String, String)> =
            names(axum::extract::Path::from_request_parts(parts, state).await)?;
        Ok(Self((names(pool.parse())?, names(other.parse())?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPath<VolumeRef> {
    type Rejection = Failed;

    /// `{pool}/{volume}`, with `@snapshot` in the second, or `{pool}/{volume}/…/{snapshot}`.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Failed> {
        let axum::extract::Path(found): axum::extract::Path<Vec<String>> =
            names(axum::extract::Path::from_request_parts(parts, state).await)?;
        let text = match &found[..] {
            [pool, volume, snapshot] => format!("{pool}/{volume}@{snapshot}"),
            found => found.join("/"),
        };
        Ok(Self(names(text.parse())?))
    }
}

fn names<T, E: Display>(parsed: std::result::Result<T, E>) -> std::result::Result<T, Failed> {
    parsed.map_err(|e| Failed(ErrorBody::new(ErrorKind::Invalid, format!("read the path: {e}"))))
}

pub(super) async fn no_such_path(request: Request) -> Response {
    let message = format!(
        "serve {} {}: the API has no such path",
        request.method(),
        request.uri().path()
    );
    Failed(ErrorBody::new(ErrorKind::NotFound, message).hint("GET /openapi.json tells all of them"))
        .into_response()
}

pub(super) async fn no_such_method(request: Request) -> Response {
    let message = format!(
        "failed to serve {} {}: the path has no such method",
        request.method(),
        request.uri().path()
    );
    let body = ErrorBody::new(ErrorKind::Invalid, message).hint("GET /openapi.json tells all of them");
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}
