//! How long a command waits for a store that does not answer: docs/semantics.md promises an end within 20 s.
//!
//! | of the 20 s | for |
//! |---|---|
//! | 14 s | [`WORK`]: all requests of the operation together, on however many mirrors |
//! | 2 s | taking back what was done before the failure (`restblk_store::clean_up`) |
//! | 4 s | an answer that comes late and is held back (`RetryPolicy::landing_grace`), the device, the command itself |
//!
//! A store that answers is not hurried by it but for the total: a proof of many small requests has its own limit.

use crate::error::Result;
use restblk_api::ErrorBody;
use restblk_store::{StoreConfig, within};
use restblk_types::{ErrorKind, VolumeRef};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// What the requests of one operation have together.
pub(crate) const WORK: Duration = Duration::from_secs(14);

/// Runs an operation with that limit.
pub(crate) async fn bounded<F: Future>(operation: F) -> F::Output {
    within(WORK, operation).await
}

/// The configuration with which a store is proved: a silent server is given up in time, whatever its data may take, and
/// however many mirrors are tried one after the other.
pub(crate) fn for_proof(config: &StoreConfig) -> StoreConfig {
    let mirrors = u32::try_from(config.urls.len().max(1)).unwrap_or(u32::MAX);
    let each_ms = u64::try_from((WORK / mirrors).as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let mut config = config.clone();
    config.request_timeout_ms = config.request_timeout_ms.min(each_ms);
    config.connect_timeout_ms = config.connect_timeout_ms.min(each_ms);
    config
}

/// Waits for the turn of an operation on an attachment; `Busy` where another one does not end.
pub(crate) async fn turn<'a>(
    lock: &'a Mutex<()>,
    what: &str,
    volume: &VolumeRef,
) -> Result<MutexGuard<'a, ()>> {
    tokio::time::timeout(WORK, lock.lock()).await.map_err(|_| {
        let message = format!("{what} {volume}: another operation on it does not end");
        ErrorBody::new(ErrorKind::Busy, message)
            .hint("restblk devices tells what it waits for; try again later")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_store::StoreKind;

    #[test]
    fn silent_mirrors_share_the_time() {
        let config = StoreConfig::new(StoreKind::Cdmi, ["http://a/", "http://b/"]);
        let proof = for_proof(&config);
        assert_eq!(
            (proof.request_timeout_ms, proof.connect_timeout_ms),
            (7_000, 5_000)
        );
        let mut hasty = config;
        hasty.request_timeout_ms = 500;
        assert_eq!(for_proof(&hasty).request_timeout_ms, 500);
    }
}
