//! The JSON of CDMI, as far as a client of volumes reads it. Servers write numbers as numbers or as strings, and some
//! write lists that are no JSON.

use crate::http::status::one_line;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// `?metadata` of a data object.
#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    cdmi_size: Value,
}

#[derive(Debug, Deserialize)]
struct Identity {
    #[serde(rename = "objectID")]
    object_id: String,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    children: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Described {
    capabilities: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    error: String,
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// `cdmi_size` in an object's metadata.
pub(super) fn size(json: &[u8]) -> Result<u64, String> {
    let object: Object =
        serde_json::from_slice(json).map_err(|error| format!("its metadata is not CDMI: {error}"))?;
    let size = &object.metadata.cdmi_size;
    number(size).ok_or_else(|| format!("its cdmi_size is {size}, which is no size"))
}

/// `objectID`. Only what can stand in a path unquoted is one.
pub(super) fn object_id(json: &[u8]) -> Result<String, String> {
    let found: Identity =
        serde_json::from_slice(json).map_err(|error| format!("it tells no objectID: {error}"))?;
    if found.object_id.is_empty() || !found.object_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err("its objectID is no base16".to_owned());
    }
    Ok(found.object_id)
}

/// `children` of a container; containers among them end with a slash. `lax` forgives a comma before the closing bracket.
pub(super) fn children(json: &[u8], lax: bool) -> Result<Vec<String>, String> {
    let strict = serde_json::from_slice::<Container>(json);
    let read = match strict {
        Err(_) if lax => {
            let text = String::from_utf8_lossy(json);
            let mended: String = match text.rsplit_once(']') {
                Some((before, after)) => {
                    let before = before.trim_end();
                    format!("{}]{after}", before.strip_suffix(',').unwrap_or(before))
                }
                None => text.into_owned(),
            };
            serde_json::from_str(&mended)
        }
        read => read,
    };
    read.map(|container| container.children)
        .map_err(|error| format!("its list is not CDMI: {error}"))
}

/// The `error` that restblk's own server tells.
pub(super) fn error(json: &[u8]) -> Option<String> {
    let told: Failure = serde_json::from_slice(json).ok()?;
    Some(one_line(&told.error))
}

/// `capabilities` of the system.
pub(super) struct Advertised(HashMap<String, Value>);

impl Advertised {
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Described>(json)
            .ok()
            .map(|found| Self(found.capabilities))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::String(text)) => text == "true",
            Some(Value::Bool(there)) => *there,
            _ => false,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_two_forms() {
        assert_eq!(size(br#"{"metadata":{"cdmi_size":10737418240}}"#), Ok(10 << 30));
        assert_eq!(size(br#"{"metadata":{"cdmi_size":"37","x":1}}"#), Ok(37));
        for bad in [
            &b"{}"[..],
            br#"{"metadata":{"cdmi_size":-1}}"#,
            br#"{"metadata":{"cdmi_size":"big"}}"#,
            b"[",
            b"",
        ] {
            assert!(size(bad).is_err());
        }
    }

    #[test]
    fn lists_of_the_2014_server_are_read() {
        assert_eq!(
            children(br#"{"children":["a","b/",]}"#, true).unwrap(),
            ["a", "b/"]
        );
        assert!(children(br#"{"children":["a",]}"#, false).is_err());
        assert_eq!(children(br#"{"children":[]}"#, false).unwrap(), [""; 0]);
    }

    #[test]
    fn object_ids_cannot_leave_their_place() {
        assert!(object_id(br#"{"objectID":"00/.."}"#).is_err());
        assert_eq!(
            object_id(br#"{"objectID":"00007ED900104E1D"}"#).unwrap(),
            "00007ED900104E1D"
        );
    }
}
