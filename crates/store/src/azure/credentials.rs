//! The credentials in use: loaded when first needed, again when they run out, and again when the service refuses them and
//! their file has others meanwhile.

use super::settings::{Settings, Source};
use super::sign::SharedKey;
use super::token;
use crate::http::{Call, Secret, password};
use crate::renewed::{Ends, Renewed};
use crate::{StoreConfig, StoreError};
use http::header::{AUTHORIZATION, HeaderValue};
use restblk_types::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A token that was refused when it was younger than this is not asked for again.
const AGE_MIN: Duration = Duration::from_secs(30);

/// What authorizes a call.
#[derive(Debug)]
pub(super) enum Credential {
    Anonymous,
    Key(SharedKey),
    /// A query, without a question mark.
    Sas(Secret),
    /// A token of Entra ID, which was asked for at this time.
    Bearer {
        token: Secret,
        from: SystemTime,
        until: SystemTime,
    },
}

/// The credentials of a store.
#[derive(Debug)]
pub(super) struct Credentials {
    source: Source,
    config: StoreConfig,
    current: Renewed<Credential>,
}

impl Ends for Credential {
    fn ends(&self) -> Option<SystemTime> {
        match self {
            Self::Bearer { until, .. } => Some(*until),
            Self::Anonymous | Self::Key(_) | Self::Sas(_) => None,
        }
    }
}

impl Credential {
    /// Puts what authorizes it into the call, which has all else.
    pub(super) fn authorize(&self, call: &mut Call) -> Option<()> {
        let value = match self {
            Self::Anonymous => return Some(()),
            Self::Key(key) => key.authorization(call)?,
            Self::Sas(query) => {
                call.target
                    .push(if call.target.contains('?') { '&' } else { '?' });
                call.target.push_str(query.expose());
                return Some(());
            }
            Self::Bearer { token, .. } => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
                value.set_sensitive(true);
                value
            }
        };
        call.headers.push((AUTHORIZATION, value));
        Some(())
    }
}

impl Credentials {
    /// Reads what is in files, so that what is missing is found out now.
    pub(super) fn new(settings: &Settings, config: &StoreConfig) -> Result<Self, StoreError> {
        let credentials = Self {
            source: settings.source.clone(),
            config: config.clone(),
            current: Renewed::default(),
        };
        credentials.read()?;
        Ok(credentials)
    }

    /// Those that no service hands out.
    fn read(&self) -> Result<Option<Credential>, StoreError> {
        let secret = password(&self.config)?.unwrap_or_else(|| Secret::new(""));
        let wrong = |reason: &str| {
            let object = "the store's credentials";
            Err(StoreError::new(ErrorKind::Invalid, "read", object, reason))
        };
        Ok(Some(match &self.source {
            Source::Anonymous => Credential::Anonymous,
            Source::Key { account } => match SharedKey::new(account, &secret) {
                Some(key) => Credential::Key(key),
                None => return wrong("the account's key is no base64: copy it whole, without quotes"),
            },
            Source::Sas => {
                let query = secret.expose().trim().trim_start_matches('?');
                if !query.contains("sig=") || query.bytes().any(|b| !b.is_ascii_graphic()) {
                    return wrong(
                        "it is no shared access signature: write the part of the URL after the question mark (sv=…&sig=…)",
                    );
                }
                Credential::Sas(Secret::new(query))
            }
            _ => return Ok(None),
        }))
    }

    /// What is good now.
    pub(super) async fn current(&self) -> Result<Arc<Credential>, StoreError> {
        self.current.get(self.load()).await
    }

    async fn load(&self) -> Result<Credential, StoreError> {
        if let Some(credential) = self.read()? {
            return Ok(credential);
        }
        let from = SystemTime::now();
        let (token, lifetime) = token::fetch(&self.source, &self.config).await?;
        let until = from + lifetime;
        Ok(Credential::Bearer { token, from, until })
    }

    /// After these were refused: true where there may be others now, which the next request gets.
    pub(super) fn forget(&self, refused: &Arc<Credential>) -> bool {
        let others = match (&**refused, self.read()) {
            (Credential::Bearer { from, .. }, _) => from.elapsed().is_ok_and(|age| age > AGE_MIN),
            (Credential::Sas(old), Ok(Some(Credential::Sas(new)))) => new != *old,
            (Credential::Key(old), Ok(Some(Credential::Key(new)))) => !new.is_same(old),
            _ => false,
        };
        if others {
            self.current.forget(refused);
        }
        others
    }

    /// What a person can do when they are refused, or when they lack the `rights` alone.
    pub(super) fn hint(&self, rights: bool) -> String {
        let file = match (&self.config.password_file, &self.config.password_env) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(variable)) => format!("the environment variable {variable}"),
            (None, None) => String::new(),
        };
        match &self.source {
            Source::Anonymous => {
                "there are no credentials: give `user` and `password_file`, or the setting `credentials`"
                    .into()
            }
            Source::Key { account } => {
                format!("check that {file} holds one of the keys of the account \"{account}\" (`user`)")
            }
            Source::Sas if rights => format!("put a shared access signature with all of them into {file}"),
            Source::Sas => match self.signature_ends() {
                Some(ends) => {
                    format!("the shared access signature in {file} ends {ends}: put a valid one there")
                }
                None => format!("put a valid shared access signature into {file}"),
            },
            Source::ClientSecret(app) | Source::WorkloadIdentity { application: app, .. } => format!(
                "check the role of the application {} of the tenant {} on the account (Storage Blob Data Contributor)",
                app.client_id, app.tenant_id
            ),
            Source::ManagedIdentity { .. } => {
                "check the role of this machine's identity on the account (Storage Blob Data Contributor)"
                    .into()
            }
        }
    }

    /// The end of the signature's time (`se`), as it says.
    fn signature_ends(&self) -> Option<String> {
        let Ok(Some(Credential::Sas(query))) = self.read() else {
            return None;
        };
        let ends = query
            .expose()
            .split('&')
            .find_map(|pair| pair.strip_prefix("se="))?;
        let plain = percent_encoding::percent_decode_str(ends).decode_utf8_lossy();
        // A time, and nothing that may be a secret.
        plain
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z'))
            .then(|| plain.into_owned())
    }
}
