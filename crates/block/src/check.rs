//! Bounds and alignment, checked once, in front of every engine.

use crate::{BlockDevice, BlockError, Geometry, Span, WriteFlags};
use async_trait::async_trait;
use bytes::Bytes;
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

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        if check_extent(&self.geometry(), offset, len as u64)?.is_empty() {
            return Ok(Vec::new());
        }
        self.0.read_pieces(offset, len).await
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        if check_extent(&self.geometry(), offset, len)?.is_empty() {
            return Ok(Vec::new());
        }
        self.0.spans(offset, len).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        if self.writable(offset, data.len() as u64)?.is_empty() {
            return Ok(());
        }
        self.0.write(offset, data, flags).await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        if self.writable(offset, data.len() as u64)?.is_empty() {
            return Ok(());
        }
        self.0.write_bytes(offset, data, flags).await
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
    use crate::{Features, Limited, MemoryDevice};
    use restblk_types::BlockSize;
    use std::{
        future::Future,
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Waker},
    };

    /// Does what owns its bytes, and nothing else.
    #[derive(Debug)]
    struct Owning(MemoryDevice);

    #[async_trait]
    impl BlockDevice for Owning {
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }

        fn watch_size(&self) -> watch::Receiver<u64> {
            self.0.watch_size()
        }

        async fn read(&self, _offset: u64, _buf: &mut [u8]) -> Result<(), BlockError> {
            panic!("a read was turned into one that copies");
        }

        async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
            self.0.read_pieces(offset, len).await
        }

        async fn write(&self, _offset: u64, _data: &[u8], _flags: WriteFlags) -> Result<(), BlockError> {
            panic!("a write was turned into one that copies");
        }

        async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
            self.0.write_bytes(offset, data, flags).await
        }

        async fn flush(&self) -> Result<(), BlockError> {
            Ok(())
        }

        async fn discard(&self, _offset: u64, _len: u64) -> Result<(), BlockError> {
            Ok(())
        }

        async fn write_zeroes(&self, _offset: u64, _len: u64, _flags: WriteFlags) -> Result<(), BlockError> {
            Ok(())
        }
    }

    /// The result of a future that waits for nothing.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn owned_bytes_are_checked_and_stay_owned() {
        let device = Arc::new(Owning(MemoryDevice::new(8192, BlockSize::B512)));
        let device = Checked(Limited::new(device, Vec::new(), Arc::default()));
        let flags = WriteFlags::default();
        now(device.write_bytes(512, Bytes::from(vec![7; 512]), flags)).unwrap();
        assert_eq!(now(device.read_pieces(512, 512)).unwrap().concat(), [7; 512]);
        assert!(now(device.read_pieces(8192, 0)).unwrap().is_empty());
        for (offset, len) in [(8192, 512), (1, 512), (0, 513), (u64::MAX, 512)] {
            let refused = [
                now(device.read_pieces(offset, len)).map(drop).unwrap_err(),
                now(device.write_bytes(offset, Bytes::from(vec![0; len]), flags)).unwrap_err(),
            ];
            assert_eq!(refused.map(|e| e.errno()), [libc::EINVAL; 2], "{offset}+{len}");
        }
    }

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
