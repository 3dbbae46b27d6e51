//! Containers (CDMI 9): read with ranges of children, create, update, snapshot, copy, move, delete.

use super::object_put::{self, local};
use super::path::Node;
use super::query::{Extension, Query};
use super::respond::{self, Answer};
use super::route::{self, Accepts, CONTAINER_TYPE, Request};
use super::{Kind, Shared, fields};
use crate::error::{Error, Result};
use crate::store::{MetaChange, NewMeta, SNAPSHOTS};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Most bytes of a container's JSON body.
const BODY_BYTES_MAX: u64 = 64 << 10;

pub(super) async fn handle(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    match request.head.method {
        Method::GET | Method::HEAD => get(shared, &request, node, query).await,
        Method::PUT => put(shared, request, node, query).await,
        Method::PATCH => patch(shared, request, node, query).await,
        Method::DELETE => delete(shared, request, node, query).await,
        _ => Err(Error::Method("GET, HEAD, PUT, PATCH, DELETE")),
    }
}

async fn get(shared: &Arc<Shared>, request: &Request<'_>, node: &Node, query: &Query) -> Answer {
    let headers = &request.head.headers;
    if route::accepts(headers, CONTAINER_TYPE) == Accepts::Other
        && route::accepts(headers, "application/json") != Accepts::Cdmi
    {
        return Err(Error::NotAcceptable("a container"));
    }
    let fields = read(shared, node, query).await?;
    Ok(respond::json(
        StatusCode::OK,
        CONTAINER_TYPE,
        &Value::Object(fields),
    ))
}

/// The fields that a query names.
pub(super) async fn read(shared: &Arc<Shared>, node: &Node, query: &Query) -> Result<Map<String, Value>> {
    let path = node.path.clone();
    let wants = |name: &str| query.is_empty() || query.has(name);
    let with_children = wants("children") || wants("childrenrange");
    let with_snapshots = wants("snapshots");
    let (info, parent, children, snapshots) = shared
        .blocking(Kind::Read, move |store| {
            let info = store.container(&path)?;
            let parent = match path.rsplit_once('/') {
                _ if path.is_empty() => None,
                Some((parent, _)) => Some(store.container(parent)?.meta.id),
                None => Some(store.container("")?.meta.id),
            };
            let children = if with_children {
                store.list(&path)?
            } else {
                Vec::new()
            };
            let snapshots = if with_snapshots {
                store.snapshots(&path)?
            } else {
                Vec::new()
            };
            Ok((info, parent, children, snapshots))
        })
        .await?;
    let place = fields::Place {
        path: &node.path,
        parent_id: parent.as_deref(),
        container: true,
    };
    let mut fields = fields::container(shared, &place, &info);
    let range = fields::children_range(query.get("children"), children.len())?;
    fields.insert("childrenrange".to_owned(), json!(fields::range_text(&range)));
    let names = children.into_iter().skip(range.start).take(range.len());
    let names: Vec<Value> = names
        .map(|child| {
            Value::String(if child.is_container {
                child.name + "/"
            } else {
                child.name
            })
        })
        .collect();
    fields.insert("children".to_owned(), Value::Array(names));
    if !snapshots.is_empty() {
        let inner = if node.path.is_empty() {
            SNAPSHOTS.to_owned()
        } else {
            format!("{}/{SNAPSHOTS}", node.path)
        };
        let uris: Vec<String> = snapshots
            .iter()
            .map(|name| respond::uri(&shared.prefix, &format!("{inner}/{name}"), true))
            .collect();
        fields.insert("snapshots".to_owned(), json!(uris));
    }
    fields::select(&mut fields, query);
    Ok(fields)
}

/// A JSON body of a container.
#[derive(Default)]
struct ContainerJson {
    metadata: Option<Map<String, Value>>,
    snapshot: Option<String>,
    copy: Option<String>,
    moved: Option<String>,
}

async fn body(shared: &Arc<Shared>, request: Request<'_>) -> Result<ContainerJson> {
    if request.content_type() != Some(CONTAINER_TYPE) {
        request.no_body(shared).await?;
        return Ok(ContainerJson::default());
    }
    let body = request.collect(shared, BODY_BYTES_MAX).await?;
    if body.bytes.is_empty() {
        return Ok(ContainerJson::default());
    }
    let json: Value = serde_json::from_slice(&body.bytes)
        .map_err(|error| Error::Bad(format!("the body is not JSON: {error}")))?;
    let Value::Object(mut fields) = json else {
        return Err(Error::bad("the body is not a JSON object"));
    };
    let json = ContainerJson {
        metadata: object_put::metadata(&mut fields)?,
        snapshot: object_put::text(&mut fields, "snapshot")?,
        copy: object_put::text(&mut fields, "copy")?,
        moved: object_put::text(&mut fields, "move")?,
    };
    object_put::no_others(&fields)?;
    Ok(json)
}

