//! Changes of existing data objects: ranged writes (CDMI 6.4), JSON updates (8.5), our extensions, and deletion (6.5, 8.6).

use super::path::Node;
use super::query::{self, Extension, Query};
use super::respond::{self, Answer};
use super::route::{OBJECT_TYPE, Request};
use super::{Kind, Shared, conditions, lock, object_put, range};
use crate::error::{Error, Result};
use crate::store::{Conditions, Encoding, MetaChange, NewMeta, Tag};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use std::sync::Arc;

pub(super) async fn exists(shared: &Arc<Shared>, node: &Node) -> Result<bool> {
    match shared.object(&node.path).await {
        Ok(_) => Ok(true),
        Err(error) if error.status() == StatusCode::NOT_FOUND => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn patch(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    node.check_writable()?;
    if let Some(mode) = query.lock()? {
        return lock::change(shared, request, node, query, mode).await;
    }
    let extension = query.extension()?;
    let is_range = request.head.headers.contains_key(CONTENT_RANGE);
    let is_json = request.content_type() == Some(OBJECT_TYPE);
    if let Some(extension) = extension
        && !(extension == Extension::Flush && (is_range || is_json))
    {
        return extend(shared, request, node, query, extension).await;
    }
    if shared.config.mode.is_1x() {
        return Err(Error::Method("GET, HEAD, PUT, DELETE"));
    }
    let conditions = conditions::read(&request.head.headers, false)?;
    if is_json {
        return patch_json(shared, request, node, query, conditions).await;
    }
    match request.header(CONTENT_RANGE).map(str::to_owned) {
        Some(range) => write_range(shared, request, node, query, &range).await,
        None => Err(Error::bad(
            "PATCH needs Content-Range, a body of application/cdmi-object, or a restblk_ query",
        )),
    }
}

async fn extend(
    shared: &Arc<Shared>,
    request: Request<'_>,
    node: &Node,
    query: &Query,
    extension: Extension,
) -> Answer {
    query.only(&["restblk_size", "restblk_punch", "restblk_flush"])?;
    let conditions = conditions::read(&request.head.headers, false)?;
    request.no_body(shared).await?;
    let (path, flush) = (node.path.clone(), query.flush());
    let lie = shared.config.quirks.lie_on_flush;
    let tag = shared
        .blocking(Kind::Change, move |store| match extension {
            Extension::Size(size) => store.set_size(&path, size, &conditions, flush && !lie),
            Extension::Punch(first, last) => store.punch(&path, first, last, &conditions, flush && !lie),
            Extension::Flush if lie => Ok(store.lookup(&path)?.tag()),
            Extension::Flush => store.flush(&path, &conditions),
        })
        .await?;
    Ok(respond::tagged(StatusCode::NO_CONTENT, tag))
}

/// Writes the body at the range that a header names.
pub(super) async fn write_range(
    shared: &Arc<Shared>,
    request: Request<'_>,
    node: &Node,
    query: &Query,
    header: &str,
) -> Answer {
    query.only(&["restblk_flush"])?;
    let lax = shared.config.mode.is_1x();
    let (offset, length) = range::written(header, lax)?;
    let conditions = conditions::read(&request.head.headers, false)?;
    let announced = super::body::announced(&request.head.headers);
    let limit = shared.config.limits.range_bytes_max;
    if length <= limit && announced.is_some_and(|announced| announced != length && announced <= limit) {
        return Err(Error::Bad(format!(
            "the range has {length} bytes and the body {}",
            announced.unwrap_or(0)
        )));
    }
    if !exists(shared, node).await? {
        return Err(Error::NotFound(node.path.clone()));
    }
    let body = request.collect(shared, limit).await?;
    if body.bytes.len() as u64 != length {
        return Err(Error::Bad(format!(
            "the range has {length} bytes and the body {}; nothing was written",
            body.bytes.len()
        )));
    }
    let tag = store_range(
        shared,
        node,
        offset,
        body.bytes.clone(),
        conditions,
        query.flush(),
    )
    .await?;
    Ok(respond::tagged(StatusCode::NO_CONTENT, tag))
}

/// Writes bytes that were received whole.
pub(super) async fn store_range(
    shared: &Arc<Shared>,
    node: &Node,
    offset: u64,
    bytes: Bytes,
    conditions: Conditions,
    flush: bool,
) -> Result<Tag> {
    let path = node.path.clone();
    let quirks = &shared.config.quirks;
    let flush = flush && !quirks.lie_on_flush;
    let (replace, at_zero) = (quirks.replace_on_partial, quirks.partial_at_zero);
    shared
        .blocking(Kind::Change, move |store| {
            if replace {
                let mut upload = store.upload()?;
                upload.append(&bytes)?;
                return Ok(upload.commit(&path, &NewMeta::default(), &conditions, flush)?.tag);
            }
            store.write(
                &path,
                if at_zero { 0 } else { offset },
                &bytes,
                &conditions,
                flush,
            )
        })
        .await
}

/// A JSON update: `?value=A-B` writes a part, `?metadata=P` replaces the items that begin with P, and without either the fields of the
/// body replace those of the object.
pub(super) async fn patch_json(
    shared: &Arc<Shared>,
    request: Request<'_>,
    node: &Node,
    query: &Query,
    conditions: Conditions,
) -> Answer {
    query.only(&["value", "metadata", "restblk_flush"])?;
    let flush = query.flush();
    let part = query.get("value").map(query::range).transpose()?;
    if query.all("value").count() > 1 {
        return Err(Error::bad("one range a request"));
    }
    let meta = shared.object(&node.path).await?.0.meta();
    // A part of a value may cut a character, so it is in base64 unless the body says otherwise.
    let default = if part.is_some() {
        Encoding::Base64
    } else {
        meta.encoding
    };
    let mut json = object_put::object_json(shared, request, default).await?;
    let path = node.path.clone();
    if let Some((first, last)) = part {
        let (offset, length) = range::length(first, last)?;
        let value = json
            .value
            .ok_or_else(|| Error::bad("the body has no value for the range"))?;
        if value.len() as u64 != length {
            return Err(Error::Bad(format!(
                "the range has {length} bytes and the value {}; nothing was written",
                value.len()
            )));
        }
        if json.new.metadata.is_some() || json.new.mimetype.is_some() {
            return Err(Error::bad(
                "a part of the value and other fields cannot change in one request",
            ));
        }
        let tag = store_range(shared, node, offset, value.into(), conditions, flush).await?;
        return Ok(respond::tagged(StatusCode::NO_CONTENT, tag));
    }
    let prefixes = query.all("metadata").map(str::to_owned).collect();
    if query.has("metadata") {
        // The query names what changes, and an absent item is one that goes away.
        json.new = NewMeta {
            metadata: Some(json.new.metadata.unwrap_or_default()),
            ..NewMeta::default()
        };
        json.value = None;
    }
    let change = MetaChange {
        new: json.new,
        prefixes,
    };
    let tag = shared
        .blocking(Kind::Change, move |store| match json.value {
            None => store.set_meta(&path, &change, &conditions, flush),
            Some(value) => {
                let mut upload = store.upload()?;
                upload.append(&value)?;
                let conditions = Conditions {
                    if_match: Some(conditions.if_match.unwrap_or(crate::store::Tags::Any)),
                    ..conditions
                };
                Ok(upload.commit(&path, &change.new, &conditions, flush)?.tag)
            }
        })
        .await?;
    Ok(respond::tagged(StatusCode::NO_CONTENT, tag))
}

pub(super) async fn delete(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    node.check_writable()?;
    query.only(&["restblk_flush"])?;
    let conditions = conditions::read(&request.head.headers, false)?;
    let (path, flush) = (node.path.clone(), query.flush());
    shared
        .blocking(Kind::Change, move |store| store.delete(&path, &conditions, flush))
        .await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}
