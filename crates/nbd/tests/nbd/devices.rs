//! Devices that wait, count, lack abilities or panic.

use async_trait::async_trait;
use restblk_block::{BlockDevice, BlockError, Geometry, MemoryDevice, Span, WriteFlags};
use restblk_types::{BlockSize, ErrorKind};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Semaphore, watch};

/// Offsets with a meaning for [`Probe`].
pub(crate) const FAILS_AT: u64 = 1 << 20;
pub(crate) const PANICS_AT: u64 = 2 << 20;
/// Panics before it has waited for anything.
pub(crate) const PANICS_AT_ONCE_AT: u64 = PANICS_AT + 512;
pub(crate) const WAITS_AT: u64 = 3 << 20;

/// The first bytes that a [`Probe`] says hold data; all others are a hole, it says.
pub(crate) const DATA_LEN: u64 = 64 << 10;

/// Memory that counts what is done to it. Requests at [`FAILS_AT`] fail, at [`PANICS_AT`] panic, from [`WAITS_AT`] on
/// wait for a permit.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) memory: MemoryDevice,
    pub(crate) geometry: fn(Geometry) -> Geometry,
    pub(crate) permits: Semaphore,
    pub(crate) begun: AtomicUsize,
    pub(crate) flushes: AtomicUsize,
    pub(crate) fua: AtomicUsize,
}

impl Probe {
    pub(crate) fn new(size: usize, geometry: fn(Geometry) -> Geometry) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryDevice::new(size, BlockSize::B512),
            geometry,
            permits: Semaphore::new(0),
            begun: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
            fua: AtomicUsize::new(0),
        })
    }

    pub(crate) fn plain(size: usize) -> Arc<Self> {
        Self::new(size, |geometry| geometry)
    }

    async fn begin(&self, offset: u64) -> Result<(), BlockError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match offset {
            FAILS_AT => Err(BlockError::new(
                ErrorKind::NoSpace,
                "there is no room on this probe",
            )),
            PANICS_AT | PANICS_AT_ONCE_AT => {
                if offset == PANICS_AT {
                    tokio::task::yield_now().await;
                }
                panic!("a probe panics as it should");
            }
            offset if offset >= WAITS_AT => {
                self.permits.acquire().await.unwrap().forget();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl BlockDevice for Probe {
    fn geometry(&self) -> Geometry {
        (self.geometry)(self.memory.geometry())
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.memory.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.begin(offset).await?;
        self.memory.read(offset, buf).await
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        let data = DATA_LEN.saturating_sub(offset).min(len);
        let spans = [(data, false), (len - data, true)];
        let spans = spans.map(|(len, is_hole)| Span { len, is_hole });
        Ok(spans.into_iter().filter(|span| span.len > 0).collect())
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.begin(offset).await?;
        self.fua.fetch_add(usize::from(flags.fua), Ordering::SeqCst);
        self.memory.write(offset, data, flags).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.memory.discard(offset, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.fua.fetch_add(usize::from(flags.fua), Ordering::SeqCst);
        self.memory.write_zeroes(offset, len, flags).await
    }
}
