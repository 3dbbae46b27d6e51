//! Whole data objects: created or replaced by plain HTTP (CDMI 6.2) or by JSON (8.3), with copy and move.
//!
//! A body of any size goes straight to a temporary file, piece by piece. In the modes 1.x a `PUT` may also be an update, which
//! goes to `object_update`.

use super::body;
use super::path::{Node, Target};
use super::query::Query;
use super::respond::{self, Answer};
use super::route::{OBJECT_TYPE, Payload, Request};
use super::{Kind, Shared, conditions, object_read, object_update, path};
use crate::error::{Error, Result};
use crate::store::{Conditions, Encoding, MetaChange, NewMeta, Outcome, Upload};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Pieces from the wire are gathered to this size before they are written.
const WRITE_BYTES: usize = 1 << 20;

pub(super) async fn put(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    node.check_writable()?;
    let mode = shared.config.mode;
    let headers = &request.head.headers;
    if mode.has_scal_headers() && headers.contains_key("x-scal-truncate") {
        return super::srb::truncate(shared, request, node).await;
    }
    if request.content_type() == Some(OBJECT_TYPE) {
        return put_json(shared, request, node, query).await;
    }
    query.only(&["restblk_flush"])?;
    if let Some(range) = request.header(CONTENT_RANGE).map(str::to_owned) {
        if !mode.is_1x() {
            return Err(Error::bad(
                "PUT writes whole objects; to write a part, send PATCH with Content-Range",
            ));
        }
        return object_update::write_range(shared, request, node, query, &range).await;
    }
    if let Some(range) = request.header(RANGE).map(str::to_owned) {
        if !mode.has_scal_headers() {
            return Err(Error::bad(
                "PUT writes whole objects and has no Range; nothing was written",
            ));
        }
        return object_update::write_range(shared, request, node, query, &range).await;
    }
    let conditions = conditions::read(headers, shared.config.quirks.ignore_if_none_match)?;
    let mimetype = request.header(CONTENT_TYPE).map(str::to_owned);
    let text = mimetype
        .as_deref()
        .is_some_and(|mimetype| mimetype.to_ascii_lowercase().contains("charset=utf-8"));
    let new = NewMeta {
        mimetype,
        encoding: Some(if text { Encoding::Utf8 } else { Encoding::Base64 }),
        metadata: None,
    };
    let outcome = receive(shared, request, &node.path, new, conditions, query.flush()).await?;
    let status = if outcome.created {
        StatusCode::CREATED
    } else {
        StatusCode::NO_CONTENT
    };
    Ok(respond::tagged(status, outcome.tag))
}

/// Receives a whole object.
pub(super) async fn receive(
    shared: &Arc<Shared>,
    request: Request<'_>,
    path: &str,
    new: NewMeta,
    conditions: Conditions,
    flush: bool,
) -> Result<Outcome> {
    let limit = shared.config.limits.put_bytes_max;
    if body::announced(&request.head.headers).is_some_and(|length| length > limit) {
        return Err(Error::TooLarge(format!(
            "the body is over the limit of {limit} bytes"
        )));
    }
    let path = path.to_owned();
    let (early, early_conditions) = (path.clone(), conditions.clone());
    let upload = shared
        .blocking(Kind::Change, move |store| {
            store.check_upload(&early, &early_conditions)?;
            store.upload()
        })
        .await?;
    let (upload, last) = fill(shared, request.body, upload, limit).await?;
    shared
        .blocking(Kind::Change, move |_| {
            let mut upload = upload;
            upload.append(&last)?;
            upload.commit(&path, &new, &conditions, flush)
        })
        .await
}

