//! What a person writes about a pool's store: its kind, its mirrors, credentials, time-outs.
//!
//! A secret is never in here: only the name of the file or of the environment variable that holds it.

use crate::{cdmi, webdav};
use restblk_types::ErrorKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::StoreError;

/// Which client speaks to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// CDMI 1.x or 2.0 over HTTP or HTTPS.
    Cdmi,
    /// S3 over HTTP or HTTPS.
    S3,
    /// WebDAV or plain HTTP.
    Webdav,
    /// Google Cloud Storage.
    Gcs,
    /// OpenStack Swift.
    Swift,
    /// A directory of this host.
    File,
    /// Memory of this process: for tests.
    Memory,
    /// Azure Blob over HTTPS or HTTP.
    Azure,
}

impl StoreKind {
    /// Every kind, with its name in configurations.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Cdmi, "cdmi"),
        (Self::S3, "s3"),
        (Self::Azure, "azure"),
        (Self::Webdav, "webdav"),
        (Self::Gcs, "gcs"),
        (Self::Swift, "swift"),
        (Self::File, "file"),
        (Self::Memory, "memory"),
    ];

    /// The names of the settings that this kind takes ([`StoreConfig::settings`]).
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::S3 => crate::s3::SETTINGS,
            Self::Webdav => webdav::SETTINGS,
            Self::Gcs => crate::gcs::SETTINGS,
            Self::Swift => crate::swift::SETTINGS,
            Self::Azure => crate::azure::SETTINGS,
            Self::Cdmi | Self::File | Self::Memory => &[],
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL
            .iter()
            .find(|(kind, _)| kind == self)
            .map(|(_, name)| *name);
        f.write_str(name.unwrap_or("unnamed"))
    }
}

/// A name that no kind of store has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no store \"{name}\": choose one of {}", StoreKind::ALL.map(|(_, name)| name).join(", "))]
pub struct UnknownKind {
    name: String,
}

impl FromStr for StoreKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let known = Self::ALL.into_iter().find(|(_, known)| *known == name);
        known.map(|(kind, _)| kind).ok_or_else(|| UnknownKind {
            name: name.to_owned(),
        })
    }
}

/// A pool's store and how to speak to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Which client.
    pub kind: StoreKind,
    /// The mirrors, the preferred one first: `http://host:port/path` or `https://…`; for `file` a path (or
    /// `file:///path`); for `memory` a name (stores of one name in one process are the same).
    pub urls: Vec<String>,
    /// The protocol's dialect, for `cdmi` and `webdav`; absent or `"auto"`: found by probing.
    #[serde(default, serialize_with = "dialect_out", deserialize_with = "dialect_in")]
    pub dialect: Option<String>,
    /// User for Basic authentication, or for the protocol's own; for `s3` the id of the access key, for `azure` the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File whose first line is the password, or the kind's own secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// PEM file of the authorities that the server's certificate must come from, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// What this kind of store takes besides, by name (docs/stores.md); an unknown name is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Milliseconds for resolving the name, connecting and shaking hands.
    #[serde(default = "defaults::connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Milliseconds without any progress after which a request is given up and its connection closed. The whole request
    /// may take this long and, on top, the time its bytes need at 128 KiB/s.
    #[serde(default = "defaults::request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// Most connections to one mirror.
    #[serde(default = "defaults::connections_max")]
    pub connections_max: usize,
    /// Milliseconds that a kept connection may lie idle.
    #[serde(default = "defaults::idle_timeout_ms")]
    pub idle_timeout_ms: u64,
    /// Milliseconds that a change needs to be seen through the other mirrors; 0: none.
    #[serde(default)]
    pub propagation_ms: u64,
    /// Milliseconds after which a request fails while no mirror answers; absent: it waits for as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_after_ms: Option<u64>,
}

mod defaults {
    pub(super) fn connect_timeout_ms() -> u64 {
        5_000
    }
    pub(super) fn request_timeout_ms() -> u64 {
        30_000
    }
    pub(super) fn connections_max() -> usize {
        64
    }
    /// Below the 60 s and 75 s after which common servers close, above the pauses of a busy volume.
    pub(super) fn idle_timeout_ms() -> u64 {
        30_000
    }
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn dialect_out<S: Serializer>(dialect: &Option<String>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(dialect.as_deref().unwrap_or("auto"))
}

fn dialect_in<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(from)?;
    Ok(name.filter(|name| name != "auto"))
}

