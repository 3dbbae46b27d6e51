//! Locks: taken, prolonged, let go, broken; the token that changes carry; what it means when it is refused.

use super::client::{WebdavStore, method};
use super::properties::{Properties, XML};
use crate::http::{Answer, Call};
use crate::{Key, Lock, LockToken, StoreError};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use restblk_types::ErrorKind;
use std::time::Duration;

const IF: HeaderName = HeaderName::from_static("if");
const DEPTH: HeaderName = HeaderName::from_static("depth");
const TIMEOUT: HeaderName = HeaderName::from_static("timeout");
const LOCK_TOKEN: HeaderName = HeaderName::from_static("lock-token");
/// Asked for; servers give less (lighttpd ten minutes). It is how long a store may be away before a lock must be taken again.
/// One value alone: lighttpd 1.4.69 never comes back from a list of them.
const LIFETIME: HeaderValue = HeaderValue::from_static("Second-3600");
/// Somebody may take the lock between its breaking and ours.
const BREAKS_MAX: u32 = 3;

/// A lock's token as it goes over the wire: `<opaquelocktoken:…>`.
#[derive(Clone, Debug)]
pub(super) struct Token(LockToken);

fn secret(text: String) -> HeaderValue {
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("(<none:>)"));
    value.set_sensitive(true);
    value
}

impl Token {
    /// The condition on what the request is for.
    pub(super) fn condition(&self) -> (HeaderName, HeaderValue) {
        (IF, secret(format!("({})", self.0.0)))
    }

    /// The condition on another object, by its URL.
    pub(super) fn condition_on(&self, url: &str) -> (HeaderName, HeaderValue) {
        (IF, secret(format!("<{url}> ({})", self.0.0)))
    }

    /// Whether it is this one, as `lockdiscovery` tells it.
    fn is(&self, told: &str) -> bool {
        self.0.0.trim_start_matches('<').trim_end_matches('>') == told
    }
}

/// The answer's token, in its brackets.
fn token(answer: &Answer) -> Option<LockToken> {
    let token = answer.headers.get(LOCK_TOKEN)?.to_str().ok()?.trim();
    let inner = token.trim_start_matches('<').trim_end_matches('>');
    (!inner.is_empty() && !inner.contains(['<', '>', ' '])).then(|| LockToken(format!("<{inner}>")))
}

