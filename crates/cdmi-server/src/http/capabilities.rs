//! Capabilities objects (CDMI 12), and the one domain. They say what works and nothing else.

use super::query::Query;
use super::respond::{self, Answer};
use super::route::Request;
use super::{Shared, fields};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::store::{METADATA_BYTES_MAX, fixed_id};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

const TYPE: &str = "application/cdmi-capability";

const SYSTEM: &[&str] = &[
    "cdmi_dataobjects",
    "cdmi_object_access_by_ID",
    "cdmi_object_copy_from_local",
];
const SYSTEM_CHANGES: &[&str] = &["cdmi_object_move_from_local"];
/// What takes a whole tree for itself, and so is not there where several servers share one.
const SYSTEM_ALONE: &[&str] = &["cdmi_snapshots"];
const CONTAINER_ALONE: &[&str] = &["cdmi_copy_container", "cdmi_move_container", "cdmi_snapshot"];
const CONTAINER: &[&str] = &[
    "cdmi_list_children",
    "cdmi_list_children_range",
    "cdmi_read_metadata",
    "cdmi_ctime",
    "cdmi_mtime",
];
const CONTAINER_CHANGES: &[&str] = &[
    "cdmi_create_container",
    "cdmi_create_dataobject",
    "cdmi_create_value_range",
    "cdmi_modify_metadata",
    "cdmi_delete_container",
    "cdmi_copy_dataobject",
    "cdmi_move_dataobject",
];
const OBJECT: &[&str] = &[
    "cdmi_read_value",
    "cdmi_read_value_range",
    "cdmi_read_metadata",
    "cdmi_size",
    "cdmi_ctime",
    "cdmi_mtime",
];
const OBJECT_CHANGES: &[&str] = &[
    "cdmi_modify_value",
    "cdmi_modify_value_range",
    "cdmi_modify_metadata",
    "cdmi_delete_dataobject",
];

/// Answers `cdmi_capabilities/…`.
pub(super) fn capabilities(shared: &Shared, request: &Request<'_>, name: &str, query: &Query) -> Answer {
    readable(request)?;
    let changes = !shared.config.read_only;
    let alone = changes && !shared.config.shared;
    let mut capabilities = Map::new();
    let mut add = |names: &[&str], works: bool| {
        for name in names.iter().filter(|_| works) {
            capabilities.insert((*name).to_owned(), json!("true"));
        }
    };
    let (number, children): (u64, &[&str]) = match name {
        "" => {
            add(SYSTEM, true);
            add(SYSTEM_CHANGES, changes);
            add(SYSTEM_ALONE, alone);
            add(&["cdmi_security_https_transport"], shared.config.tls.is_some());
            (1, &["container/", "dataobject/", "domain/"])
        }
        "container" => {
            add(CONTAINER, true);
            add(CONTAINER_CHANGES, changes);
            add(CONTAINER_ALONE, alone);
            (2, &[])
        }
        "dataobject" => {
            add(OBJECT, true);
            add(OBJECT_CHANGES, changes);
            (3, &[])
        }
        "domain" => (4, &[]),
        other => return Err(Error::NotFound(format!("cdmi_capabilities/{other}"))),
    };
    extensions(shared, name, &mut capabilities);
    if name.is_empty() && shared.users_are_required() {
        capabilities.insert("cdmi_authentication_methods".to_owned(), json!(["basic"]));
    }
    if matches!(name, "" | "container" | "dataobject") {
        capabilities.insert(
            "cdmi_metadata_maxtotalsize".to_owned(),
            json!(METADATA_BYTES_MAX.to_string()),
        );
    }
    let root = &shared.prefix;
    let mut object = Map::new();
    object.insert("objectType".to_owned(), json!(TYPE));
    object.insert(
        "objectID".to_owned(),
        json!(fixed_id(shared.config.enterprise(), number)),
    );
    let (own, parent) = if name.is_empty() {
        ("cdmi_capabilities/".to_owned(), root.clone())
    } else {
        (format!("{name}/"), format!("{root}cdmi_capabilities/"))
    };
    object.insert("objectName".to_owned(), json!(own));
    object.insert("parentURI".to_owned(), json!(parent));
    if !name.is_empty() {
        object.insert(
            "parentID".to_owned(),
            json!(fixed_id(shared.config.enterprise(), 1)),
        );
    }
    object.insert("capabilities".to_owned(), Value::Object(capabilities));
    let range = fields::children_range(query.get("children"), children.len())?;
    object.insert("childrenrange".to_owned(), json!(fields::range_text(&range)));
    object.insert("children".to_owned(), json!(&children[range]));
    fields::select(&mut object, query);
    Ok(respond::json(StatusCode::OK, TYPE, &Value::Object(object)))
}

fn extensions(shared: &Shared, name: &str, capabilities: &mut Map<String, Value>) {
    let object = matches!(name, "" | "dataobject");
    let container = matches!(name, "" | "container");
    let mut add = |name: &str, value: Value, works: bool| {
        if works {
            capabilities.insert(name.to_owned(), value);
        }
    };
    let changes = !shared.config.read_only && shared.config.mode != Mode::Srb;
    let quirks = &shared.config.quirks;
    add(
        "restblk_etag",
        json!("true"),
        object && shared.config.mode != Mode::Srb,
    );
    add(
        "restblk_exclusive_create",
        json!("true"),
        container && changes && !quirks.ignore_if_none_match,
    );
    add("restblk_set_size", json!("true"), object && changes);
    add("restblk_punch", json!("true"), object && changes);
    add("restblk_flush", json!("true"), (object || container) && changes);
    add("restblk_lock", json!("true"), object && changes);
    add(
        "restblk_instance",
        json!("true"),
        (object || container) && changes && shared.instance.is_some(),
    );
    add(
        "restblk_range_bytes_max",
        json!(shared.config.limits.range_bytes_max.to_string()),
        object && changes,
    );
    if shared.config.mode == Mode::Scality {
        add("value_transfer_maxsize", json!((1u32 << 20).to_string()), object);
    }
}

/// Answers `cdmi_domains/`: the one domain that everything belongs to.
pub(super) fn domains(shared: &Shared, request: &Request<'_>, name: &str) -> Answer {
    readable(request)?;
    if !name.is_empty() {
        return Err(Error::NotFound(format!("cdmi_domains/{name}")));
    }
    let root = &shared.prefix;
    let object = json!({
        "objectType": "application/cdmi-domain",
        "objectID": fixed_id(shared.config.enterprise(), 5),
        "objectName": "cdmi_domains/",
        "parentURI": root,
        "domainURI": format!("{root}cdmi_domains/"),
        "capabilitiesURI": format!("{root}cdmi_capabilities/domain/"),
        "metadata": {},
        "childrenrange": "",
        "children": [],
    });
    Ok(respond::json(StatusCode::OK, "application/cdmi-domain", &object))
}

fn readable(request: &Request<'_>) -> Result<()> {
    match request.head.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Error::Method("GET, HEAD")),
    }
}
