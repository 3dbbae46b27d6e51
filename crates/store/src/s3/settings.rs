//! What a pool may say about its S3 store, by name (docs/stores.md).

use crate::http::{Secret, password};
use crate::{StoreConfig, StoreError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use restblk_types::ErrorKind;
use std::path::PathBuf;

/// The names of all settings.
pub(crate) const NAMES: &[&str] = &[
    "addressing",
    "checksum",
    "credentials",
    "customer_key_file",
    "encryption",
    "kms_key_id",
    "metadata_url",
    "multipart_bytes",
    "profile",
    "region",
    "role_arn",
    "session_token_file",
    "storage_class",
    "sts_url",
    "web_identity_token_file",
];

/// Amazon's own least size of a part but the last.
const PART_LEN_MIN: u64 = 5 << 20;
/// A part in flight is memory, and a lost one is sent again.
const PART_LEN_MAX: u64 = 64 << 20;
/// Above this, parts in parallel are faster than one stream, and below it their three more round trips are not worth it.
const PART_LEN: u64 = 8 << 20;

/// How a bucket stands in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressing {
    /// `https://host/bucket/…`.
    Path,
    /// `https://bucket.host/…`.
    Virtual,
}

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The configuration's user and password, with the session token of a file.
    Keys {
        user: String,
        session_token_file: Option<PathBuf>,
    },
    /// Environment, shared files, web identity, container, instance: the first that has some.
    Auto,
    Environment,
    Profile,
    WebIdentity,
    Container,
    Instance,
    /// None at all.
    Anonymous,
}

/// Who encrypts objects, with which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    /// The bucket's own default.
    Default,
    /// SSE-S3.
    Server,
    /// SSE-KMS, with the bucket's key or this one.
    Kms(Option<String>),
    /// SSE-C: the key and its MD5, both in base64, accompany every request.
    Customer { key: Secret, digest: String },
}

/// All settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) addressing: Option<Addressing>,
    pub(super) region: Option<String>,
    pub(super) source: Source,
    pub(super) profile: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) web_identity_token_file: Option<PathBuf>,
    pub(super) sts_url: Option<String>,
    pub(super) metadata_url: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) encryption: Encryption,
    /// CRC32C with every body.
    pub(super) checksum: bool,
    /// Bodies above this go in parts of this size.
    pub(super) part_len: u64,
}

fn wrong(name: &str, reason: impl std::fmt::Display) -> StoreError {
    StoreError::new(
        ErrorKind::Invalid,
        "configure",
        "the store",
        format!("`{name}`: {reason}"),
    )
}

impl Settings {
    pub(super) fn read(config: &StoreConfig) -> Result<Self, StoreError> {
        let get = |name: &str| {
            config
                .settings
                .get(name)
                .map(String::as_str)
                .filter(|v| !v.is_empty())
        };
        let text = |name: &str| get(name).map(str::to_owned);
        let addressing = match get("addressing") {
            None | Some("auto") => None,
            Some("path") => Some(Addressing::Path),
            Some("virtual") => Some(Addressing::Virtual),
            Some(_) => return Err(wrong("addressing", "write auto, path or virtual")),
        };
        let checksum = match get("checksum") {
            None | Some("crc32c") => true,
            Some("none") => false,
            Some(_) => return Err(wrong("checksum", "write crc32c or none")),
        };
        let part_len = match get("multipart_bytes").map(str::parse) {
            None => PART_LEN,
            Some(Ok(len @ PART_LEN_MIN..=PART_LEN_MAX)) => len,
            Some(_) => {
                let reason = format!("write a number of bytes from {PART_LEN_MIN} to {PART_LEN_MAX}");
                return Err(wrong("multipart_bytes", reason));
            }
        };
        let storage_class = text("storage_class");
        if let Some(class @ ("GLACIER" | "DEEP_ARCHIVE")) = storage_class.as_deref() {
            let reason =
                format!("what is in {class} cannot be read without hours of waiting: choose another class");
            return Err(wrong("storage_class", reason));
        }
        Ok(Self {
            addressing,
            region: text("region"),
            source: source(config, &get)?,
            profile: text("profile"),
            role_arn: text("role_arn"),
            web_identity_token_file: get("web_identity_token_file").map(Into::into),
            sts_url: text("sts_url"),
            metadata_url: text("metadata_url"),
            storage_class,
            encryption: encryption(&get)?,
            checksum,
            part_len,
        })
    }
}

