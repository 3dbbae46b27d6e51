//! What a pool may say about its bucket of Google's, by name (docs/stores.md).

use crate::{StoreConfig, StoreError};
use restblk_types::ErrorKind;
use std::path::PathBuf;

/// The names of all settings.
pub(crate) const NAMES: &[&str] = &[
    "credentials",
    "credentials_file",
    "kms_key_name",
    "metadata_url",
    "storage_class",
];

/// Where the metadata service of Google's machines is.
const METADATA: &str = "http://metadata.google.internal/";

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The key of a service account, in a file.
    ServiceAccount(PathBuf),
    /// The metadata service of the machine.
    Metadata(String),
    /// None at all.
    Anonymous,
}

/// All settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) source: Source,
    pub(super) storage_class: Option<String>,
    pub(super) kms_key_name: Option<String>,
}

fn wrong<T>(name: &str, reason: &str) -> Result<T, StoreError> {
    let reason = format!("`{name}`: {reason}");
    Err(StoreError::new(
        ErrorKind::Invalid,
        "configure",
        "the store",
        reason,
    ))
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
        if config.user.is_some() {
            return wrong(
                "user",
                "Google's credentials are a file of a service account: name it in `credentials_file`",
            );
        }
        let file = get("credentials_file").map(PathBuf::from);
        let metadata = || Source::Metadata(get("metadata_url").unwrap_or(METADATA).to_owned());
        let of_environment = || std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
        let source = match (get("credentials"), file) {
            (None | Some("service-account"), Some(file)) => Source::ServiceAccount(file),
            (Some(_), Some(_)) => {
                return wrong("credentials_file", "it is for `credentials = service-account`");
            }
            (Some("service-account"), None) => match of_environment() {
                Some(file) => Source::ServiceAccount(file),
                None => {
                    return wrong(
                        "credentials",
                        "name the service account's file in `credentials_file`",
                    );
                }
            },
            (None | Some("auto"), None) => of_environment().map_or_else(metadata, Source::ServiceAccount),
            (Some("metadata"), None) => metadata(),
            (Some("anonymous"), None) => Source::Anonymous,
            (Some(_), None) => {
                return wrong(
                    "credentials",
                    "write auto, service-account, metadata or anonymous",
                );
            }
        };
        Ok(Self {
            source,
            storage_class: get("storage_class").map(str::to_owned),
            kms_key_name: get("kms_key_name").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    fn read(settings: &[(&str, &str)]) -> Result<Source, StoreError> {
        let mut config = StoreConfig::new(StoreKind::Gcs, ["http://h/b"]);
        config.settings = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        config.check()?;
        Settings::read(&config).map(|settings| settings.source)
    }

    #[test]
    fn the_source_of_tokens_is_clear() {
        assert_eq!(read(&[("credentials", "anonymous")]).unwrap(), Source::Anonymous);
        assert_eq!(
            read(&[("credentials_file", "/k")]).unwrap(),
            Source::ServiceAccount("/k".into())
        );
        assert_eq!(
            read(&[("credentials", "metadata")]).unwrap(),
            Source::Metadata(METADATA.to_owned())
        );
        for settings in [
            &[("credentials", "keys")][..],
            &[("credentials", "anonymous"), ("credentials_file", "/k")],
            &[("region", "x")],
        ] {
            assert!(read(settings).is_err(), "{settings:?}");
        }
    }
}
