//! Reading data objects: the value by plain HTTP (CDMI 6.3), all fields as JSON (8.4), and `HEAD`.
//!
//! The tag is taken before the size and the value are looked at; see `store::etag` for why that order is safe.

use super::body::Body;
use super::path::Node;
use super::query::Query;
use super::range::{self, Wanted};
use super::respond::{self, Answer};
use super::route::{self, Accepts, OBJECT_TYPE, Request};
use super::{Kind, Shared, conditions, fields, query};
use crate::error::{Doing, Error, Result};
use crate::store::{Encoding, Entry, Meta, Stat};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Up to here a value is read in one go; above, it is streamed.
const WHOLE_BYTES_MAX: u64 = 64 << 10;
/// Up to here a value travels as text in JSON; above, in base64, as a stream.
const TEXT_BYTES_MAX: u64 = 1 << 20;

pub(super) async fn get(shared: &Arc<Shared>, request: &Request<'_>, node: &Node, query: &Query) -> Answer {
    let accepts = route::accepts(&request.head.headers, OBJECT_TYPE);
    if !query.is_empty() || accepts == Accepts::Cdmi {
        return get_fields(shared, request, node, query).await;
    }
    let (entry, _) = shared.object(&node.path).await?;
    let tag = entry.tag();
    let stat = entry.stat()?;
    let meta = entry.meta();
    if accepts == Accepts::Other && !accepts_type(request, &meta.mimetype) {
        return Err(Error::NotAcceptable("a data object of another type"));
    }
    conditions::read(&request.head.headers, false)?.check_read(tag)?;
    let wanted = match request.header(RANGE) {
        Some(header)
            if !shared.config.quirks.ignore_range && conditions::range_holds(&request.head.headers, tag) =>
        {
            range::wanted(header, stat.size)
        }
        _ => Wanted::Whole,
    };
    let (status, first, end) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0, stat.size),
        Wanted::Part(first, end) => (StatusCode::PARTIAL_CONTENT, first, end),
        Wanted::Unsatisfiable => return Err(Error::Range(stat.size)),
    };
    let mut response = respond::tagged(status, tag);
    plain_headers(&mut response, &meta);
    if status == StatusCode::PARTIAL_CONTENT {
        respond::set(
            &mut response,
            CONTENT_RANGE,
            &format!("bytes {first}-{}/{}", end - 1, stat.size),
        );
    }
    *response.body_mut() = value(shared, entry, first, end).await?;
    Ok(response)
}

fn plain_headers(response: &mut Response<Body>, meta: &Meta) {
    respond::set(response, CONTENT_TYPE, &meta.mimetype);
    response
        .headers_mut()
        .insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

fn accepts_type(request: &Request<'_>, mimetype: &str) -> bool {
    let essence = mimetype.split(';').next().unwrap_or("").trim();
    let family = essence.split('/').next().unwrap_or("");
    request
        .head
        .headers
        .get_all(http::header::ACCEPT)
        .iter()
        .any(|value| {
            value
                .to_str()
                .unwrap_or("")
                .split(',')
                .map(|item| item.split(';').next().unwrap_or("").trim())
                .any(|item| {
                    item.eq_ignore_ascii_case(essence)
                        || item
                            .strip_suffix("/*")
                            .is_some_and(|item| item.eq_ignore_ascii_case(family))
                })
        })
}

/// The body with a part of an object's value.
pub(super) async fn value(shared: &Shared, entry: Arc<Entry>, first: u64, mut end: u64) -> Result<Body> {
    let quirks = &shared.config.quirks;
    if let Some(less) = quirks.shorten_reads_bytes {
        end = end.saturating_sub(less).max(first);
    }
    let length = end - first;
    let body = if length == 0 {
        Body::Empty
    } else if length > WHOLE_BYTES_MAX {
        Body::file(shared, entry, first, end)
    } else {
        Body::Full(read(shared, entry, first, length).await?)
    };
    Ok(match quirks.truncate_reads_bytes {
        Some(bytes) if bytes < length => Body::Cut(Box::new(body), bytes),
        _ => body,
    })
}

async fn read(shared: &Shared, entry: Arc<Entry>, first: u64, length: u64) -> Result<Bytes> {
    let mut buffer =
        BytesMut::zeroed(usize::try_from(length).map_err(|_| Error::bad("the range is too long"))?);
    if entry.read_cached(first, &mut buffer) {
        return Ok(buffer.freeze());
    }
    shared
        .blocking(Kind::Read, move |_| {
            entry.read(first, &mut buffer).doing("read the object")?;
            Ok(buffer.freeze())
        })
        .await
}

pub(super) async fn head(shared: &Arc<Shared>, request: &Request<'_>, node: &Node, query: &Query) -> Answer {
    if shared.config.mode.has_scal_headers() && request.head.headers.contains_key("x-scal-synchronize") {
        return super::srb::synchronize(shared, &request.head.headers, node).await;
    }
    if !query.is_empty() || route::accepts(&request.head.headers, OBJECT_TYPE) == Accepts::Cdmi {
        return get_fields(shared, request, node, query).await;
    }
    let (entry, _) = shared.object(&node.path).await?;
    let tag = entry.tag();
    let stat = entry.stat()?;
    conditions::read(&request.head.headers, false)?.check_read(tag)?;
    let mut response = respond::tagged(StatusCode::OK, tag);
    plain_headers(&mut response, &entry.meta());
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(stat.size));
    Ok(response)
}

