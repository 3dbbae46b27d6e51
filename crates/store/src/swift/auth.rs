//! Tokens of TempAuth and Keystone: asked for, and told when they end.

use super::settings::{Method, Settings};
use crate::http::{Answer, Call, HttpClient, status};
use crate::renewed::{Ends, Renewed};
use crate::{StoreConfig, StoreError};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use restblk_types::ErrorKind;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const AUTH_USER: HeaderName = HeaderName::from_static("x-auth-user");
const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const AUTH_TOKEN_EXPIRES: HeaderName = HeaderName::from_static("x-auth-token-expires");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// A catalogue of services may be long.
const ANSWER_LEN_MAX: u64 = 1 << 20;
/// Where the server does not tell how long a token lives: TempAuth's tokens live a day, Keystone's an hour.
const LIFE_UNTOLD: Duration = Duration::from_secs(3600);

/// A token and when it ends.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: HeaderValue,
    end: SystemTime,
}

impl Ends for Token {
    fn ends(&self) -> Option<SystemTime> {
        Some(self.end)
    }
}

/// The tokens of one account.
pub(super) struct Tokens {
    http: HttpClient,
    settings: Settings,
    renewed: Renewed<Token>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("at", &self.settings.auth_url)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(config: &StoreConfig) -> Result<Self, StoreError> {
        let settings = Settings::read(config)?;
        Ok(Self {
            http: HttpClient::unauthenticated(config, &settings.auth_url)?,
            settings,
            renewed: Renewed::default(),
        })
    }

    /// A token that is good as far as is known.
    pub(super) async fn get(&self) -> Result<Arc<Token>, StoreError> {
        self.renewed.get(self.ask()).await
    }

    /// The server does not know this one any more.
    pub(super) fn forget(&self, token: &Arc<Token>) {
        self.renewed.forget(token);
    }

    fn call(&self) -> Call {
        let base = self.http.endpoint().prefix().trim_end_matches('/').to_owned();
        let Settings { user, secret, .. } = &self.settings;
        let hidden = |text: &str| {
            let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        };
        let mut call = Call {
            method: http::Method::GET,
            target: base.clone(),
            headers: Vec::new(),
            body: Bytes::new(),
            answer_len_max: ANSWER_LEN_MAX,
        };
        let auth = match &self.settings.method {
            Method::V1 => {
                call.headers = vec![(AUTH_USER, hidden(user)), (AUTH_KEY, hidden(secret.expose()))];
                return call;
            }
            Method::V3 {
                user_domain,
                project,
                project_domain,
            } => json!({
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": user, "domain": {"name": user_domain}, "password": secret.expose(),
                }}},
                "scope": {"project": {"name": project, "domain": {"name": project_domain}}},
            }),
            Method::ApplicationCredential => json!({
                "identity": {"methods": ["application_credential"], "application_credential": {
                    "id": user, "secret": secret.expose(),
                }},
            }),
        };
        call.method = http::Method::POST;
        call.target = base + "/auth/tokens";
        call.headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        call.body = Bytes::from(json!({ "auth": auth }).to_string());
        call
    }

    async fn ask(&self) -> Result<Token, StoreError> {
        let at = &self.settings.auth_url;
        let answer = self.http.send(self.call()).await;
        let answer = answer.map_err(|error| error.into_store_error("get a token from", at, false))?;
        if !answer.status.is_success() {
            return Err(status::refuse(answer, "get a token from", at, false));
        }
        let name = match self.settings.method {
            Method::V1 => AUTH_TOKEN,
            _ => SUBJECT_TOKEN,
        };
        let Some(mut value) = answer.headers.get(&name).cloned() else {
            let reason = format!("its answer has no {name}: is `auth_url` right, and `auth`?");
            return Err(StoreError::new(
                ErrorKind::Invalid,
                "get a token from",
                at,
                reason,
            ));
        };
        value.set_sensitive(true);
        let life = match self.settings.method {
            Method::V1 => life_v1(&answer),
            _ => life_v3(answer),
        };
        Ok(Token {
            value,
            end: SystemTime::now() + life.unwrap_or(LIFE_UNTOLD),
        })
    }
}

fn life_v1(answer: &Answer) -> Option<Duration> {
    let seconds = answer
        .headers
        .get(AUTH_TOKEN_EXPIRES)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn life_v3(answer: Answer) -> Option<Duration> {
    let said: serde_json::Value = serde_json::from_slice(&answer.body.into_bytes()).ok()?;
    life_between(
        said["token"]["issued_at"].as_str()?,
        said["token"]["expires_at"].as_str()?,
    )
}

/// By the server's own clock at both ends: ours may be wrong.
fn life_between(issued: &str, expires: &str) -> Option<Duration> {
    let (issued, expires): (jiff::Timestamp, jiff::Timestamp) = (issued.parse().ok()?, expires.parse().ok()?);
    expires.duration_since(issued).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_read() {
        let life = life_between("2026-11-25T03:00:00.000000Z", "2026-11-25T04:00:00.500000Z");
        assert_eq!(life, Some(Duration::from_millis(3_600_500)));
        assert_eq!(life_between("2026-11-25T03:00:00Z", "2026-11-25T02:00:00Z"), None);
        assert_eq!(life_between("now", "later"), None);
    }
}
