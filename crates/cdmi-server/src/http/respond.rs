//! Responses: the few shapes that all of them have, and errors as `{"status": N, "error": "…"}`.

use super::body::Body;
use super::path;
use crate::error::Error;
use crate::store::Tag;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

pub(super) type Answer = crate::error::Result<Response<Body>>;

/// A response without body.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// 204 (or another) with an entity tag.
pub(super) fn tagged(status: StatusCode, tag: Tag) -> Response<Body> {
    let mut response = empty(status);
    set_tag(&mut response, tag);
    response
}

pub(super) fn set_tag(response: &mut Response<Body>, tag: Tag) {
    set(response, ETAG, &tag.to_string());
}

pub(super) fn set(response: &mut Response<Body>, name: http::HeaderName, value: &str) {
    // A value that no header can hold (a control character in a MIME type) is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

pub(super) fn json(status: StatusCode, content_type: &'static str, value: &Value) -> Response<Body> {
    let mut response = empty(status);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = Body::Full(Bytes::from(value.to_string()));
    response
}

pub(super) fn error(error: &Error) -> Response<Body> {
    let status = error.status();
    if status.is_server_error() {
        tracing::error!(status = status.as_u16(), %error, "request failed");
    }
    if let Error::NotModified(tag) = error {
        let mut response = empty(status);
        set(&mut response, ETAG, tag);
        return response;
    }
    let mut response = json(
        status,
        "application/json",
        &json!({ "status": status.as_u16(), "error": error.to_string() }),
    );
    match error {
        Error::Unauthorized => set(
            &mut response,
            WWW_AUTHENTICATE,
            "Basic realm=\"cdmi\", charset=\"UTF-8\"",
        ),
        Error::Method(allowed) => set(&mut response, ALLOW, allowed),
        Error::Range(size) => set(&mut response, CONTENT_RANGE, &format!("bytes */{size}")),
        _ => {}
    }
    response
}

/// 301 to the container's URI with its slash.
pub(super) fn moved(prefix: &str, path: &str, query: Option<&str>, because: &Error) -> Response<Body> {
    let mut response = error(because);
    let mut location = uri(prefix, path, true);
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    set(&mut response, LOCATION, &location);
    response
}

/// The URI of a path, with a slash if it is a container.
pub(super) fn uri(prefix: &str, node: &str, container: bool) -> String {
    let slash = if container && !node.is_empty() { "/" } else { "" };
    format!("{prefix}{}{slash}", path::encode(node))
}