fn source<'a>(config: &StoreConfig, get: &impl Fn(&str) -> Option<&'a str>) -> Result<Source, StoreError> {
    let keys = |user: &String| Source::Keys {
        user: user.clone(),
        session_token_file: get("session_token_file").map(Into::into),
    };
    match (get("credentials"), &config.user) {
        (None | Some("keys"), Some(user)) => {
            // Found out now and not at the first request.
            password(config)?;
            Ok(keys(user))
        }
        (Some("keys"), None) => Err(wrong(
            "credentials",
            "keys are `user`, the access key's id, and `password_file` or `password_env` with the secret",
        )),
        (Some(other), Some(_)) => Err(wrong(
            "credentials",
            format!("`{other}` and `user` are both given: keep one"),
        )),
        (None, None) if get("session_token_file").is_some() => Err(wrong(
            "session_token_file",
            "it goes with `user` and its password",
        )),
        (None | Some("auto"), None) => Ok(Source::Auto),
        (Some("environment"), None) => Ok(Source::Environment),
        (Some("profile"), None) => Ok(Source::Profile),
        (Some("web-identity"), None) => Ok(Source::WebIdentity),
        (Some("container"), None) => Ok(Source::Container),
        (Some("instance"), None) => Ok(Source::Instance),
        (Some("anonymous"), None) => Ok(Source::Anonymous),
        (Some(_), None) => Err(wrong(
            "credentials",
            "write auto, keys, environment, profile, web-identity, container, instance or anonymous",
        )),
    }
}

fn encryption<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Result<Encryption, StoreError> {
    let kms_key = get("kms_key_id").map(str::to_owned);
    match (get("encryption"), get("customer_key_file"), kms_key) {
        (None, None, None) => Ok(Encryption::Default),
        (Some("server"), None, None) => Ok(Encryption::Server),
        (Some("kms") | None, None, kms_key) => Ok(Encryption::Kms(kms_key)),
        (Some("customer") | None, Some(file), None) => customer_key(file),
        (Some("customer"), None, None) => Err(wrong(
            "encryption",
            "for customer, name the file of the key in `customer_key_file`",
        )),
        (Some("server" | "kms" | "customer"), ..) | (None, Some(_), Some(_)) => Err(wrong(
            "encryption",
            "`kms_key_id` goes with kms, `customer_key_file` with customer, and neither with the other",
        )),
        (Some(_), ..) => Err(wrong("encryption", "write server, kms or customer")),
    }
}

fn customer_key(file: &str) -> Result<Encryption, StoreError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong("customer_key_file", format!("{file}: {error}")))?;
    let key = STANDARD.decode(text.trim()).ok().filter(|key| key.len() == 32);
    let key = key.ok_or_else(|| {
        let reason = format!("{file} must hold 32 bytes in base64 (openssl rand -base64 32)");
        wrong("customer_key_file", reason)
    })?;
    Ok(Encryption::Customer {
        digest: STANDARD.encode(Md5::digest(&key)),
        key: Secret::new(STANDARD.encode(&key)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    fn read(settings: &[(&str, &str)]) -> Result<Settings, StoreError> {
        let mut config = StoreConfig::new(StoreKind::S3, ["http://h/b"]);
        config.settings = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        config.check()?;
        Settings::read(&config)
    }

    #[test]
    fn settings_are_read() {
        let bare = read(&[]).unwrap();
        assert_eq!(
            (bare.source, bare.encryption),
            (Source::Auto, Encryption::Default)
        );
        assert!(bare.checksum && bare.region.is_none() && bare.part_len == 8 << 20);
        let kms = read(&[("kms_key_id", "k"), ("region", "r"), ("credentials", "anonymous")]).unwrap();
        assert_eq!(kms.encryption, Encryption::Kms(Some("k".to_owned())));
        assert_eq!(
            (kms.region.as_deref(), kms.source),
            (Some("r"), Source::Anonymous)
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        for (settings, named) in [
            (&[("addressing", "dns")][..], "addressing"),
            (&[("multipart_bytes", "1")], "multipart_bytes"),
            (&[("storage_class", "GLACIER")], "storage_class"),
            (&[("credentials", "keys")], "user"),
            (&[("session_token_file", "/x")], "session_token_file"),
            (&[("encryption", "server"), ("kms_key_id", "k")], "kms_key_id"),
            (&[("customer_key_file", "/nonexistent")], "/nonexistent"),
            (&[("reguion", "x")], "reguion"),
        ] {
            let error = read(settings).unwrap_err().to_string();
            assert!(error.contains(named), "{settings:?}: {error}");
        }
    }

    #[test]
    fn a_customers_key_is_checked_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "c2hvcnQ=").unwrap();
        let name = file.to_str().unwrap();
        assert!(read(&[("customer_key_file", name)]).is_err());
        std::fs::write(&file, STANDARD.encode([7; 32])).unwrap();
        let settings = read(&[("customer_key_file", name)]).unwrap();
        assert!(!format!("{settings:?}").contains(&STANDARD.encode([7; 32])));
        let Encryption::Customer { digest, .. } = settings.encryption else {
            panic!("{:?}", settings.encryption)
        };
        assert_eq!(digest, STANDARD.encode(Md5::digest([7; 32])));
    }
}