/// Writes all of a body but its last part, which goes with the commit.
async fn fill(
    shared: &Arc<Shared>,
    body: Payload<'_>,
    mut upload: Upload,
    limit: u64,
) -> Result<(Upload, Bytes)> {
    let body = match body {
        Payload::Collected(bytes) => return Ok((upload, bytes)),
        Payload::Incoming(body) => body,
    };
    let mut gathered = BytesMut::new();
    let mut total = 0;
    while let Some(piece) = body::next_piece(shared, body).await? {
        total += piece.len() as u64;
        if total > limit {
            return Err(Error::TooLarge(format!(
                "the body is over the limit of {limit} bytes"
            )));
        }
        gathered.extend_from_slice(&piece);
        if gathered.len() >= WRITE_BYTES {
            let bytes = gathered.split().freeze();
            upload = shared
                .blocking(Kind::Change, move |_| {
                    upload.append(&bytes)?;
                    Ok(upload)
                })
                .await?;
        }
    }
    Ok((upload, gathered.freeze()))
}

/// A JSON body of a data object.
pub(super) struct ObjectJson {
    pub(super) new: NewMeta,
    pub(super) value: Option<Vec<u8>>,
    source: Option<Source>,
}

enum Source {
    Copy(String),
    Move(String),
}

/// Reads a JSON body. `default` is the encoding of a value that does not say.
pub(super) async fn object_json(
    shared: &Shared,
    request: Request<'_>,
    default: Encoding,
) -> Result<ObjectJson> {
    // Base64 makes 4 bytes of 3; the rest is for the other fields.
    let limit = (shared.config.limits.range_bytes_max / 3 * 4).saturating_add(64 << 10);
    let body = request.collect(shared, limit).await?;
    if body.bytes.is_empty() {
        return Ok(ObjectJson {
            new: NewMeta::default(),
            value: None,
            source: None,
        });
    }
    let json: Value = serde_json::from_slice(&body.bytes)
        .map_err(|error| Error::Bad(format!("the body is not JSON: {error}")))?;
    let Value::Object(mut fields) = json else {
        return Err(Error::bad("the body is not a JSON object"));
    };
    let encoding = match text(&mut fields, "valuetransferencoding")?.as_deref() {
        None => None,
        Some("utf-8") => Some(Encoding::Utf8),
        Some("base64") => Some(Encoding::Base64),
        Some(other) => {
            return Err(Error::Bad(format!(
                "valuetransferencoding {other:?} is not known; use utf-8 or base64"
            )));
        }
    };
    let value = match text(&mut fields, "value")? {
        None => None,
        Some(value) => Some(match encoding.unwrap_or(default) {
            Encoding::Utf8 => value.into_bytes(),
            Encoding::Base64 => STANDARD
                .decode(value.trim_end())
                .map_err(|error| Error::Bad(format!("the value is not base64: {error}")))?,
        }),
    };
    let source = match (text(&mut fields, "copy")?, text(&mut fields, "move")?) {
        (None, None) => None,
        (Some(uri), None) => Some(Source::Copy(uri)),
        (None, Some(uri)) => Some(Source::Move(uri)),
        (Some(_), Some(_)) => return Err(Error::bad("copy and move exclude each other")),
    };
    if source.is_some() && value.is_some() {
        return Err(Error::bad("copy and move exclude a value"));
    }
    let new = NewMeta {
        mimetype: text(&mut fields, "mimetype")?,
        encoding,
        metadata: metadata(&mut fields)?,
    };
    no_others(&fields)?;
    Ok(ObjectJson { new, value, source })
}

/// Takes a text field out.
pub(super) fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::Bad(format!("the field {name} is not a string"))),
    }
}

