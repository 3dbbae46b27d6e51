//! A device that counts and times its requests: one line here, one family in docs/metrics.md.

use crate::metrics::{Operation, VolumeMetrics};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_block::{BlockDevice, BlockError, Geometry, Span, WriteFlags};
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

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        let started = Instant::now();
        let outcome = self.device.read_pieces(offset, len).await;
        self.count(Operation::Read, len as u64, started, outcome)
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        self.device.spans(offset, len).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        let (started, bytes) = (Instant::now(), data.len() as u64);
        let outcome = self.device.write(offset, data, flags).await;
        self.count(Operation::Write, bytes, started, outcome)
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        let (started, bytes) = (Instant::now(), data.len() as u64);
        let outcome = self.device.write_bytes(offset, data, flags).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Registry, Text};
    use restblk_block::MemoryDevice;
    use restblk_types::BlockSize;

    #[tokio::test]
    async fn every_way_to_read_and_write_is_counted() {
        let registry = Registry::default();
        let metrics = registry.volume(&"main/a".parse().unwrap());
        let device = Metered::new(MemoryDevice::new(8192, BlockSize::B512), metrics);
        let flags = WriteFlags::default();
        device.write(0, &[1; 512], flags).await.unwrap();
        device
            .write_bytes(512, vec![2; 1024].into(), flags)
            .await
            .unwrap();
        device.read(0, &mut [0; 512]).await.unwrap();
        assert_eq!(
            device.read_pieces(0, 1024).await.unwrap().concat()[511..513],
            [1, 2]
        );
        let mut text = Text::default();
        registry.render(&mut text);
        let text = text.finish();
        for line in ["requests_total 2", "bytes_total 1536"] {
            let (family, value) = line.split_once(' ').unwrap();
            for operation in ["read", "write"] {
                let line = format!(
                    r#"restblk_volume_{family}{{pool="main",volume="a",operation="{operation}"}} {value}"#
                );
                assert!(text.lines().any(|l| l == line), "{line}\n{text}");
            }
        }
    }
}
