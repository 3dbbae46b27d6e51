//! Both sides of a volume whose layout is being changed.
//!
//! A change goes to the old side, and to the new one as far as the copy has come (the cursor). Changes that overlap, and the step of the
//! copy, go one after the other ([`Ranges`]), so that both sides have them in one order; each goes on to its end although nobody
//! waits for it any more. Reads and flushes go to the old side alone.
//!
//! Invariants:
//! - below the cursor both sides are equal, but for what is under way, as long as the mirror is whole;
//! - an error of the new side breaks the mirror, and is never an error of the volume; so does an error of the old one, for then nobody
//!   knows what it has;
//! - while the gate is held no change is under way. What is decided then ([`Mirror::decide`]) holds for every request from there on.

use crate::side::Side;
use async_trait::async_trait;
use bytes::Bytes;
use restblk_block::{BlockDevice, BlockError, Geometry, Ranges, WriteFlags};
use restblk_types::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{RwLock, RwLockWriteGuard, watch};

/// See the module.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) old: Side,
    pub(crate) new: Side,
    pub(crate) ranges: Ranges,
    /// All before it was copied.
    cursor: AtomicU64,
    /// Requests of the volume's users, since the beginning.
    requests: AtomicU64,
    gate: RwLock<()>,
    /// The side that is the volume from now on.
    decided: OnceLock<Side>,
    /// Why the new side is not what the old one is any more.
    broken: watch::Sender<Option<BlockError>>,
}

/// A change of a volume.
#[derive(Clone, Debug)]
enum Change {
    Write {
        offset: u64,
        data: Bytes,
        flags: WriteFlags,
    },
    Zero {
        offset: u64,
        len: u64,
        flags: WriteFlags,
    },
}

impl Change {
    fn range(&self) -> (u64, u64) {
        match self {
            Self::Write { offset, data, .. } => (*offset, data.len() as u64),
            Self::Zero { offset, len, .. } => (*offset, *len),
        }
    }

    async fn apply(self, device: &dyn BlockDevice) -> Result<(), BlockError> {
        match self {
            Self::Write { offset, data, flags } => device.write_bytes(offset, data, flags).await,
            Self::Zero { offset, len, flags } => device.write_zeroes(offset, len, flags).await,
        }
    }

    /// What of it is before the cursor, for the new side: nothing there need be durable yet.
    fn before(self, cursor: u64) -> Option<Self> {
        let (offset, len) = self.range();
        let len = len.min(cursor.saturating_sub(offset));
        let flags = WriteFlags::default();
        (len > 0).then(|| match self {
            Self::Write { data, .. } => Self::Write {
                offset,
                data: data.slice(..usize::try_from(len).unwrap_or(usize::MAX)),
                flags,
            },
            Self::Zero { .. } => Self::Zero { offset, len, flags },
        })
    }
}

impl Mirror {
    pub(crate) fn new(old: Side, new: Side) -> Arc<Self> {
        Arc::new(Self {
            old,
            new,
            ranges: Ranges::default(),
            cursor: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            gate: RwLock::new(()),
            decided: OnceLock::new(),
            broken: watch::Sender::new(None),
        })
    }

    /// All before this was copied. Whoever says so has the range before it.
    pub(crate) fn advance(&self, cursor: u64) {
        self.cursor.store(cursor, Ordering::Release);
    }

    /// Requests of the volume's users, since the beginning.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The new side is no mirror any more, for this reason; the first one stays.
    pub(crate) fn lose(&self, what: &str, error: &BlockError) {
        let why = BlockError::new(error.kind(), format!("{what}: {error}"));
        self.broken
            .send_if_modified(|broken| broken.is_none() && broken.replace(why).is_none());
    }

    /// Why the mirror is broken, if it is.
    pub(crate) fn whole(&self) -> Result<(), BlockError> {
        self.broken.borrow().clone().map_or(Ok(()), Err)
    }

    /// Waits until the mirror is broken.
    pub(crate) async fn lost(&self) -> BlockError {
        let mut broken = self.broken.subscribe();
        // The sender is in `self`, so waiting cannot fail.
        let why = broken.wait_for(Option::is_some).await.ok();
        why.and_then(|why| why.clone())
            .unwrap_or_else(|| BlockError::new(ErrorKind::Bug, "mirror the volume"))
    }

    /// Holds changes, once those under way are done, until this is dropped.
    pub(crate) async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// This side is the volume from now on.
    pub(crate) fn decide(&self, side: &Side) {
        // Whoever decides does so once.
        let _ = self.decided.set(side.clone());
    }

    fn volume(&self) -> &Side {
        self.decided.get().unwrap_or(&self.old)
    }

    async fn change(&self, change: Change) -> Result<(), BlockError> {
        let _open = self.gate.read().await;
        if let Some(side) = self.decided.get() {
            return change.apply(&**side.device()).await;
        }
        let (offset, len) = change.range();
        let _mine = self.ranges.lock(offset, len).await;
        let copied = change
            .clone()
            .before(self.cursor.load(Ordering::Acquire))
            .filter(|_| self.whole().is_ok());
        let mirrored = async {
            let Some(copied) = copied else { return };
            if let Err(error) = copied.apply(&**self.new.device()).await {
                self.lose("write to the new layout", &error);
            }
        };
        let (done, ()) = tokio::join!(change.apply(&**self.old.device()), mirrored);
        if let Err(error) = &done {
            self.lose("know what the volume has after an error", error);
        }
        done
    }
}

/// The device of a volume on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Mirrored(pub(crate) Arc<Mirror>);

impl Mirrored {
    /// The side that is the volume.
    pub(crate) fn volume(&self) -> &Side {
        self.0.volume()
    }

    /// Ends both sides.
    pub(crate) fn fail(&self, kind: ErrorKind, reason: &str) {
        self.0.old.fail(kind, reason);
        self.0.new.fail(kind, reason);
    }

    fn device(&self) -> &dyn BlockDevice {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        &**self.volume().device()
    }

    /// In a task of its own: a change that is done on one side must be done on the other.
    async fn change(&self, change: Change) -> Result<(), BlockError> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        let mirror = Arc::clone(&self.0);
        let done = tokio::spawn(async move { mirror.change(change).await }).await;
        done.unwrap_or_else(|e| {
            Err(BlockError::new(
                ErrorKind::Bug,
                format!("change both layouts: {e}"),
            ))
        })
    }
}

#[async_trait]
impl BlockDevice for Mirrored {
    fn geometry(&self) -> Geometry {
        let mut geometry = self.volume().device().geometry();
        // Whoever attaches it now has it after the switch as well.
        geometry.features.volatile_cache |= self.0.new.device().geometry().features.volatile_cache;
        geometry
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.volume().device().watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.device().read(offset, buf).await
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        self.device().read_pieces(offset, len).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.write_bytes(offset, Bytes::copy_from_slice(data), flags)
            .await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        self.change(Change::Write { offset, data, flags }).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.device().flush().await
    }

    /// Zeros on both sides, for what a device makes of a discard is its own choice.
    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.write_zeroes(offset, len, WriteFlags::default()).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.change(Change::Zero { offset, len, flags }).await
    }
}