/// Takes the user's metadata out; what the system keeps (`cdmi_…`) cannot be given and is left aside.
pub(super) fn metadata(fields: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>> {
    match fields.remove("metadata") {
        None => Ok(None),
        Some(Value::Object(mut metadata)) => {
            metadata.retain(|name, _| {
                !matches!(
                    name.as_str(),
                    "cdmi_size" | "cdmi_ctime" | "cdmi_mtime" | "restblk_allocated"
                )
            });
            Ok(Some(metadata))
        }
        Some(_) => Err(Error::bad("the field metadata is not an object")),
    }
}

/// Fields that a client read and sends back change nothing; unknown ones ask for what is not done.
pub(super) fn no_others(fields: &Map<String, Value>) -> Result<()> {
    const TOLD: &[&str] = &[
        "objectType",
        "objectID",
        "objectName",
        "parentURI",
        "parentID",
        "domainURI",
        "capabilitiesURI",
        "completionStatus",
        "percentComplete",
        "valuerange",
        "childrenrange",
        "children",
        "snapshots",
    ];
    match fields.keys().find(|name| !TOLD.contains(&name.as_str())) {
        Some(name) => Err(Error::Bad(format!(
            "the field {name} is not known or not supported"
        ))),
        None => Ok(()),
    }
}

async fn put_json(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    let conditions = conditions::read(&request.head.headers, shared.config.quirks.ignore_if_none_match)?;
    let update = shared.config.mode.is_1x() && object_update::exists(shared, node).await?;
    if update && (query.has("value") || query.has("metadata")) {
        return object_update::patch_json(shared, request, node, query, conditions).await;
    }
    query.only(&["restblk_flush", "metadata"])?;
    let flush = query.flush();
    let mut json = object_json(shared, request, Encoding::Utf8).await?;
    if update && json.value.is_none() && json.source.is_none() {
        // In 1.x a PUT on an existing object changes what it names and leaves the value.
        let change = MetaChange {
            new: json.new,
            prefixes: Vec::new(),
        };
        let path = node.path.clone();
        let tag = shared
            .blocking(Kind::Change, move |store| {
                store.set_meta(&path, &change, &conditions, flush)
            })
            .await?;
        return Ok(respond::tagged(StatusCode::NO_CONTENT, tag));
    }
    let path = node.path.clone();
    let outcome = match json.source.take() {
        Some(Source::Copy(uri)) => {
            let (from, new) = (local(shared, &uri).await?, json.new);
            shared
                .blocking(Kind::Change, move |store| {
                    store.copy(&from.path, &path, &new, &conditions, flush)
                })
                .await?
        }
        Some(Source::Move(uri)) => {
            let from = local(shared, &uri).await?;
            from.check_writable()?;
            shared
                .blocking(Kind::Change, move |store| {
                    store.rename(&from.path, &path, &conditions, flush)
                })
                .await?
        }
        None => {
            let mut new = json.new;
            new.encoding.get_or_insert(Encoding::Utf8);
            new.mimetype.get_or_insert_with(|| "text/plain".to_owned());
            if !shared.config.mode.is_1x() {
                new.metadata.get_or_insert_default();
            }
            let value = json.value.unwrap_or_default();
            shared
                .blocking(Kind::Change, move |store| {
                    store.check_upload(&path, &conditions)?;
                    let mut upload = store.upload()?;
                    upload.append(&value)?;
                    upload.commit(&path, &new, &conditions, flush)
                })
                .await?
        }
    };
    if !outcome.created {
        return Ok(respond::tagged(StatusCode::NO_CONTENT, outcome.tag));
    }
    let (entry, stat) = shared.object(&node.path).await?;
    let fields = object_read::fields_of(shared, &node.path, &entry.meta(), &stat).await?;
    let mut response = respond::json(StatusCode::CREATED, OBJECT_TYPE, &Value::Object(fields));
    respond::set_tag(&mut response, outcome.tag);
    Ok(response)
}

/// The node that a `copy` or `move` names: a URI of this server, with or without its root.
pub(super) async fn local(shared: &Arc<Shared>, uri: &str) -> Result<Node> {
    let raw = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => uri,
    };
    let raw = if raw.starts_with(&shared.prefix) {
        raw.to_owned()
    } else {
        format!("{}{}", shared.prefix, raw.trim_start_matches('/'))
    };
    match path::parse(&shared.prefix, &raw, false)? {
        Target::Node(node) => Ok(node),
        Target::Id { id, .. } => {
            let found = shared
                .blocking(Kind::Read, move |store| store.resolve_id(&id))
                .await?;
            Ok(Node::new(found.trim_end_matches('/'), found.ends_with('/')))
        }
        _ => Err(Error::Bad(format!("{uri} cannot be copied or moved"))),
    }
}