/// `Second-N` of the answer's header or body; `None` for a lock without an end, and where the server does not tell.
fn lifetime(answer: Answer) -> Option<Duration> {
    let header = answer
        .headers
        .get(TIMEOUT)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut told = header;
    let body = answer.body.into_bytes();
    // Told nowhere else by most.
    let _ = crate::http::xml::walk(&body, |path, text| {
        if let [.., "activelock", "timeout"] = path {
            told = Some(text.trim().to_owned());
        }
    });
    let seconds = told?.strip_prefix("Second-")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl WebdavStore {
    pub(super) fn presented(&self, key: &Key) -> Option<Token> {
        self.presented.get(key).map(Token)
    }

    /// What is at the object now, locks included; `None` where nothing is.
    async fn locks_of(&self, operation: &'static str, key: &Key) -> Result<Option<Properties>, StoreError> {
        let found = self
            .properties(
                self.target(key),
                false,
                "<lockdiscovery/><resourcetype/>",
                operation,
                key,
            )
            .await?;
        Ok(found.and_then(|found| found.into_iter().next()))
    }

    /// The error of a change that was answered with 412 or 423. `unmet`: what 412 means where no lock is in the way.
    pub(super) async fn kept_out(
        &self,
        answer: Answer,
        operation: &'static str,
        key: &Key,
        token: Option<Token>,
        unmet: ErrorKind,
    ) -> StoreError {
        let is_locked = answer.status == StatusCode::LOCKED;
        let Some(token) = token else {
            if is_locked {
                return self.busy(operation, key).await;
            }
            let reason = match unmet {
                ErrorKind::NotFound => "it does not exist (status 412 Precondition Failed)",
                _ => "somebody else changed it (status 412 Precondition Failed)",
            };
            return self.error(unmet, operation, key, reason);
        };
        // Our token, the object itself, or another condition: the answer does not tell.
        let found = match self.locks_of(operation, key).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.error(ErrorKind::NotFound, operation, key, "it does not exist"),
            Err(error) => return error,
        };
        if found.locks.iter().any(|(told, _)| token.is(told)) {
            let reason = "the server refuses it although this client holds the object's lock";
            let kind = if unmet == ErrorKind::NotFound {
                ErrorKind::Retry
            } else {
                unmet
            };
            return self.error(kind, operation, key, reason);
        }
        match found.locks.first() {
            Some((_, owner)) => {
                let reason = format!(
                    "its lock was taken from this client; {} holds it now",
                    shown(owner)
                );
                self.error(ErrorKind::Fenced, operation, key, reason)
            }
            None if is_locked => {
                let reason = "its lock was taken from this client (status 423 Locked)";
                self.error(ErrorKind::Fenced, operation, key, reason)
            }
            None => {
                let reason = "this client's lock of it has run out, or was let go: it must be taken again";
                self.error(ErrorKind::Unavailable, operation, key, reason)
            }
        }
    }

    async fn busy(&self, operation: &'static str, key: &Key) -> StoreError {
        let owner = match self.locks_of(operation, key).await {
            Ok(Some(found)) => found.locks.into_iter().next().map(|(_, owner)| owner),
            _ => None,
        };
        let reason = format!("it is locked by {}", shown(&owner.unwrap_or_default()));
        self.error(ErrorKind::Busy, operation, key, reason)
    }

    fn lock_call(&self, key: &Key, owner: &str) -> Call {
        let owner: String = quick_xml::escape::escape(owner).into_owned();
        let headers = vec![
            (DEPTH, HeaderValue::from_static("0")),
            (TIMEOUT, LIFETIME),
            (CONTENT_TYPE, XML),
        ];
        let mut call = self.call(method("LOCK"), self.target(key), headers);
        call.body = Bytes::from(format!(
            r#"<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"#
        ));
        call
    }

    pub(super) async fn take_lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        if !self.can.lock {
            return Err(self.unsupported("lock", key, "lock"));
        }
        // A lock of what is missing would make it.
        self.inspect("lock", key).await?;
        let mut breaks = 0;
        loop {
            let answer = self.ask(self.lock_call(key, owner), "lock", key, true).await?;
            match answer.status {
                StatusCode::OK => return self.taken(key, answer),
                StatusCode::CREATED => {
                    if let Some(token) = token(&answer) {
                        self.undo(key, Token(token)).await;
                    }
                    let reason = "it went while it was being locked";
                    return Err(self.error(ErrorKind::NotFound, "lock", key, reason));
                }
                StatusCode::LOCKED if steal && breaks < BREAKS_MAX => {
                    breaks += 1;
                    self.break_locks(key).await?;
                }
                StatusCode::LOCKED => return Err(self.busy("lock", key).await),
                _ => return Err(self.refused(answer, "lock", key, true)),
            }
        }
    }

    fn taken(&self, key: &Key, answer: Answer) -> Result<Lock, StoreError> {
        match token(&answer) {
            Some(token) => Ok(Lock {
                token,
                lifetime: lifetime(answer),
            }),
            None => {
                let reason = "the server says that it is locked and tells no token";
                Err(self.error(ErrorKind::Unsupported, "lock", key, reason))
            }
        }
    }

    /// Removes the empty object that a lock of nothing made.
    async fn undo(&self, key: &Key, token: Token) {
        let call = self.call(http::Method::DELETE, self.target(key), vec![token.condition()]);
        if let Err(error) = self.ask(call, "delete", key, true).await {
            tracing::warn!(%error, "an object that a lock made is left behind");
        }
    }

    async fn break_locks(&self, key: &Key) -> Result<(), StoreError> {
        let found = self.locks_of("break the lock of", key).await?;
        for (token, _) in found.map(|found| found.locks).unwrap_or_default() {
            let (status, answer) = self.send_unlock(key, &format!("<{token}>")).await?;
            if !status.is_success() && !is_gone(status) {
                return Err(self.refused(answer, "break the lock of", key, true));
            }
        }
        Ok(())
    }

    async fn send_unlock(&self, key: &Key, token: &str) -> Result<(StatusCode, Answer), StoreError> {
        let headers = vec![(LOCK_TOKEN, secret(token.to_owned()))];
        let call = self.call(method("UNLOCK"), self.target(key), headers);
        let answer = self.ask(call, "unlock", key, true).await?;
        Ok((answer.status, answer))
    }

    pub(super) async fn prolong_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let headers = vec![Token(token.clone()).condition(), (TIMEOUT, LIFETIME)];
        let call = self.call(method("LOCK"), self.target(key), headers);
        let answer = self.ask(call, "refresh the lock of", key, false).await?;
        let gone = |why: &str| {
            let reason = format!("its lock is no longer held by this client ({why})");
            Err(self.error(ErrorKind::Fenced, "refresh the lock of", key, reason))
        };
        match answer.status {
            status if status.is_success() => {}
            status if is_gone(status) => return gone(&format!("status {status}")),
            _ => return Err(self.refused(answer, "refresh the lock of", key, false)),
        }
        // lighttpd prolongs whatever lock there is, and says that it was this one.
        let now = self.locks_of("refresh the lock of", key).await?;
        let mine = Token(token.clone());
        match now {
            Some(now) if now.locks.iter().any(|(told, _)| mine.is(told)) => Ok(()),
            Some(now) => match now.locks.first() {
                Some((_, owner)) => gone(&format!("{} holds it", shown(owner))),
                None => gone("nobody holds it"),
            },
            None => gone("the object has gone"),
        }
    }

    pub(super) async fn release_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let (status, answer) = self.send_unlock(key, &token.0).await?;
        if status.is_success() || is_gone(status) {
            return Ok(());
        }
        Err(self.refused(answer, "unlock", key, true))
    }
}

