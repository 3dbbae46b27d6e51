//! What all files share: the client, the pool at the top, and the little that is remembered.

use crate::errno::Refusal;
use crate::node::Scope;
use restblk_api::Attachment;
use restblk_api::client::Client;
use restblk_types::{PoolName, VolumeRef};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The level of a device of which nothing was said: warnings, as the driver's kernel messages had it.
const LEVEL: u8 = 4;

/// From this level on, what was done is logged too, not only what was refused.
const LEVEL_DONE: u8 = 6;

/// The tree's side of the daemon.
pub(crate) struct Control {
    pub(crate) client: Client,
    /// How long a command may take.
    pub(crate) patience: Duration,
    default_pool: PoolName,
    /// Held while the list of URLs is changed: the first one makes the pool, the last one deletes it.
    pub(crate) urls: tokio::sync::Mutex<()>,
    levels: Mutex<HashMap<VolumeRef, u8>>,
    last_errors: Mutex<HashMap<Scope, String>>,
}

impl Control {
    pub(crate) fn new(client: Client, default_pool: PoolName, patience: Duration) -> Self {
        Self {
            client,
            patience,
            default_pool,
            urls: tokio::sync::Mutex::default(),
            levels: Mutex::default(),
            last_errors: Mutex::default(),
        }
    }

    /// The pool of a part of the tree.
    pub(crate) fn pool<'a>(&'a self, scope: &'a Scope) -> &'a PoolName {
        scope.as_ref().unwrap_or(&self.default_pool)
    }

    pub(crate) fn is_default(&self, pool: &PoolName) -> bool {
        *pool == self.default_pool
    }

    /// The log level of a volume's device, 0 to 7 as the kernel's.
    pub(crate) fn level(&self, volume: &VolumeRef) -> u8 {
        lock(&self.levels).get(volume).copied().unwrap_or(LEVEL)
    }

    pub(crate) fn set_level(&self, volume: VolumeRef, level: u8) {
        lock(&self.levels).insert(volume, level);
    }

    /// The device is gone, and with it what was said of it.
    pub(crate) fn forget_level(&self, volume: &VolumeRef) {
        lock(&self.levels).remove(volume);
    }

    /// Notes how a command ended; `what` is the file and what was written.
    pub(crate) fn log(
        &self,
        scope: &Scope,
        volume: Option<&VolumeRef>,
        what: &str,
        ended: &Result<(), Refusal>,
    ) {
        let level = volume.map_or(LEVEL, |volume| self.level(volume));
        match ended {
            Ok(()) if level >= LEVEL_DONE => tracing::info!(command = what, "control file: done"),
            Ok(()) => tracing::debug!(command = what, "control file: done"),
            Err(refusal) => {
                let (errno, reason) = (refusal.errno, &refusal.reason);
                if level >= LEVEL {
                    tracing::warn!(command = what, ?errno, reason, "control file: refused");
                }
                lock(&self.last_errors).insert(scope.clone(), format!("{what}: {errno:?}: {reason}\n"));
            }
        }
    }

    /// The last command that was refused, in words.
    pub(crate) fn last_error(&self, scope: &Scope) -> String {
        lock(&self.last_errors).get(scope).cloned().unwrap_or_default()
    }
}

/// The name of a device in the tree: the one it was attached with, else the kernel's. An export has none.
pub(crate) fn device_name(attachment: &Attachment) -> Option<&str> {
    attachment
        .alias
        .as_deref()
        .or_else(|| attachment.device.as_deref()?.rsplit('/').next())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is made whole before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
