//! The JSON fields of objects and containers, and the choice among them that a query makes.

use super::query::{self, Query};
use super::{Shared, respond};
use crate::config::Mode;
use crate::error::Result;
use crate::store::{ContainerInfo, Meta, Stat};
use serde_json::{Map, Value, json};
use std::ops::Range;

/// What a node has in common with every other.
pub(super) struct Place<'a> {
    pub(super) path: &'a str,
    /// The ID of the container it is in; none for the root.
    pub(super) parent_id: Option<&'a str>,
    pub(super) container: bool,
}

/// The fields of a data object, without its value.
pub(super) fn object(shared: &Shared, place: &Place<'_>, meta: &Meta, stat: &Stat) -> Map<String, Value> {
    let mut fields = common(shared, place, &meta.id, "application/cdmi-object", "dataobject");
    let mut metadata = meta.metadata.clone();
    let size = if shared.config.mode.has_scal_headers() {
        json!(stat.size)
    } else {
        json!(stat.size.to_string())
    };
    metadata.insert("cdmi_size".to_owned(), size);
    metadata.insert("restblk_allocated".to_owned(), json!(stat.allocated.to_string()));
    times(shared, &mut metadata, meta, stat.mtime_ns);
    fields.insert("metadata".to_owned(), Value::Object(metadata));
    fields.insert("mimetype".to_owned(), json!(meta.mimetype));
    fields
}

/// The fields of a container, without its children.
pub(super) fn container(shared: &Shared, place: &Place<'_>, info: &ContainerInfo) -> Map<String, Value> {
    let mut fields = common(
        shared,
        place,
        &info.meta.id,
        "application/cdmi-container",
        "container",
    );
    let mut metadata = info.meta.metadata.clone();
    times(shared, &mut metadata, &info.meta, info.mtime_ns);
    fields.insert("metadata".to_owned(), Value::Object(metadata));
    fields
}

fn common(
    shared: &Shared,
    place: &Place<'_>,
    id: &str,
    kind: &str,
    capabilities: &str,
) -> Map<String, Value> {
    let root = &shared.prefix;
    let mut fields = Map::new();
    let mut add = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    add("objectType", json!(kind));
    add("objectID", json!(id));
    if !place.path.is_empty() {
        let (parent, name) = place.path.rsplit_once('/').unwrap_or(("", place.path));
        add(
            "objectName",
            json!(if place.container {
                format!("{name}/")
            } else {
                name.to_owned()
            }),
        );
        add("parentURI", json!(respond::uri(root, parent, true)));
    }
    if let Some(parent) = place.parent_id {
        add("parentID", json!(parent));
    }
    add("domainURI", json!(format!("{root}cdmi_domains/")));
    add(
        "capabilitiesURI",
        json!(format!("{root}cdmi_capabilities/{capabilities}/")),
    );
    add("completionStatus", json!("Complete"));
    fields
}

fn times(shared: &Shared, metadata: &mut Map<String, Value>, meta: &Meta, mtime_ns: i128) {
    metadata.insert(
        "cdmi_ctime".to_owned(),
        json!(time(shared, i128::from(meta.created_ns))),
    );
    metadata.insert("cdmi_mtime".to_owned(), json!(time(shared, mtime_ns)));
}

/// ISO 8601 in UTC with microseconds (CDMI 5.5); Scality's clients expect them zero.
fn time(shared: &Shared, nanoseconds: i128) -> String {
    let Ok(time) = jiff::Timestamp::from_nanosecond(nanoseconds) else {
        return String::new();
    };
    if shared.config.mode == Mode::Scality {
        return format!("{}.000000Z", time.strftime("%Y-%m-%dT%H:%M:%S"));
    }
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Leaves the fields that the query names; without a query, all. `?metadata=P` leaves the items that begin with P.
pub(super) fn select(fields: &mut Map<String, Value>, query: &Query) {
    let prefixes: Vec<&str> = query.all("metadata").collect();
    if !prefixes.is_empty()
        && let Some(Value::Object(metadata)) = fields.get_mut("metadata")
    {
        metadata.retain(|name, _| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    }
    if !query.is_empty() {
        fields.retain(|name, _| query.has(name));
    }
}

/// The children that a range names, of so many.
pub(super) fn children_range(range: Option<&str>, count: usize) -> Result<Range<usize>> {
    let Some(range) = range else { return Ok(0..count) };
    let (first, last) = query::range(range)?;
    let clip = |number: u64| usize::try_from(number).unwrap_or(usize::MAX).min(count);
    Ok(clip(first)..clip(last.saturating_add(1)))
}

/// `A-B`; empty for nothing.
pub(super) fn range_text(range: &Range<usize>) -> String {
    if range.is_empty() {
        String::new()
    } else {
        format!("{}-{}", range.start, range.end - 1)
    }
}