async fn put(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    node.check_writable()?;
    query.only(&["metadata"])?;
    let is_cdmi = request.content_type() == Some(CONTAINER_TYPE);
    let json = body(shared, request).await?;
    if json.snapshot.is_some() {
        if shared.config.mode.is_1x() {
            return update(shared, node, query, json).await;
        }
        return Err(Error::bad("a snapshot is taken with PATCH"));
    }
    let path = node.path.clone();
    let created = match (json.copy, json.moved) {
        (Some(_), Some(_)) => return Err(Error::bad("copy and move exclude each other")),
        (Some(uri), None) => {
            let from = local(shared, &uri).await?;
            shared
                .blocking(Kind::Change, move |store| store.copy_container(&from.path, &path))
                .await?;
            true
        }
        (None, Some(uri)) => {
            let from = local(shared, &uri).await?;
            from.check_writable()?;
            shared
                .blocking(Kind::Change, move |store| {
                    store.rename_container(&from.path, &path)
                })
                .await?;
            true
        }
        (None, None) => {
            let new = NewMeta {
                metadata: json.metadata.clone(),
                ..NewMeta::default()
            };
            shared
                .blocking(Kind::Change, move |store| store.create_container(&path, &new))
                .await?
        }
    };
    if !created {
        let change = ContainerJson {
            metadata: json.metadata,
            ..ContainerJson::default()
        };
        return update(shared, node, query, change).await;
    }
    if !is_cdmi {
        return Ok(respond::empty(StatusCode::CREATED));
    }
    let fields = read(shared, node, &Query::default()).await?;
    Ok(respond::json(
        StatusCode::CREATED,
        CONTAINER_TYPE,
        &Value::Object(fields),
    ))
}

async fn patch(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    if query.extension()? == Some(Extension::Flush) && request.content_type() != Some(CONTAINER_TYPE) {
        query.only(&["restblk_flush"])?;
        request.no_body(shared).await?;
        let path = node.path.clone();
        if !shared.config.quirks.lie_on_flush {
            shared
                .blocking(Kind::Change, move |store| store.flush_container(&path))
                .await?;
        }
        return Ok(respond::empty(StatusCode::NO_CONTENT));
    }
    if shared.config.mode.is_1x() {
        return Err(Error::Method("GET, HEAD, PUT, DELETE"));
    }
    node.check_writable()?;
    query.only(&["metadata"])?;
    if request.content_type() != Some(CONTAINER_TYPE) {
        return Err(Error::bad(
            "PATCH of a container needs a body of application/cdmi-container",
        ));
    }
    let json = body(shared, request).await?;
    if json.copy.is_some() || json.moved.is_some() {
        return Err(Error::bad(
            "copy and move make a container; send them with PUT to its URI",
        ));
    }
    update(shared, node, query, json).await
}

async fn update(shared: &Arc<Shared>, node: &Node, query: &Query, json: ContainerJson) -> Answer {
    let path = node.path.clone();
    if let Some(name) = json.snapshot {
        let wrong =
            name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) || name.len() > 255;
        if wrong || name.starts_with("cdmi_") || json.metadata.is_some() {
            return Err(Error::bad("snapshot is a name, and no metadata goes with it"));
        }
        let uri = respond::uri(&shared.prefix, &format!("{path}/{SNAPSHOTS}/{name}"), true);
        shared
            .blocking(Kind::Change, move |store| store.snapshot(&path, &name))
            .await?;
        let mut response = respond::empty(StatusCode::CREATED);
        respond::set(&mut response, http::header::LOCATION, &uri);
        return Ok(response);
    }
    let prefixes: Vec<String> = query.all("metadata").map(str::to_owned).collect();
    let metadata = if prefixes.is_empty() {
        json.metadata
    } else {
        Some(json.metadata.unwrap_or_default())
    };
    if metadata.is_some() {
        let change = MetaChange {
            new: NewMeta {
                metadata,
                ..NewMeta::default()
            },
            prefixes,
        };
        shared
            .blocking(Kind::Change, move |store| {
                store.set_container_meta(&path, &change)
            })
            .await?;
    }
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

async fn delete(shared: &Arc<Shared>, request: Request<'_>, node: &Node, query: &Query) -> Answer {
    query.only(&["restblk_flush"])?;
    let (path, snapshot) = (node.path.clone(), node.is_snapshot());
    if !snapshot {
        node.check_writable()?;
    }
    let flush = query.flush();
    request.no_body(shared).await?;
    shared
        .blocking(Kind::Change, move |store| {
            store.delete_container(&path, snapshot)?;
            if flush {
                store.flush_container(path.rsplit_once('/').map_or("", |(parent, _)| parent))
            } else {
                Ok(())
            }
        })
        .await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}
