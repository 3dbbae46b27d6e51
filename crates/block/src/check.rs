//! Bounds and alignment, checked once, in front of every engine.

use crate::{BlockDevice, BlockError, Geometry, WriteFlags};
use async_trait::async_trait;
use restblk_types::{ErrorKind, Extent};
use tokio::sync::watch;

/// `len` bytes at `offset` as an extent, if they are aligned to blocks and within the device.
pub fn check_extent(geometry: &Geometry, offset: u64, len: u64) -> Result<Extent, BlockError> {
    let block = u64::from(geometry.block_size.bytes());
    let extent = Extent::new(offset, len).filter(|e| e.end() <= geometry.size);
    match extent {
        None => Err(BlockError::new(
            ErrorKind::Invalid,
            format!(
                "{len} bytes at {offset} lie outside the device of {} bytes",
                geometry.size
            ),
        )),
        Some(e) if !e.offset().is_multiple_of(block) || !e.len().is_multiple_of(block) => {
            Err(BlockError::new(
                ErrorKind::Invalid,
                format!("{len} bytes at {offset} are not aligned to blocks of {block} bytes"),
            ))
        }
        Some(e) => Ok(e),
    }
}

/// A device whose every request is checked, and refused if the device is read-only; requests of no bytes end here.
#[derive(Debug)]
pub struct Checked<D>(pub D);

impl<D: BlockDevice> Checked<D> {
    fn writable(&self, offset: u64, len: u64) -> Result<Extent, BlockError> {
        let geometry = self.0.geometry();
        if geometry.features.read_only {
            return Err(BlockError::new(ErrorKind::Denied, "the device is read-only"));
        }
        check_extent(&geometry, offset, len)
    }
}

#[async_trait]
impl<D: BlockDevice> BlockDevice for Checked<D> {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.0.watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        if check_extent(&self.geometry(), offset, buf.len() as u64)?.is_empty() {
            return Ok(());
        }
        self.0.read(offset, buf).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        if self.writable(offset, data.len() as u64)?.is_empty() {
            return Ok(());
        }
        self.0.write(offset, data, flags).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.0.flush().await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        if self.writable(offset, len)?.is_empty() {
            return Ok(());
        }
        self.0.discard(offset, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        if self.writable(offset, len)?.is_empty() {
            return Ok(());
        }
        self.0.write_zeroes(offset, len, flags).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;
    use restblk_types::BlockSize;

    #[test]
    fn extents_are_aligned_and_inside() {
        let g = Geometry {
            size: 8192,
            block_size: BlockSize::B4096,
            io_size_optimal: 4096,
            features: Features::default(),
        };
        assert!(check_extent(&g, 4096, 4096).is_ok());
        assert!(check_extent(&g, 8192, 0).is_ok());
        for (offset, len) in [
            (512, 4096),
            (0, 512),
            (8192, 4096),
            (u64::MAX - 4095, 4096),
            (4096, u64::MAX - 4095),
        ] {
            let error = check_extent(&g, offset, len).err().map(|e| e.errno());
            assert_eq!(error, Some(libc::EINVAL), "{offset}+{len}");
        }
    }
}
