//! The credentials in use, from wherever the settings say.
//!
//! What the server calls expired or unknown is loaded anew, so that a rotated file needs no restart.

use super::settings::{Settings, Source};
use super::transport;
use crate::http::{Endpoint, password};
use crate::renewed::{Ends, Renewed};
use crate::{StoreConfig, StoreError};
use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider as WebIdentity, Credential, DefaultCredentialProvider,
    ECSCredentialProvider as Container, EnvCredentialProvider as Environment,
    IMDSv2CredentialProvider as Instance, ProfileCredentialProvider as Profile,
};
use reqsign_core::time::Timestamp;
use reqsign_core::{Context, ProvideCredential};
use restblk_types::ErrorKind;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Why there are no credentials.
#[derive(Clone, Debug)]
pub(super) struct NoCredentials {
    pub(super) kind: ErrorKind,
    pub(super) reason: String,
}

/// The credentials of one store.
pub(super) struct Credentials {
    config: StoreConfig,
    settings: Settings,
    context: Context,
    now: Renewed<Held>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("source", &self.settings.source)
            .finish_non_exhaustive()
    }
}

/// Credentials, with their end.
pub(super) struct Held(pub(super) Credential);

impl Ends for Held {
    fn ends(&self) -> Option<SystemTime> {
        self.0.expires_in.map(Timestamp::as_system_time)
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Credentials {
    pub(super) fn new(config: &StoreConfig, settings: &Settings) -> Result<Self, StoreError> {
        let sts: Option<Endpoint> = match settings.sts_url.as_deref().map(str::parse) {
            None => None,
            Some(Ok(endpoint)) => Some(endpoint),
            Some(Err(error)) => {
                return Err(StoreError::new(
                    ErrorKind::Invalid,
                    "configure",
                    "the store",
                    format!("`sts_url`: {error}"),
                ));
            }
        };
        Ok(Self {
            config: config.clone(),
            settings: settings.clone(),
            context: transport::context(config, sts),
            now: Renewed::default(),
        })
    }

    /// The credentials to sign with now; `None` where requests are anonymous.
    pub(super) async fn get(&self) -> Result<Option<Arc<Held>>, NoCredentials> {
        if self.settings.source == Source::Anonymous {
            return Ok(None);
        }
        self.now.get(self.load()).await.map(Some)
    }

    /// The server takes these for expired or unknown: the next request loads them anew.
    pub(super) fn refused(&self, used: &Arc<Held>) {
        self.now.forget(used);
    }

    async fn load(&self) -> Result<Held, NoCredentials> {
        let settings = &self.settings;
        let loaded = match &settings.source {
            Source::Keys {
                user,
                session_token_file,
            } => return self.keys(user, session_token_file.as_deref()).map(Held),
            Source::Auto => self.auto().provide_credential(&self.context).await,
            Source::Environment => Environment::new().provide_credential(&self.context).await,
            Source::Profile => self.profile().provide_credential(&self.context).await,
            Source::WebIdentity => self.web_identity().provide_credential(&self.context).await,
            Source::Container => self.container().provide_credential(&self.context).await,
            Source::Instance => self.instance().provide_credential(&self.context).await,
            Source::Anonymous => Ok(None),
        };
        match loaded.map(|loaded| loaded.map(Held)) {
            Ok(Some(credential)) if credential.holds() => Ok(credential),
            Ok(Some(_)) => Err(NoCredentials {
                kind: ErrorKind::Denied,
                reason: format!(
                    "the credentials from {} have expired: renew them, or set this host's clock right",
                    self.source()
                ),
            }),
            Ok(None) => Err(NoCredentials {
                kind: ErrorKind::Denied,
                reason: format!("there are no credentials: {}", self.missing()),
            }),
            Err(error) => Err(NoCredentials {
                kind: if error.is_retryable() {
                    ErrorKind::Unavailable
                } else {
                    ErrorKind::Denied
                },
                reason: format!("no credentials come from {}: {}", self.source(), chain(&error)),
            }),
        }
    }

    fn keys(&self, user: &str, token_file: Option<&std::path::Path>) -> Result<Credential, NoCredentials> {
        let denied = |reason: String| NoCredentials {
            kind: ErrorKind::Denied,
            reason,
        };
        let secret = password(&self.config).map_err(|error| denied(format!("failed to {error}")))?;
        let secret = secret.ok_or_else(|| denied("there is no password with the user".to_owned()))?;
        let session_token = match token_file {
            None => None,
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .map_err(|error| {
                        denied(format!(
                            "failed to read the session token {}: {error}",
                            file.display()
                        ))
                    })?
                    .trim()
                    .to_owned(),
            ),
        };
        Ok(Credential {
            access_key_id: user.to_owned(),
            secret_access_key: secret.expose().to_owned(),
            session_token,
            expires_in: None,
        })
    }

    fn profile(&self) -> Profile {
        match &self.settings.profile {
            Some(name) => Profile::new().with_profile(name),
            None => Profile::new(),
        }
    }

    fn web_identity(&self) -> WebIdentity {
        let settings = &self.settings;
        let mut provider = WebIdentity::new().with_role_session_name("restblk".to_owned());
        if let Some(role) = &settings.role_arn {
            provider = provider.with_role_arn(role);
        }
        if let Some(file) = &settings.web_identity_token_file {
            provider = provider.with_web_identity_token_file(file);
        }
        match &settings.region {
            Some(region) => provider.with_region(region.clone()).with_regional_sts_endpoint(),
            None => provider,
        }
    }

    fn container(&self) -> Container {
        match &self.settings.metadata_url {
            Some(url) => Container::new().with_endpoint(url),
            None => Container::new(),
        }
    }

    fn instance(&self) -> Instance {
        match &self.settings.metadata_url {
            Some(url) => Instance::new().with_endpoint(url.trim_end_matches('/')),
            None => Instance::new(),
        }
    }

    fn auto(&self) -> DefaultCredentialProvider {
        DefaultCredentialProvider::builder()
            // A daemon has no browser to log in with, and starts no programs of a user's.
            .no_sso()
            .no_process()
            .profile(self.profile())
            .web_identity(self.web_identity())
            .imds(self.instance())
            .build()
    }

    /// For people.
    pub(super) fn source(&self) -> &'static str {
        match self.settings.source {
            Source::Keys { .. } => "`user` and its password file",
            Source::Auto => "the environment, shared files, web identity, container or instance",
            Source::Environment => "the environment",
            Source::Profile => "the shared credentials file",
            Source::WebIdentity => "the web identity",
            Source::Container => "the container's service",
            Source::Instance => "the instance's metadata service",
            Source::Anonymous => "nowhere",
        }
    }

    fn missing(&self) -> &'static str {
        match self.settings.source {
            Source::Environment => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the daemon's environment"
            }
            Source::Profile => {
                "the shared credentials file (~/.aws/credentials of the daemon's user, or AWS_SHARED_CREDENTIALS_FILE) has none for \
                 this profile"
            }
            Source::WebIdentity => "give `role_arn` and `web_identity_token_file`",
            Source::Container => "the daemon's environment names no container service",
            _ => {
                "neither the daemon's environment, shared files, web identity, container nor instance has any: give `user`, the access \
                 key's id, and `password_file` with the secret"
            }
        }
    }
}

/// The error and its causes in one line.
fn chain(error: &reqsign_core::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}