impl StoreConfig {
    /// A store of this kind at these places, with the defaults.
    #[must_use]
    pub fn new(kind: StoreKind, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            kind,
            urls: urls.into_iter().map(Into::into).collect(),
            dialect: None,
            user: None,
            password_file: None,
            password_env: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            settings: BTreeMap::new(),
            connect_timeout_ms: defaults::connect_timeout_ms(),
            request_timeout_ms: defaults::request_timeout_ms(),
            connections_max: defaults::connections_max(),
            idle_timeout_ms: defaults::idle_timeout_ms(),
            propagation_ms: 0,
            fail_after_ms: None,
        }
    }

    /// Whether the parts fit together; touches neither files nor the network.
    pub fn check(&self) -> Result<(), StoreError> {
        let wrong = |reason: &str| {
            Err(StoreError::new(
                ErrorKind::Invalid,
                "configure",
                "the store",
                reason,
            ))
        };
        if self.urls.is_empty() {
            return wrong("it has no URL: give at least one in `urls`");
        }
        if self.password_file.is_some() && self.password_env.is_some() {
            return wrong("`password_file` and `password_env` are both given: keep one");
        }
        let has_password = self.password_file.is_some() || self.password_env.is_some();
        // Azure's have more forms: its own settings tell.
        if self.kind != StoreKind::Azure && self.user.is_some() != has_password {
            return wrong(
                "a user needs a password and a password a user: give `user` and `password_file` or `password_env`",
            );
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return wrong("a client certificate needs its key: give both `cert_file` and `key_file`");
        }
        if self.connections_max == 0 || self.connect_timeout_ms == 0 || self.request_timeout_ms == 0 {
            return wrong(
                "`connections_max`, `connect_timeout_ms` and `request_timeout_ms` must be at least 1",
            );
        }
        let takes = self.kind.settings();
        if let Some(unknown) = self.settings.keys().find(|name| !takes.contains(&name.as_str())) {
            let known = if takes.is_empty() {
                "it takes none".to_owned()
            } else {
                format!("it takes {}", takes.join(", "))
            };
            return wrong(&format!(
                "`{unknown}` is no setting of the kind `{}`: {known}",
                self.kind
            ));
        }
        if let Some(dialect) = &self.dialect {
            let known = match self.kind {
                StoreKind::Cdmi => dialect
                    .parse()
                    .map(|_: cdmi::Dialect| ())
                    .map_err(|e| e.to_string()),
                StoreKind::Webdav => dialect
                    .parse()
                    .map(|_: webdav::Dialect| ())
                    .map_err(|e| e.to_string()),
                _ => Err(format!("the kind `{}` has no dialects", self.kind)),
            };
            known.or_else(|reason| wrong(&reason))?;
        }
        let is_local = matches!(self.kind, StoreKind::File | StoreKind::Memory);
        if is_local && (self.user.is_some() || has_password || self.ca_file.is_some()) {
            return wrong("`user`, the password and `ca_file` are for servers, and this kind has none");
        }
        Ok(())
    }

    /// [`StoreConfig::connect_timeout_ms`].
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    /// [`StoreConfig::request_timeout_ms`].
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// [`StoreConfig::idle_timeout_ms`].
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_reads_from_configuration() {
        let config: StoreConfig = serde_json::from_str(
            r#"{"kind":"cdmi","urls":["http://h/"],"dialect":"auto","user":"u","password_env":"P"}"#,
        )
        .unwrap();
        assert_eq!((&config.dialect, config.connections_max), (&None, 64));
        config.check().unwrap();
        let again: StoreConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        let pinned: StoreConfig =
            serde_json::from_str(r#"{"kind":"cdmi","urls":[],"dialect":"srb"}"#).unwrap();
        assert_eq!(pinned.dialect.as_deref(), Some("srb"));
        assert!(pinned.check().is_err());
        let mut wrong = StoreConfig::new(StoreKind::Cdmi, ["http://h/"]);
        wrong.dialect = Some("cdmi3".to_owned());
        assert!(wrong.check().unwrap_err().to_string().contains("cdmi2"));
        wrong.kind = StoreKind::Memory;
        assert!(wrong.check().unwrap_err().to_string().contains("no dialects"));
    }

    #[test]
    fn mistakes_are_named() {
        for text in [
            r#"{"kind":"s4","urls":[]}"#,
            r#"{"kind":"cdmi","urls":["http://h/"],"pasword_file":"x"}"#,
        ] {
            assert!(serde_json::from_str::<StoreConfig>(text).is_err(), "{text}");
        }
        let mut config = StoreConfig::new(StoreKind::Cdmi, ["http://h/"]);
        config.user = Some("u".into());
        assert!(config.check().unwrap_err().to_string().contains("password"));
        let mut config = StoreConfig::new(StoreKind::File, ["/srv"]);
        config.settings.insert("region".into(), "x".into());
        let refused = config.check().unwrap_err().to_string();
        assert!(
            refused.contains("`region`") && refused.contains("file"),
            "{refused}"
        );
        assert!(
            "s4".parse::<StoreKind>()
                .unwrap_err()
                .to_string()
                .contains("cdmi")
        );
    }
}
