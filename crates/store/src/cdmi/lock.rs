//! Locks, an extension of restblk's own server (docs/cdmi.md): held until they are let go, under tokens of our own choice.

use super::client::CdmiStore;
use super::json;
use crate::http::{Answer, quote};
use crate::presented::sent;
use crate::{Key, Lock, LockToken, StoreError};
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use restblk_types::ErrorKind;
use uuid::Uuid;

const LOCK: HeaderName = HeaderName::from_static("x-restblk-lock");
/// What the server takes of an owner's words.
const OWNER_BYTES_MAX: usize = 256;

/// What the request says of the lock's token.
fn condition(token: &LockToken) -> (HeaderName, HeaderValue) {
    (LOCK, sent(token))
}

/// As much of the owner's words as the server takes, in one line.
fn line(owner: &str) -> String {
    let shown: String = owner
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    shown[..shown.floor_char_boundary(OWNER_BYTES_MAX)].to_owned()
}

impl CdmiStore {
    /// The header that changes of the object carry.
    pub(super) fn lock_condition(&self, key: &Key) -> Option<(HeaderName, HeaderValue)> {
        self.presented.get(key).as_ref().map(condition)
    }

    /// The error of a request that the object's lock keeps out. `kind`: `Fenced` where it said that the lock is its own.
    pub(super) fn kept_out(
        &self,
        answer: Answer,
        kind: ErrorKind,
        operation: &'static str,
        key: &Key,
    ) -> StoreError {
        let who = json::error(&answer.body.into_bytes())
            .unwrap_or_else(|| "somebody else has it locked".to_owned());
        let reason = match kind {
            ErrorKind::Fenced => {
                format!("its lock is no longer held by this client: {who} (status 423 Locked)")
            }
            _ => format!("{who} (status 423 Locked)"),
        };
        self.error(kind, operation, key, reason)
    }

    async fn ask_of_lock(
        &self,
        operation: &'static str,
        key: &Key,
        query: &str,
        token: &LockToken,
    ) -> Result<Answer, StoreError> {
        if !self.can.lock {
            return Err(self.unsupported(operation, key, "lock objects"));
        }
        let target = format!("{}?restblk_lock={query}", self.target(operation, key)?);
        let call = self.call(Method::PATCH, target, vec![condition(token)]);
        self.ask(call, operation, key, true).await
    }

    pub(super) async fn take_lock(&self, key: &Key, owner: &str, steal: bool) -> Result<Lock, StoreError> {
        let token = LockToken(Uuid::from_u128(rand::random()).to_string());
        let mode = if steal { "steal" } else { "acquire" };
        let query = format!("{mode}&restblk_owner={}", quote(&line(owner)).collect::<String>());
        let answer = self.ask_of_lock("lock", key, &query, &token).await?;
        match answer.status {
            status if status.is_success() => Ok(Lock {
                token,
                lifetime: None,
            }),
            StatusCode::LOCKED => Err(self.kept_out(answer, ErrorKind::Busy, "lock", key)),
            _ => Err(self.refused(answer, "lock", key, true)),
        }
    }

    pub(super) async fn look_after_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let operation = "refresh the lock of";
        let answer = self.ask_of_lock(operation, key, "check", token).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::LOCKED => Err(self.kept_out(answer, ErrorKind::Fenced, operation, key)),
            _ => Err(self.refused(answer, operation, key, false)),
        }
    }

    pub(super) async fn release_lock(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let answer = self.ask_of_lock("unlock", key, "release", token).await?;
        match answer.status {
            // Another's lock is none of ours; and without an object there is none.
            status
                if status.is_success() || status == StatusCode::LOCKED || status == StatusCode::NOT_FOUND =>
            {
                Ok(())
            }
            _ => Err(self.refused(answer, "unlock", key, true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_line_that_the_server_takes() {
        assert_eq!(line("restblk on a\nb"), "restblk on a b");
        let long = line(&"ü".repeat(200));
        assert_eq!(long, "ü".repeat(128));
        assert_eq!(line(&format!("x{}", "ü".repeat(200))).len(), 255);
    }
}
