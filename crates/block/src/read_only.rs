//! A device of which somebody may only read.

use crate::{BlockDevice, BlockError, Geometry, Span, WriteFlags};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::ErrorKind;
use tokio::sync::watch;

/// The device, and no change of it.
#[derive(Debug)]
pub struct ReadOnly<D>(pub D);

fn refused() -> BlockError {
    BlockError::new(ErrorKind::Denied, "the device is read-only")
}

#[async_trait]
impl<D: BlockDevice> BlockDevice for ReadOnly<D> {
    fn geometry(&self) -> Geometry {
        let mut geometry = self.0.geometry();
        geometry.features.read_only = true;
        geometry
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.0.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.0.read(offset, buf).await
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        self.0.read_pieces(offset, len).await
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        self.0.spans(offset, len).await
    }

    async fn write(&self, _: u64, _: &[u8], _: WriteFlags) -> Result<(), BlockError> {
        Err(refused())
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.0.flush().await
    }

    async fn discard(&self, _: u64, _: u64) -> Result<(), BlockError> {
        Err(refused())
    }

    async fn write_zeroes(&self, _: u64, _: u64, _: WriteFlags) -> Result<(), BlockError> {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDevice;

    #[tokio::test]
    async fn what_is_there_is_read_and_nothing_is_changed() {
        let device = MemoryDevice::new(8192, restblk_types::BlockSize::B4096);
        device.write(0, &[7; 4096], WriteFlags::default()).await.unwrap();
        let device = ReadOnly(device);
        assert!(device.geometry().features.read_only);
        let zeros = device.write_zeroes(0, 4096, WriteFlags::default()).await;
        for refused in [
            device.write(0, &[8; 4096], WriteFlags::default()).await,
            device
                .write_bytes(0, Bytes::from_static(&[8; 4096]), WriteFlags::default())
                .await,
            device.discard(0, 4096).await,
            zeros,
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied);
        }
        let mut found = [0; 4096];
        device.read(0, &mut found).await.unwrap();
        assert_eq!(found, [7; 4096]);
    }
}