/// The fields of an object with the ID of its container.
pub(super) async fn fields_of(
    shared: &Arc<Shared>,
    path: &str,
    meta: &Meta,
    stat: &Stat,
) -> Result<Map<String, Value>> {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
    let parent = shared
        .blocking(Kind::Read, move |store| store.container(&parent))
        .await?;
    let place = fields::Place {
        path,
        parent_id: Some(&parent.meta.id),
        container: false,
    };
    Ok(fields::object(shared, &place, meta, stat))
}

async fn get_fields(shared: &Arc<Shared>, request: &Request<'_>, node: &Node, query: &Query) -> Answer {
    let (entry, _) = shared.object(&node.path).await?;
    let tag = entry.tag();
    let stat = entry.stat()?;
    let meta = entry.meta();
    conditions::read(&request.head.headers, false)?.check_read(tag)?;
    let mut fields = fields_of(shared, &node.path, &meta, &stat).await?;
    let (first, end) = match query.get("value") {
        None => (0, stat.size),
        Some(text) => {
            let (first, last) = query::range(text)?;
            if first >= stat.size {
                return Err(Error::Range(stat.size));
            }
            (first, last.saturating_add(1).min(stat.size))
        }
    };
    let with_value = query.is_empty() || query.has("value");
    let mut encoding = meta.encoding;
    let mut text = None;
    if with_value && encoding == Encoding::Utf8 {
        // A part that cuts a character, or a value that is not text after all, goes as base64.
        if end - first <= TEXT_BYTES_MAX {
            let bytes = read(shared, entry.clone(), first, end - first).await?;
            text = String::from_utf8(bytes.to_vec()).ok();
        }
        if text.is_none() {
            encoding = Encoding::Base64;
        }
    }
    fields.insert("valuetransferencoding".to_owned(), json!(encoding.name()));
    let range = if first < end {
        format!("{first}-{}", end - 1)
    } else {
        String::new()
    };
    fields.insert("valuerange".to_owned(), json!(range));
    let told = (
        fields["valuetransferencoding"].clone(),
        fields["valuerange"].clone(),
    );
    fields::select(&mut fields, query);
    if with_value {
        // Whoever gets a value must know how to read it, whether the query names these fields or not.
        fields.insert("valuetransferencoding".to_owned(), told.0);
        fields.insert("valuerange".to_owned(), told.1);
    }
    if let Some(text) = text {
        fields.insert("value".to_owned(), json!(text));
        let mut response = respond::json(StatusCode::OK, OBJECT_TYPE, &Value::Object(fields));
        respond::set_tag(&mut response, tag);
        return Ok(response);
    }
    let mut response = respond::json(StatusCode::OK, OBJECT_TYPE, &Value::Object(fields));
    respond::set_tag(&mut response, tag);
    if with_value && let Body::Full(json) = response.body() {
        // `{…}` becomes `{…,"value":"` + base64 + `"}`; there is at least one field before it.
        let mut before = BytesMut::from(&json[..json.len() - 1]);
        before.extend_from_slice(b",\"value\":\"");
        *response.body_mut() = Body::file_base64(
            shared,
            entry,
            first,
            end,
            before.freeze(),
            Bytes::from_static(b"\"}"),
        );
    }
    Ok(response)
}
