//! Who may hold how much: bytes of a connection, bytes of the whole server, requests of a connection.
//!
//! Invariant: every byte of a request's data is paid for twice, by the connection and by the server: those of a
//! [`Buffer`] from before it is made until it is back in the pool, those that the device gives (see
//! [`Account::charge`]) until they are sent. Waiting for a budget holds nobody else up: the connection's comes first.

use super::{Pool, REQUEST_BYTES_MAX};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bytes are counted in units of this many, the smallest buffer.
const UNIT: usize = 4 << 10;

/// Bytes in flight that several connections share.
#[derive(Debug)]
pub(crate) struct Budget {
    free: Semaphore,
    total: usize,
}

impl Budget {
    /// `bytes`, but at least one of the longest requests.
    pub(crate) fn new(bytes: usize) -> Self {
        let total = bytes.max(REQUEST_BYTES_MAX as usize) / UNIT;
        Self {
            free: Semaphore::new(total),
            total,
        }
    }

    /// Bytes that are taken now.
    pub(crate) fn used(&self) -> usize {
        self.total.saturating_sub(self.free.available_permits()) * UNIT
    }

    async fn take(&self, units: u32) {
        if let Ok(permit) = self.free.acquire_many(units).await {
            permit.forget();
        }
    }
}

/// One connection's share.
#[derive(Debug)]
pub(crate) struct Account {
    pool: Arc<Pool>,
    shared: Arc<Budget>,
    own: Budget,
    slots: Semaphore,
    slots_total: u32,
}

impl Account {
    /// At most `bytes` and `requests` at a time, out of the `shared` budget.
    pub(crate) fn new(pool: Arc<Pool>, shared: Arc<Budget>, bytes: usize, requests: u16) -> Arc<Self> {
        let slots_total = u32::from(requests.max(1));
        let slots = Semaphore::new(slots_total as usize);
        Arc::new(Self {
            pool,
            shared,
            own: Budget::new(bytes),
            slots,
            slots_total,
        })
    }

    /// The right to have one more request in flight.
    pub(crate) async fn slot(self: &Arc<Self>) -> Slot {
        if let Ok(permit) = self.slots.acquire().await {
            permit.forget();
        }
        Slot {
            account: Arc::clone(self),
        }
    }

    /// Pays for `len` bytes, at most [`REQUEST_BYTES_MAX`], that somebody else provides.
    pub(crate) async fn charge(self: &Arc<Self>, len: u32) -> Charge {
        let units = u32::try_from(Pool::size_for(len as usize) / UNIT).unwrap_or(u32::MAX);
        self.own.take(units).await;
        let own = Paid {
            budget: &self.own,
            units,
        };
        self.shared.take(units).await;
        std::mem::forget(own);
        Charge {
            units,
            account: Arc::clone(self),
        }
    }

    /// Memory for `len` bytes, at most [`REQUEST_BYTES_MAX`], paid for; what is in it is old.
    pub(crate) async fn buffer(self: &Arc<Self>, len: u32) -> Buffer {
        let charge = self.charge(len).await;
        Buffer {
            bytes: self.pool.take(len as usize),
            len: len as usize,
            charge,
        }
    }

    /// Waits until no request is in flight, and lets none begin after.
    pub(crate) async fn idle(&self) {
        if let Ok(permit) = self.slots.acquire_many(self.slots_total).await {
            permit.forget();
        }
    }
}

/// Gives the connection's units back if waiting for the server's is cancelled.
struct Paid<'a> {
    budget: &'a Budget,
    units: u32,
}

impl Drop for Paid<'_> {
    fn drop(&mut self) {
        self.budget.free.add_permits(self.units as usize);
    }
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct Slot {
    account: Arc<Account>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.account.slots.add_permits(1);
    }
}

/// Bytes that are paid for.
#[derive(Debug)]
pub(crate) struct Charge {
    units: u32,
    account: Arc<Account>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.shared.free.add_permits(self.units as usize);
        self.account.own.free.add_permits(self.units as usize);
    }
}

/// A request's data, paid for.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    charge: Charge,
}

impl Buffer {
    /// The bytes as others can keep them; the memory comes back with the last of them.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Before the charge is given back.
        self.charge.account.pool.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_full_server_makes_others_wait_and_cancelling_leaks_nothing() {
        let (pool, shared) = (Arc::new(Pool::new(0)), Arc::new(Budget::new(0)));
        let a = Account::new(Arc::clone(&pool), Arc::clone(&shared), 0, 8);
        let b = Account::new(pool, Arc::clone(&shared), 0, 8);
        let all = a.buffer(REQUEST_BYTES_MAX).await;
        assert_eq!(shared.used(), REQUEST_BYTES_MAX as usize);
        assert!(timeout(Duration::from_millis(20), b.buffer(1)).await.is_err());
        assert_eq!(b.own.used(), 0);
        drop(all);
        assert_eq!(
            timeout(Duration::from_secs(5), b.buffer(1))
                .await
                .unwrap()
                .as_ref()
                .len(),
            1
        );
        assert_eq!(shared.used(), 0);
    }

    #[tokio::test]
    async fn idle_waits_for_the_last_request() {
        let account = Account::new(Arc::new(Pool::new(0)), Arc::new(Budget::new(0)), 0, 2);
        let slot = account.slot().await;
        assert!(timeout(Duration::from_millis(20), account.idle()).await.is_err());
        drop(slot);
        timeout(Duration::from_secs(5), account.idle()).await.unwrap();
    }
}
