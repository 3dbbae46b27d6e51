//! The contract of a block device.
//!
//! Ordering: requests that run at the same time have no order among each other, as on every block device.
//! A flush covers exactly the writes that had completed before it began. A write with `fua` is itself
//! durable when it completes. A read sees every write that completed before it began.
//!
//! Buffers come in two ways. Borrowed (`read`, `write`): the transport keeps the memory of a request until its future is
//! done, and the engine makes the one copy it needs. Owned (`read_pieces`, `write_bytes`): the bytes themselves change
//! hands, and no copy is made; for transports that pass them to a socket or get them from one. Both do the same.
//! Dropping a future does not undo its request.

use crate::BlockError;
use async_trait::async_trait;
use bytes::Bytes;
use restblk_types::BlockSize;
use std::sync::Arc;
use tokio::sync::watch;

/// What a device looks like to its users. The size alone can change while attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Capacity in bytes; a multiple of the block size.
    pub size: u64,
    /// The unit of addressing: every offset and length is a multiple of it.
    pub block_size: BlockSize,
    /// The unit that is cheapest to write, in bytes (`optimal_io_size`); a power of two, at least the block size.
    pub io_size_optimal: u32,
    /// What the device can do beyond read and write.
    pub features: Features,
}

/// Optional abilities. A transport announces to the kernel exactly these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Completed writes may be lost by a crash until `flush`; without it the device is write-through.
    pub volatile_cache: bool,
    /// `WriteFlags::fua` is cheaper than a write and a flush.
    pub fua: bool,
    /// `discard` frees space; without it a transport does not announce discard.
    pub discard: bool,
    /// `write_zeroes` is cheaper than writing zeros.
    pub write_zeroes: bool,
    /// Writes fail.
    pub read_only: bool,
}

/// Bytes in a row of which all hold data, or none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// How many bytes.
    pub len: u64,
    /// They read as zeros and take no space; otherwise they hold data, of whatever value.
    pub is_hole: bool,
}

/// The spans of blocks of so many bytes, each of which holds data or does not.
#[must_use]
pub fn spans_of(written: &[bool], block: u64) -> Vec<Span> {
    let runs = written.chunk_by(|one, next| one == next);
    let span = |run: &[bool]| Span {
        len: run.len() as u64 * block,
        is_hole: run.first() != Some(&true),
    };
    runs.map(span).collect()
}

/// How a write is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// Durable on completion (force unit access).
    pub fua: bool,
    /// For `write_zeroes`: the space must stay allocated (no hole).
    pub no_unmap: bool,
}

/// A volume, open and ready: what an engine makes and a transport attaches.
///
/// Offsets and lengths are in bytes, multiples of the block size and within the size; [`crate::Checked`]
/// enforces it, so implementations may rely on it. Lengths of zero are answered at once.
#[async_trait]
pub trait BlockDevice: Send + Sync + std::fmt::Debug {
    /// Size, block size, abilities, as they are now.
    fn geometry(&self) -> Geometry;

    /// Tells of each new size in bytes; holds the current one.
    fn watch_size(&self) -> watch::Receiver<u64>;

    /// Fills `buf` with the bytes from `offset`.
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError>;

    /// The `len` bytes from `offset`, in order, in as many pieces as the engine has them. An engine that holds what it
    /// fetched gives that away. Long requests gain by it; a piece of a short one may keep a much larger buffer alive.
    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        let mut buf = vec![0; len];
        self.read(offset, &mut buf).await?;
        Ok(vec![Bytes::from(buf)])
    }

    /// What holds data of the `len` bytes from `offset`, without reading it: spans in order, the first one at `offset`, all within the
    /// range. They may end before it does, for who wants more to ask again. An engine that does not know says that all is data.
    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        let _ = offset;
        Ok(vec![Span { len, is_hole: false }])
    }

    /// Writes `data` at `offset`.
    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError>;

    /// Writes `data` at `offset`. An engine that sends them on keeps them until they are sent.
    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        self.write(offset, &data, flags).await
    }

    /// Makes every write that has completed durable.
    async fn flush(&self) -> Result<(), BlockError>;

    /// Says that the bytes are not needed any more; they read as zeros afterwards or unchanged, at the device's choice.
    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError>;

    /// Makes the bytes read as zeros.
    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError>;
}

#[async_trait]
impl<D: BlockDevice + ?Sized> BlockDevice for Arc<D> {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        (**self).watch_size()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        (**self).read(offset, buf).await
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        (**self).read_pieces(offset, len).await
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        (**self).spans(offset, len).await
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        (**self).write(offset, data, flags).await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        (**self).write_bytes(offset, data, flags).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        (**self).flush().await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        (**self).discard(offset, len).await
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        (**self).write_zeroes(offset, len, flags).await
    }
}
