//! A device that counts and times its requests: one line here, one family in docs/metrics.md.

use crate::metrics::{Operation, VolumeMetrics};
use async_trait::async_trait;
use restblk_block::{BlockDevice, BlockError, Geometry, WriteFlags};
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;

/// Counts what goes through it.
#[derive(Debug)]
pub(crate) struct Metered<D> {
    device: D,
    metrics: Arc<VolumeMetrics>,
}

impl<D: BlockDevice> Metered<D> {
    pub(crate) fn new(device: D, metrics: Arc<VolumeMetrics>) -> Self {
        Self { device, metrics }
    }

    fn count<T>(
        &self,
        operation: Operation,
        bytes: u64,
        started: Instant,
        outcome: Result<T, BlockError>,
    ) -> Result<T, BlockError> {
        self.metrics
            .count(operation, bytes, started.elapsed(), outcome.is_ok());
        outcome
    }
}

#[async_trait]
impl<D: BlockDevice> BlockDevice for Metered<D> {
    fn geometry(&self) -> Geometry {
        self.device.geometry()
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.device.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let (started, bytes) = (Instant::now(), buf.len() as u64);
        let outcome = self.device.read(offset, buf).await;
        self.count(Operation::Read, bytes, started, outcome)
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        let (started, bytes) = (Instant::now(), data.len() as u64);
        let outcome = self.device.write(offset, data, flags).await;
        self.count(Operation::Write, bytes, started, outcome)
    }

    async fn flush(&self) -> Result<(), BlockError> {
        let started = Instant::now();
        let outcome = self.device.flush().await;
        self.count(Operation::Flush, 0, started, outcome)
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let started = Instant::now();
        let outcome = self.device.discard(offset, len).await;
        self.count(Operation::Discard, len, started, outcome)
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        let started = Instant::now();
        let outcome = self.device.write_zeroes(offset, len, flags).await;
        self.count(Operation::WriteZeroes, len, started, outcome)
    }
}
