//! What a pool may say about its Swift store, by name (docs/stores.md).

use crate::http::{Secret, password};
use crate::{StoreConfig, StoreError};
use restblk_types::ErrorKind;

/// The names of all settings.
pub(crate) const NAMES: &[&str] = &["auth", "auth_url", "project", "project_domain", "user_domain"];

/// How a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `X-Auth-User` and `X-Auth-Key`: TempAuth, SWAuth, Ceph.
    V1,
    /// Keystone v3, by user, password and project.
    V3 {
        user_domain: String,
        project: String,
        project_domain: String,
    },
    /// Keystone v3, by an application credential's id and secret.
    ApplicationCredential,
}

/// Whom to ask for tokens, and how.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) auth_url: String,
    pub(super) method: Method,
    pub(super) user: String,
    pub(super) secret: Secret,
}

fn wrong(reason: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Invalid, "configure", "the store", reason)
}

impl Settings {
    /// Reads the configured files.
    pub(super) fn read(config: &StoreConfig) -> Result<Self, StoreError> {
        let get = |name: &str| config.settings.get(name).cloned();
        let auth_url = get("auth_url").ok_or_else(|| {
            wrong("Swift hands out tokens elsewhere: give the setting `auth_url`, such as https://keystone.example/v3 or https://swift.example/auth/v1.0")
        })?;
        let (Some(user), Some(secret)) = (config.user.clone(), password(config)?) else {
            return Err(wrong("Swift wants credentials: give `user` and `password_file`"));
        };
        let usual = if auth_url.trim_end_matches('/').ends_with("/v3") {
            "v3"
        } else {
            "v1"
        };
        let domain = |name| get(name).unwrap_or_else(|| "Default".to_owned());
        let method = match get("auth").as_deref().unwrap_or(usual) {
            "v1" => Method::V1,
            "v3" => Method::V3 {
                user_domain: domain("user_domain"),
                project: get("project").ok_or_else(|| {
                    wrong("Keystone gives tokens for a project: give the setting `project`")
                })?,
                project_domain: domain("project_domain"),
            },
            "application-credential" => Method::ApplicationCredential,
            other => {
                return Err(wrong(format!(
                    "`auth` cannot be \"{other}\": choose v1, v3 or application-credential"
                )));
            }
        };
        Ok(Self {
            auth_url,
            method,
            user,
            secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreKind;

    #[test]
    fn the_way_to_a_token_follows_from_the_settings() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "secret\n").unwrap();
        let mut config = StoreConfig::new(StoreKind::Swift, ["http://h/v1/AUTH_a/c/"]);
        let said = |config: &StoreConfig| Settings::read(config).unwrap_err().to_string();
        assert!(said(&config).contains("auth_url"));
        config
            .settings
            .insert("auth_url".into(), "http://h/auth/v1.0".into());
        assert!(said(&config).contains("password_file"));
        config.user = Some("test:tester".into());
        config.password_file = Some(file.path().into());
        assert_eq!(Settings::read(&config).unwrap().method, Method::V1);
        config
            .settings
            .insert("auth_url".into(), "http://h:5000/v3/".into());
        assert!(said(&config).contains("project"));
        config.settings.insert("project".into(), "p".into());
        assert!(
            matches!(Settings::read(&config).unwrap().method, Method::V3 { project, .. } if project == "p")
        );
        config.settings.insert("auth".into(), "v4".into());
        assert!(said(&config).contains("application-credential"));
        assert!(!format!("{:?}", Settings::read(&config)).contains("secret\n"));
    }
}
