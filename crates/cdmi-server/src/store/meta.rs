//! What an object has besides its value: ID, type, encoding, time of creation, user metadata.
//!
//! Kept in one extended attribute of the object's own file, as JSON, and not in a second file: the two must change by one
//! rename, must not come apart when a server is killed, and must follow a file that is moved. The price is the size:
//! ext4 gives all attributes of a file one block, so user metadata is limited to [`METADATA_BYTES_MAX`].

use super::object_id;
use crate::error::{Doing, Error, Result};
use rustix::fs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::os::fd::AsFd;

/// Most bytes of one object's user metadata as JSON. ext4's attribute block has 4096 bytes; the rest is for our own fields.
pub(crate) const METADATA_BYTES_MAX: usize = 3072;

const NAME: &str = "user.restblk.meta";
/// Linux allows no larger attribute (XATTR_SIZE_MAX).
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// How a value travels in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    #[serde(rename = "utf-8")]
    Utf8,
    Base64,
}

impl Encoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Base64 => "base64",
        }
    }
}

/// An object's or container's fields. Containers use `id`, `created_ns` and `metadata` alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) id: String,
    pub(crate) mimetype: String,
    pub(crate) encoding: Encoding,
    /// Nanoseconds since 1970.
    pub(crate) created_ns: i64,
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
}

/// What a request says about a new or replaced object; `None` is what the old object had, or the default.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewMeta {
    pub(crate) mimetype: Option<String>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// What a request says about an existing object.
#[derive(Debug, Clone, Default)]
pub(crate) struct MetaChange {
    pub(crate) new: NewMeta,
    /// With prefixes, only the items of the metadata whose names begin with one are replaced.
    pub(crate) prefixes: Vec<String>,
}

impl Meta {
    pub(super) fn fresh(enterprise: u32, new: &NewMeta) -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let mut meta = Meta {
            id: object_id::random(enterprise),
            mimetype: "application/octet-stream".to_owned(),
            encoding: Encoding::Base64,
            created_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
            metadata: Map::new(),
        };
        meta.apply(new);
        meta
    }

    /// This object's fields after a replacement.
    pub(super) fn apply(&mut self, new: &NewMeta) {
        if let Some(mimetype) = &new.mimetype {
            self.mimetype.clone_from(mimetype);
        }
        if let Some(encoding) = new.encoding {
            self.encoding = encoding;
        }
        if let Some(metadata) = &new.metadata {
            self.metadata.clone_from(metadata);
        }
    }

    /// This object's fields after an update.
    pub(super) fn changed(&self, change: &MetaChange) -> Self {
        let mut meta = self.clone();
        let mut new = change.new.clone();
        if !change.prefixes.is_empty()
            && let Some(given) = new.metadata.take()
        {
            let named = |name: &str| {
                change
                    .prefixes
                    .iter()
                    .any(|prefix| name.starts_with(prefix.as_str()))
            };
            meta.metadata.retain(|name, _| !named(name));
            meta.metadata
                .extend(given.into_iter().filter(|(name, _)| named(name)));
        }
        meta.apply(&new);
        meta
    }

    /// Reads the fields of a file or directory; `None` if it has none, as when another program made it.
    pub(super) fn load(file: impl AsFd) -> Result<Option<Self>> {
        match read_attribute(file, NAME)? {
            None => Ok(None),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| Error::Io {
                    what: "read the object's metadata",
                    source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
                }),
        }
    }

    pub(super) fn store(&self, file: impl AsFd) -> Result<()> {
        let json = |error: serde_json::Error| Error::Bad(format!("the metadata cannot be kept: {error}"));
        let size = serde_json::to_vec(&self.metadata).map_err(json)?.len() + self.mimetype.len();
        if size > METADATA_BYTES_MAX {
            return Err(Error::TooLarge(format!(
                "the metadata has {size} bytes, over the limit of {METADATA_BYTES_MAX}"
            )));
        }
        let text = serde_json::to_vec(self).map_err(json)?;
        fs::fsetxattr(file, NAME, &text, fs::XattrFlags::empty()).doing("keep the object's metadata")
    }
}

/// Reads an extended attribute.
pub(super) fn read_attribute(file: impl AsFd, name: &str) -> Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 4096];
    loop {
        match fs::fgetxattr(&file, name, &mut bytes[..]) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(Some(bytes));
            }
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
            Err(rustix::io::Errno::RANGE) if bytes.len() < ATTRIBUTE_BYTES_MAX => {
                bytes.resize(ATTRIBUTE_BYTES_MAX, 0)
            }
            Err(errno) => return Err(errno).doing("read the object's metadata"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn prefixes_replace_only_what_they_name() {
        let new = NewMeta {
            metadata: Some(map(json!({"color": "red", "colour": "x", "size": "1"}))),
            ..NewMeta::default()
        };
        let meta = Meta::fresh(0, &new);
        let change = MetaChange {
            new: NewMeta {
                metadata: Some(map(json!({"color": "blue", "other": "y"}))),
                ..NewMeta::default()
            },
            prefixes: vec!["color".to_owned()],
        };
        let changed = meta.changed(&change);
        assert_eq!(
            changed.metadata,
            map(json!({"color": "blue", "colour": "x", "size": "1"}))
        );
        assert_eq!(changed.id, meta.id);
    }

    #[test]
    fn too_much_metadata_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let mut meta = Meta::fresh(0, &NewMeta::default());
        meta.metadata
            .insert("a".to_owned(), json!("x".repeat(METADATA_BYTES_MAX)));
        assert_eq!(meta.store(&file).unwrap_err().status(), 413);
    }
}
