//! A device in memory: the reference that other devices are compared with, and the target of transports' tests.

use crate::{BlockDevice, BlockError, Features, Geometry, Span, WriteFlags, spans_of};
use async_trait::async_trait;
use restblk_types::{BlockSize, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A volume in the process' memory, lost with it.
#[derive(Debug)]
pub struct MemoryDevice {
    bytes: Mutex<Vec<u8>>,
    size: watch::Sender<u64>,
    block_size: BlockSize,
}

impl MemoryDevice {
    /// `size` bytes of zeros.
    pub fn new(size: usize, block_size: BlockSize) -> Self {
        Self {
            bytes: Mutex::new(vec![0; size]),
            size: watch::Sender::new(size as u64),
            block_size,
        }
    }

    /// Grows (with zeros) or shrinks to `size` bytes, and tells the watchers.
    pub fn resize(&self, size: usize) {
        self.lock().resize(size, 0);
        self.size.send_replace(size as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, offset: u64, len: usize, f: impl FnOnce(&mut [u8]) -> T) -> Result<T, BlockError> {
        let outside = || {
            BlockError::new(
                ErrorKind::Invalid,
                format!("{len} bytes at {offset} lie outside the device"),
            )
        };
        let start = usize::try_from(offset).map_err(|_| outside())?;
        let end = start.checked_add(len).ok_or_else(outside)?;
        self.lock().get_mut(start..end).map(f).ok_or_else(outside)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        let len = usize::try_from(len).map_err(|e| BlockError::new(ErrorKind::Invalid, e.to_string()))?;
        self.with(offset, len, |bytes| bytes.fill(0))
    }
}

#[async_trait]
impl BlockDevice for MemoryDevice {
    fn geometry(&self) -> Geometry {
        Geometry {
            size: *self.size.borrow(),
            block_size: self.block_size,
            io_size_optimal: 4096,
            features: Features {
                volatile_cache: true,
                fua: true,
                discard: true,
                write_zeroes: true,
                read_only: false,
            },
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.with(offset, buf.len(), |bytes| buf.copy_from_slice(bytes))
    }

    /// A block of zeros is a hole.
    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        let block = self.block_size.bytes();
        let len = usize::try_from(len).map_err(|e| BlockError::new(ErrorKind::Invalid, e.to_string()))?;
        let written = self.with(offset, len, |bytes| {
            let blocks = bytes.chunks(block as usize);
            blocks
                .map(|block| block.iter().any(|byte| *byte != 0))
                .collect::<Vec<_>>()
        })?;
        Ok(spans_of(&written, block.into()))
    }

    async fn write(&self, offset: u64, data: &[u8], _flags: WriteFlags) -> Result<(), BlockError> {
        self.with(offset, data.len(), |bytes| bytes.copy_from_slice(data))
    }

    async fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.zero(offset, len)
    }

    async fn write_zeroes(&self, offset: u64, len: u64, _flags: WriteFlags) -> Result<(), BlockError> {
        self.zero(offset, len)
    }
}