/// How servers say that a lock is none of this object's: 409 by RFC 4918, 400 by Apache, 412 where it was a condition.
fn is_gone(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 409 | 412 | 423)
}

fn shown(owner: &str) -> &str {
    if owner.is_empty() { "somebody" } else { owner }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn answer(header: Option<(HeaderName, &'static str)>, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter(
                header.map(|(name, value)| (name, HeaderValue::from_static(value))),
            ),
            body: Bytes::from_static(body.as_bytes()).into(),
        }
    }

    #[test]
    fn tokens_and_lifetimes_are_read() {
        let apache = answer(
            Some((LOCK_TOKEN, "<opaquelocktoken:26bc>")),
            "<D:prop xmlns:D='DAV:'><D:lockdiscovery><D:activelock><D:timeout>Second-300</D:timeout></D:activelock></D:lockdiscovery></D:prop>",
        );
        assert_eq!(
            token(&apache),
            Some(LockToken("<opaquelocktoken:26bc>".to_owned()))
        );
        assert!(Token(token(&apache).unwrap()).is("opaquelocktoken:26bc"));
        assert_eq!(lifetime(apache), Some(Duration::from_secs(300)));
        assert_eq!(
            lifetime(answer(Some((TIMEOUT, "Second-600")), "")),
            Some(Duration::from_secs(600))
        );
        assert_eq!(lifetime(answer(Some((TIMEOUT, "Infinite")), "")), None);
        assert_eq!(token(&answer(Some((LOCK_TOKEN, "<>")), "")), None);
        assert_eq!(token(&answer(Some((LOCK_TOKEN, "<a> <b>")), "")), None);
    }
}
