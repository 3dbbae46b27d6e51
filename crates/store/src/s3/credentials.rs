//! The credentials in use: loaded when they are first needed, renewed before they end.
//!
//! One request loads, the others wait for it; while the old ones still hold, nobody waits: a service of credentials that is down does not
//! stop the store before it must. What the server calls expired or unknown is loaded anew, so that a rotated file needs no restart.

use super::settings::{Settings, Source};
use super::transport;
use crate::http::{Endpoint, password};
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
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Credentials are renewed this long before their end: Amazon's own tools take five minutes too.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// And are used up to this long before it, so that a request is not overtaken by it.
const USE_UNTIL: Duration = Duration::from_secs(15);
/// After a renewal, well or not, the next one waits this long while the old credentials hold.
const RENEW_PAUSE: Duration = Duration::from_secs(15);

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
    now: RwLock<Option<Arc<Credential>>>,
    /// Held while loading: when that was begun last.
    loading: Mutex<Option<Instant>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("source", &self.settings.source)
            .finish_non_exhaustive()
    }
}

fn holds(credential: &Credential, for_: Duration) -> bool {
    credential
        .expires_in
        .is_none_or(|end| end > Timestamp::now() + for_)
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
            now: RwLock::default(),
            loading: Mutex::default(),
        })
    }

    fn cached(&self) -> Option<Arc<Credential>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The credentials to sign with now; `None` where requests are anonymous.
    pub(super) async fn get(&self) -> Result<Option<Arc<Credential>>, NoCredentials> {
        if self.settings.source == Source::Anonymous {
            return Ok(None);
        }
        let old = self.cached().filter(|old| holds(old, USE_UNTIL));
        if let Some(old) = &old
            && holds(old, RENEW_BEFORE)
        {
            return Ok(Some(Arc::clone(old)));
        }
        let mut begun = match &old {
            None => self.loading.lock().await,
            Some(old) => match self.loading.try_lock() {
                Ok(begun) if begun.is_none_or(|at| at.elapsed() >= RENEW_PAUSE) => begun,
                _ => return Ok(Some(Arc::clone(old))),
            },
        };
        // Somebody else may have been here first.
        if old.is_none()
            && let Some(new) = self.cached().filter(|new| holds(new, USE_UNTIL))
        {
            return Ok(Some(new));
        }
        *begun = Some(Instant::now());
        match (self.load().await, old) {
            (Ok(new), _) => {
                let new = Arc::new(new);
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&new));
                Ok(Some(new))
            }
            (Err(error), Some(old)) => {
                tracing::warn!(
                    reason = error.reason,
                    "credentials are not renewed yet; the old ones hold for now"
                );
                Ok(Some(old))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The server takes these for expired or unknown: the next request loads them anew. True where that may give others.
    pub(super) fn refused(&self, used: &Arc<Credential>) -> bool {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        match &*now {
            Some(current) if Arc::ptr_eq(current, used) => {
                *now = None;
                true
            }
            // Others have been loaded since.
            _ => true,
        }
    }

    async fn load(&self) -> Result<Credential, NoCredentials> {
        let settings = &self.settings;
        let loaded = match &settings.source {
            Source::Keys {
                user,
                session_token_file,
            } => return self.keys(user, session_token_file.as_deref()),
            Source::Auto => self.auto().provide_credential(&self.context).await,
            Source::Environment => Environment::new().provide_credential(&self.context).await,
            Source::Profile => self.profile().provide_credential(&self.context).await,
            Source::WebIdentity => self.web_identity().provide_credential(&self.context).await,
            Source::Container => self.container().provide_credential(&self.context).await,
            Source::Instance => self.instance().provide_credential(&self.context).await,
            Source::Anonymous => Ok(None),
        };
        match loaded {
            Ok(Some(credential)) if holds(&credential, USE_UNTIL) => Ok(credential),
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
