//! Kept connections to one endpoint: the last one used is the first used again, old ones are closed, and no more than so
//! many are open; who comes first waits least.
//!
//! No connection is kept for longer than [`AGE_MAX`], however busy it is: the next one resolves the server's name anew, so that a name that was
//! given other addresses is followed.

use super::connection::Connection;
use super::stats::Stats;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Common times to live of DNS records are of this order.
const AGE_MAX: Duration = Duration::from_secs(300);

/// The connections.
pub(super) struct Pool {
    kept: Arc<Mutex<Kept>>,
    /// Tokio's semaphore is fair.
    places: Semaphore,
    idle_timeout: Duration,
    pub(super) stats: Arc<Stats>,
}

#[derive(Default)]
struct Kept {
    /// The one kept last is at the end.
    connections: Vec<Connection>,
    reaping: bool,
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new(connections_max: usize, idle_timeout: Duration) -> Self {
        Self {
            kept: Arc::default(),
            places: Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)),
            idle_timeout,
            stats: Arc::default(),
        }
    }

    /// A place for one exchange; waits for its turn.
    pub(super) async fn place(&self) -> SemaphorePermit<'_> {
        match self.places.acquire().await {
            Ok(place) => place,
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
    }

    /// A kept connection that is still good; hold a place.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = lock(&self.kept).connections.pop()?;
            if connection.idle_since.elapsed() < self.idle_timeout && connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection after a complete exchange, if it can carry another.
    pub(super) async fn keep(&self, mut connection: Connection) {
        if connection.born.elapsed() >= AGE_MAX || !connection.is_usable().await {
            return;
        }
        let mut kept = lock(&self.kept);
        kept.connections.push(connection);
        if !kept.reaping {
            kept.reaping = true;
            tokio::spawn(reap(Arc::downgrade(&self.kept), self.idle_timeout));
        }
    }
}

/// Closes connections that have lain idle for long, until none is left.
async fn reap(kept: Weak<Mutex<Kept>>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(idle_timeout).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = lock(&kept);
        let now = Instant::now();
        kept.connections
            .retain(|connection| now - connection.idle_since < idle_timeout);
        if kept.connections.is_empty() {
            kept.reaping = false;
            return;
        }
    }
}
