//! From a request to the one function that carries it out.

use super::path::{Node, Target};
use super::query::Query;
use super::respond::Answer;
use super::{Kind, Shared, body, capabilities, container, object_put, object_read, object_update, path, srb};
use crate::config::Mode;
use crate::error::{Error, Result};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method};
use hyper::body::Incoming;
use std::sync::Arc;

pub(super) const OBJECT_TYPE: &str = "application/cdmi-object";
pub(super) const CONTAINER_TYPE: &str = "application/cdmi-container";

/// A request's body, on the wire or received already.
pub(super) enum Payload<'a> {
    Incoming(&'a mut Incoming),
    Collected(Bytes),
}

pub(super) struct Request<'a> {
    pub(super) head: http::request::Parts,
    pub(super) body: Payload<'a>,
}

impl Request<'_> {
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The media type of the body, without parameters.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.header(CONTENT_TYPE)
            .map(|value| value.split(';').next().unwrap_or("").trim())
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn collect(self, shared: &Shared, limit: u64) -> Result<body::Collected> {
        body::collect_payload(shared, &self.head.headers, self.body, limit).await
    }

    /// Requires that there is no body.
    pub(super) async fn no_body(self, shared: &Shared) -> Result<()> {
        match self.body {
            Payload::Incoming(body) => body::none(shared, body).await,
            Payload::Collected(bytes) if bytes.is_empty() => Ok(()),
            Payload::Collected(_) => Err(Error::bad("this request has no body")),
        }
    }
}

/// What the `Accept` header of a read allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Anything, or no such header.
    Any,
    /// The JSON form, asked for by name.
    Cdmi,
    /// Neither: another media type only.
    Other,
}

pub(super) fn accepts(headers: &HeaderMap, cdmi_type: &str) -> Accepts {
    let mut given = false;
    let mut any = false;
    for value in headers.get_all(ACCEPT) {
        for item in value.to_str().unwrap_or("").split(',') {
            given = true;
            match item.split(';').next().unwrap_or("").trim() {
                name if name == cdmi_type || name == "application/cdmi-*" => return Accepts::Cdmi,
                "*/*" | "application/*" => any = true,
                _ => {}
            }
        }
    }
    if !given || any {
        Accepts::Any
    } else {
        Accepts::Other
    }
}

pub(super) async fn route(shared: &Arc<Shared>, request: Request<'_>) -> Answer {
    let mode = shared.config.mode;
    let uri = request.head.uri.clone();
    let target = path::parse(&shared.prefix, uri.path(), mode == Mode::Srb)?;
    let query = Query::parse(uri.query(), mode.is_1x())?;
    let node = match target {
        Target::Capabilities(name) => return capabilities::capabilities(shared, &request, &name, &query),
        Target::Domains(name) => return capabilities::domains(shared, &request, &name),
        Target::Id { id, rest, slash } => by_id(shared, id, &rest, slash).await?,
        Target::Node(node) => node,
    };
    if shared.config.read_only && !matches!(request.head.method, Method::GET | Method::HEAD) {
        return Err(Error::Forbidden("this server is read-only".to_owned()));
    }
    if mode == Mode::Srb {
        return srb::handle(shared, request, &node, &query).await;
    }
    if request.content_type() == Some(CONTAINER_TYPE) && request.head.method == Method::PUT && !node.slash {
        return Err(Error::bad("the URI of a container ends with a slash"));
    }
    if node.slash {
        return container::handle(shared, request, &node, &query).await;
    }
    match request.head.method {
        Method::GET => object_read::get(shared, &request, &node, &query).await,
        Method::HEAD => object_read::head(shared, &request, &node, &query).await,
        Method::PUT => object_put::put(shared, request, &node, &query).await,
        Method::PATCH => object_update::patch(shared, request, &node, &query).await,
        Method::DELETE => object_update::delete(shared, request, &node, &query).await,
        _ => Err(Error::Method("GET, HEAD, PUT, PATCH, DELETE")),
    }
}

async fn by_id(shared: &Arc<Shared>, id: String, rest: &str, slash: bool) -> Result<Node> {
    let found = shared
        .blocking(Kind::Read, move |store| store.resolve_id(&id))
        .await?;
    let container = found.is_empty() || found.ends_with('/');
    let found = found.trim_end_matches('/');
    Ok(match (rest.is_empty(), container) {
        // An ID alone names a container with or without the slash.
        (true, _) => Node::new(found, container),
        (false, true) if found.is_empty() => Node::new(rest, slash),
        (false, true) => Node::new(&format!("{found}/{rest}"), slash),
        (false, false) => return Err(Error::NotFound(format!("{rest} below a data object"))),
    })
}
