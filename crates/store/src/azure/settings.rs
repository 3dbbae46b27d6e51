//! What a pool may say about its Azure Blob store, by name (docs/stores.md).

use crate::{StoreConfig, StoreError};
use restblk_types::ErrorKind;
use std::path::PathBuf;

/// The names of all settings.
pub(crate) const NAMES: &[&str] = &[
    "account",
    "authority_url",
    "checksum",
    "client_id",
    "credentials",
    "metadata_url",
    "tenant_id",
    "token_file",
];

const AUTHORITY_URL: &str = "https://login.microsoftonline.com/";
/// The instance metadata service of Azure's machines: a link-local address, never routed.
const METADATA_URL: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// None: a container that everybody may use.
    Anonymous,
    /// The account's key: `user`, and `password_file` or `password_env`.
    Key {
        /// The account.
        account: String,
    },
    /// A shared access signature in `password_file` or `password_env`.
    Sas,
    /// An application's secret in `password_file` or `password_env`, for tokens of Entra ID.
    ClientSecret(Application),
    /// A token that the platform writes to a file, exchanged for tokens of Entra ID.
    WorkloadIdentity {
        /// Whom it stands for.
        application: Application,
        /// The platform's token.
        token_file: PathBuf,
    },
    /// The machine's own identity, or one of those assigned to it.
    ManagedIdentity {
        /// Which of them.
        client_id: Option<String>,
        /// Where the machine asks.
        metadata_url: String,
    },
}

/// An application as Entra ID knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    /// Where tokens are asked for.
    pub(super) authority_url: String,
}

/// All settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The storage account, where the URL does not tell.
    pub(super) account: Option<String>,
    pub(super) source: Source,
    /// MD5 with every body, both ways.
    pub(super) checksum: bool,
}

fn wrong(name: &str, reason: impl std::fmt::Display) -> StoreError {
    let reason = format!("`{name}`: {reason}");
    StoreError::new(ErrorKind::Invalid, "configure", "the store", reason)
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
        let checksum = match get("checksum") {
            None | Some("md5") => true,
            Some("none") => false,
            Some(_) => return Err(wrong("checksum", "write md5 or none")),
        };
        let source = source(config, &get)?;
        let account = match &source {
            Source::Key { account } => {
                if get("account").is_some_and(|other| other != account) {
                    return Err(wrong("account", "`user` names another account: keep one"));
                }
                Some(account.clone())
            }
            _ => get("account").map(str::to_owned),
        };
        Ok(Self {
            account,
            source,
            checksum,
        })
    }
}

fn source<'a>(config: &StoreConfig, get: &impl Fn(&str) -> Option<&'a str>) -> Result<Source, StoreError> {
    let has_secret = config.password_file.is_some() || config.password_env.is_some();
    let asked = get("credentials").unwrap_or(match (&config.user, has_secret) {
        (Some(_), true) => "key",
        (None, true) => "sas",
        _ => "anonymous",
    });
    let secret = |what: &str| {
        if has_secret {
            return Ok(());
        }
        let reason = format!("{asked} needs {what} in `password_file` or `password_env`");
        Err(wrong("credentials", reason))
    };
    // Given by the platform's webhook where workload identity is set up.
    let or_env = |name: &str, variable: &str| {
        get(name)
            .map(str::to_owned)
            .or_else(|| std::env::var(variable).ok())
            .filter(|value| !value.is_empty())
    };
    let authority_url = || get("authority_url").unwrap_or(AUTHORITY_URL).to_owned();
    let needs = |name: &str| wrong(name, format!("{asked} needs it"));
    let source = match asked {
        "anonymous" => Source::Anonymous,
        "key" => {
            secret("the account's key")?;
            let account = config.user.clone();
            let account = account.ok_or_else(|| wrong("user", "key needs the account's name there"))?;
            return Ok(Source::Key { account });
        }
        "sas" => {
            secret("a shared access signature")?;
            Source::Sas
        }
        "client-secret" => {
            secret("the application's secret")?;
            Source::ClientSecret(Application {
                tenant_id: get("tenant_id").ok_or_else(|| needs("tenant_id"))?.to_owned(),
                client_id: get("client_id").ok_or_else(|| needs("client_id"))?.to_owned(),
                authority_url: authority_url(),
            })
        }
        "workload-identity" => Source::WorkloadIdentity {
            application: Application {
                tenant_id: or_env("tenant_id", "AZURE_TENANT_ID").ok_or_else(|| needs("tenant_id"))?,
                client_id: or_env("client_id", "AZURE_CLIENT_ID").ok_or_else(|| needs("client_id"))?,
                authority_url: or_env("authority_url", "AZURE_AUTHORITY_HOST").unwrap_or_else(authority_url),
            },
            token_file: or_env("token_file", "AZURE_FEDERATED_TOKEN_FILE")
                .ok_or_else(|| needs("token_file"))?
                .into(),
        },
        "managed-identity" => Source::ManagedIdentity {
            client_id: get("client_id").map(str::to_owned),
            metadata_url: get("metadata_url").unwrap_or(METADATA_URL).to_owned(),
        },
        _ => {
            let reason = "write key, sas, client-secret, workload-identity, managed-identity or anonymous";
            return Err(wrong("credentials", reason));
        }
    };
    if config.user.is_some() {
        let reason = format!("it is the account of `credentials` key, and {asked} takes none");
        return Err(wrong("user", reason));
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    fn read(
        user: Option<&str>,
        file: Option<&str>,
        settings: &[(&str, &str)],
    ) -> Result<Settings, StoreError> {
        let mut config = StoreConfig::new(StoreKind::Azure, ["http://127.0.0.1/a/c"]);
        config.user = user.map(str::to_owned);
        config.password_file = file.map(Into::into);
        config.settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        config.check()?;
        Settings::read(&config)
    }

    #[test]
    fn the_source_follows_from_what_is_given() {
        let account = "a".to_owned();
        assert_eq!(
            read(Some("a"), Some("/k"), &[]).unwrap().source,
            Source::Key { account }
        );
        assert_eq!(read(None, Some("/k"), &[]).unwrap().source, Source::Sas);
        assert_eq!(read(None, None, &[]).unwrap().source, Source::Anonymous);
        let managed = read(None, None, &[("credentials", "managed-identity")]).unwrap();
        let metadata_url = METADATA_URL.to_owned();
        assert_eq!(
            managed.source,
            Source::ManagedIdentity {
                client_id: None,
                metadata_url
            }
        );
        assert!(managed.checksum && managed.account.is_none());
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        for (user, file, settings, named) in [
            (Some("a"), None, &[][..], "anonymous"),
            (Some("a"), Some("/k"), &[("account", "b")], "account"),
            (Some("a"), Some("/k"), &[("credentials", "sas")], "user"),
            (None, None, &[("credentials", "key")], "password_file"),
            (None, Some("/k"), &[("credentials", "key")], "user"),
            (None, Some("/k"), &[("credentials", "client-secret")], "tenant_id"),
            (None, None, &[("credentials", "magic")], "managed-identity"),
            (None, None, &[("checksum", "crc")], "md5"),
            (None, None, &[("acount", "a")], "acount"),
        ] {
            let error = read(user, file, settings).unwrap_err().to_string();
            assert!(error.contains(named), "{user:?} {file:?} {settings:?}: {error}");
        }
    }
}
