//! Locks: leases of blobs, taken for ever under IDs of our own choice.

use super::client::{Ask, AzureStore, x_ms};
use crate::presented::sent;
use crate::{Key, Lock, LockToken, StoreError};
use http::Method;
use http::header::HeaderValue;
use restblk_types::ErrorKind;
use uuid::Uuid;

/// Tries of a steal, against others who steal at the same time.
const TRIES: u32 = 5;

impl AzureStore {
    fn lease(&self, operation: &'static str, key: &Key, action: &'static str) -> Result<Ask, StoreError> {
        Ok(Ask::new(Method::PUT, self.path(operation, key)?)
            .query("comp=lease")
            .header(x_ms("x-ms-lease-action"), HeaderValue::from_static(action)))
    }

    async fn send_lease(&self, ask: Ask, operation: &'static str, key: &Key) -> Result<(), StoreError> {
        let answer = self.ask(ask, operation, key, true).await?;
        self.success(answer, operation, key, true).map(drop)
    }

    pub(super) async fn acquire_lease(&self, key: &Key, steal: bool) -> Result<Lock, StoreError> {
        let token = LockToken(Uuid::from_u128(rand::random()).to_string());
        for _ in 0..TRIES {
            let ask = self
                .lease("lock", key, "acquire")?
                .header(x_ms("x-ms-lease-duration"), HeaderValue::from_static("-1"))
                .header(x_ms("x-ms-proposed-lease-id"), sent(&token));
            match self.send_lease(ask, "lock", key).await {
                Ok(()) => {
                    return Ok(Lock {
                        token,
                        lifetime: None,
                    });
                }
                Err(error) if error.kind() == ErrorKind::Busy && steal => {}
                Err(error) => return Err(error),
            }
            let ask = self
                .lease("lock", key, "break")?
                .header(x_ms("x-ms-lease-break-period"), HeaderValue::from_static("0"));
            match self.send_lease(ask, "lock", key).await {
                // Let go meanwhile.
                Err(error) if error.kind() != ErrorKind::Fenced => return Err(error),
                _ => {}
            }
        }
        let reason = "others take its lease each time that it is broken";
        Err(self.error(ErrorKind::Busy, "lock", key, reason))
    }

    pub(super) async fn renew_lease(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let operation = "refresh the lock of";
        let ask = self
            .lease(operation, key, "renew")?
            .header(x_ms("x-ms-lease-id"), sent(token));
        self.send_lease(ask, operation, key).await
    }

    pub(super) async fn release_lease(&self, key: &Key, token: &LockToken) -> Result<(), StoreError> {
        let ask = self
            .lease("unlock", key, "release")?
            .header(x_ms("x-ms-lease-id"), sent(token));
        match self.send_lease(ask, "unlock", key).await {
            Err(error) if !matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound) => Err(error),
            _ => Ok(()),
        }
    }
}
