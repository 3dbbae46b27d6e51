//! A volume in memory that counts what is asked of it, takes its time, and fails on demand.

use async_trait::async_trait;
use restblk_block::{BlockDevice, BlockError, Features, Geometry, MemoryDevice, WriteFlags};
use restblk_types::{BlockSize, ErrorKind};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(crate) struct ProbeDevice {
    pub(crate) memory: MemoryDevice,
    pub(crate) features: Features,
    pub(crate) flushes: AtomicU64,
    pub(crate) holes: AtomicU64,
    pub(crate) zeroes: AtomicU64,
    /// Each read, write and flush takes so long, in microseconds.
    pub(crate) delay_us: AtomicU64,
    /// What every write fails with.
    pub(crate) failure: Mutex<Option<ErrorKind>>,
    pub(crate) running: AtomicUsize,
    pub(crate) running_max: AtomicUsize,
}

impl ProbeDevice {
    pub(crate) fn new(size: usize, block_size: BlockSize) -> Self {
        let memory = MemoryDevice::new(size, block_size);
        Self {
            features: memory.geometry().features,
            memory,
            flushes: AtomicU64::new(0),
            holes: AtomicU64::new(0),
            zeroes: AtomicU64::new(0),
            delay_us: AtomicU64::new(0),
            failure: Mutex::new(None),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
        }
    }

    pub(crate) fn fail_with(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.failure.lock().unwrap() = kind.into();
    }

    fn fail(&self) -> Result<(), BlockError> {
        match *self.failure.lock().unwrap() {
            Some(kind) => Err(BlockError::new(kind, "failing as told")),
            None => Ok(()),
        }
    }

    async fn take_time(&self) {
        let running = self.running.fetch_add(1, SeqCst) + 1;
        self.running_max.fetch_max(running, SeqCst);
        let delay = self.delay_us.load(SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_micros(delay)).await;
        }
        self.running.fetch_sub(1, SeqCst);
    }
}

#[async_trait]
impl BlockDevice for ProbeDevice {
    fn geometry(&self) -> Geometry {
        Geometry {
            features: self.features,
            ..self.memory.geometry()
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.memory.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.take_time().await;
        self.memory.read(offset, buf).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.take_time().await;
        self.fail()?;
        self.memory.write(offset, data, flags).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.take_time().await;
        self.flushes.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn discard(&self, _offset: u64, _len: u64) -> Result<(), BlockError> {
        // Allowed to leave the bytes as they are; so a transport that takes this for zeroing is found out.
        Ok(())
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        let counter = if flags.no_unmap { &self.zeroes } else { &self.holes };
        counter.fetch_add(1, SeqCst);
        self.fail()?;
        self.memory.write_zeroes(offset, len, flags).await
    }
}
