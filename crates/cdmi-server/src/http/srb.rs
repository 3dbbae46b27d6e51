//! The dialect of the kernel driver of 2014, and Scality's headers in the mode `scality`.
//!
//! Answers as that project's own test server did — 204 for a create and a write, 200 without `Content-Range` for a ranged read, 400
//! past the end — without its defects: a missing object is 404 (not 500), the list is valid JSON whatever is in it, a
//! flush is a flush. The driver asks for sizes as a bare number, sends no `Content-Length` with an empty `PUT`, and
//! writes two spaces in the request line of a list (see `request_line`).

use super::path::Node;
use super::query::{self, Query};
use super::range::{self, Wanted};
use super::respond::{self, Answer};
use super::route::Request;
use super::{Kind, Shared, conditions, container, object_put, object_read, object_update};
use crate::error::Error;
use crate::store::{Conditions, NewMeta};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers a request in the mode `srb`.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    let headers = &request.head.headers;
    match request.head.method {
        Method::GET if node.slash => {
            let fields = container::read(shared, node, &Query::default()).await?;
            Ok(respond::json(
                StatusCode::OK,
                "application/cdmi-container",
                &Value::Object(fields),
            ))
        }
        Method::GET if query.has("metadata") => metadata(shared, node).await,
        Method::GET => get(shared, &request, node).await,
        Method::HEAD if headers.contains_key("x-scal-synchronize") => {
            synchronize(shared, headers, node).await
        }
        Method::HEAD => {
            let (_, stat) = shared.object(&node.path).await?;
            let mut response = respond::empty(StatusCode::OK);
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(stat.size));
            Ok(response)
        }
        Method::PUT if node.slash => {
            node.check_writable()?;
            request.no_body(shared).await?;
            let path = node.path.clone();
            shared
                .blocking(Kind::Change, move |store| {
                    store.create_container(&path, &NewMeta::default())
                })
                .await?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Method::PUT => {
            node.check_writable()?;
            if headers.contains_key("x-scal-truncate") {
                return truncate(shared, request, node).await;
            }
            if let Some(header) = request.header(RANGE).map(str::to_owned) {
                return write(shared, request, node, &header).await;
            }
            let conditions = conditions::read(headers, shared.config.quirks.ignore_if_none_match)?;
            object_put::receive(shared, request, &node.path, NewMeta::default(), conditions, false).await?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Method::DELETE if !node.slash => object_update::delete(shared, request, node, query).await,
        _ => Err(Error::Method("GET, HEAD, PUT, DELETE")),
    }
}

async fn metadata(shared: &Arc<Shared>, node: &Node) -> Answer {
    let (entry, stat) = shared.object(&node.path).await?;
    let fields = object_read::fields_of(shared, &node.path, &entry.meta(), &stat).await?;
    Ok(respond::json(
        StatusCode::OK,
        "application/json",
        &json!({ "metadata": fields["metadata"] }),
    ))
}

async fn get(shared: &Arc<Shared>, request: &Request<'_>, node: &Node) -> Answer {
    let (entry, stat) = shared.object(&node.path).await?;
    let (first, end) = match request.header(RANGE) {
        Some(header) if !shared.config.quirks.ignore_range => match range::wanted(header, stat.size) {
            Wanted::Part(first, end) => (first, end),
            Wanted::Whole => return Err(Error::bad("the range is not bytes=A-B")),
            Wanted::Unsatisfiable => return Err(Error::bad("the range is past the end of the object")),
        },
        _ => (0, stat.size),
    };
    let mut response = respond::empty(StatusCode::OK);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    *response.body_mut() = object_read::value(shared, entry, first, end).await?;
    Ok(response)
}

async fn write(shared: &Arc<Shared>, request: Request<'_>, node: &Node, header: &str) -> Answer {
    let set = header
        .trim()
        .strip_prefix("bytes=")
        .ok_or_else(|| Error::bad("the range is not bytes=A-B"))?;
    let (first, last) = query::range(set)?;
    let (offset, length) = range::length(first, last)?;
    if !object_update::exists(shared, node).await? {
        return Err(Error::NotFound(node.path.clone()));
    }
    let body = request
        .collect(shared, shared.config.limits.range_bytes_max)
        .await?;
    if body.bytes.len() as u64 != length {
        return Err(Error::Bad(format!(
            "the range has {length} bytes and the body {}; nothing was written",
            body.bytes.len()
        )));
    }
    object_update::store_range(
        shared,
        node,
        offset,
        body.bytes.clone(),
        Conditions::default(),
        false,
    )
    .await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `PUT` with `X-Scal-Truncate: N`: sets the size.
pub(super) async fn truncate(shared: &Arc<Shared>, request: Request<'_>, node: &Node) -> Answer {
    let size = query::number(request.header("x-scal-truncate").unwrap_or("").trim())?;
    let conditions = conditions::read(&request.head.headers, false)?;
    request.no_body(shared).await?;
    let path = node.path.clone();
    shared
        .blocking(Kind::Change, move |store| {
            store.set_size(&path, size, &conditions, false)
        })
        .await?;
    Ok(respond::empty(StatusCode::OK))
}

/// `HEAD` with `X-Scal-Synchronize: data` or `bytes A-B`: flushes the object; a range is flushed with all the rest.
pub(super) async fn synchronize(shared: &Arc<Shared>, headers: &HeaderMap, node: &Node) -> Answer {
    let conditions = conditions::read(headers, false)?;
    let path = node.path.clone();
    if !shared.config.quirks.lie_on_flush {
        shared
            .blocking(Kind::Change, move |store| store.flush(&path, &conditions))
            .await?;
    }
    let (_, stat) = shared.object(&node.path).await?;
    let mut response = respond::empty(StatusCode::OK);
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(stat.size));
    Ok(response)
}
