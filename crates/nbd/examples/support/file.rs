//! A plain file as a block device: small, blocking, for examples and measurements alone.

use async_trait::async_trait;
use nix::fcntl::{FallocateFlags, fallocate};
use restblk_block::{BlockDevice, BlockError, Features, Geometry, WriteFlags};
use restblk_types::{BlockSize, ErrorKind};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::watch;

/// A file of a fixed set of abilities; its size is looked at again by [`FileDevice::refresh`].
#[derive(Debug)]
pub(crate) struct FileDevice {
    file: File,
    size: watch::Sender<u64>,
    delay: Duration,
    stall: Duration,
    stalled: AtomicBool,
}

impl FileDevice {
    /// Opens a file that exists.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let size = file.metadata()?.len() & !511;
        let (delay, stall, stalled) = Default::default();
        Ok(Self {
            file,
            size: watch::Sender::new(size),
            delay,
            stall,
            stalled,
        })
    }

    /// Lets every read and write take `delay`, and the first write `stall` besides, as a distant store would.
    #[allow(dead_code, reason = "not every example is slow")]
    pub(crate) fn slow(self, delay: Duration, stall: Duration) -> Self {
        Self { delay, stall, ..self }
    }

    async fn pass_time(&self, write: bool) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if write && !self.stall.is_zero() && !self.stalled.swap(true, Ordering::Relaxed) {
            tokio::time::sleep(self.stall).await;
        }
    }

    /// Takes on the size that the file has now.
    #[allow(dead_code, reason = "not every example changes sizes")]
    pub(crate) fn refresh(&self) -> io::Result<u64> {
        let size = self.file.metadata()?.len() & !511;
        self.size
            .send_if_modified(|known| std::mem::replace(known, size) != size);
        Ok(size)
    }

    fn allocate(&self, mode: FallocateFlags, offset: u64, len: u64) -> Result<(), BlockError> {
        let at = |n: u64| i64::try_from(n).map_err(io::Error::other);
        let run = || {
            Ok(fallocate(
                &self.file,
                mode | FallocateFlags::FALLOC_FL_KEEP_SIZE,
                at(offset)?,
                at(len)?,
            )?)
        };
        failed(run())
    }
}

fn failed<T>(result: io::Result<T>) -> Result<T, BlockError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => BlockError::new(ErrorKind::NoSpace, error.to_string()),
        _ => BlockError::new(ErrorKind::Unavailable, error.to_string()),
    })
}

#[async_trait]
impl BlockDevice for FileDevice {
    fn geometry(&self) -> Geometry {
        let features = Features {
            volatile_cache: true,
            fua: false,
            discard: true,
            write_zeroes: true,
            read_only: false,
        };
        Geometry {
            size: *self.size.borrow(),
            block_size: BlockSize::B512,
            io_size_optimal: 4096,
            features,
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.pass_time(false).await;
        failed(self.file.read_exact_at(buf, offset))
    }

    async fn write(&self, offset: u64, data: &[u8], _flags: WriteFlags) -> Result<(), BlockError> {
        self.pass_time(true).await;
        failed(self.file.write_all_at(data, offset))
    }

    async fn flush(&self) -> Result<(), BlockError> {
        failed(self.file.sync_data())
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.allocate(FallocateFlags::FALLOC_FL_PUNCH_HOLE, offset, len)
    }

    async fn write_zeroes(&self, offset: u64, len: u64, _flags: WriteFlags) -> Result<(), BlockError> {
        self.allocate(FallocateFlags::FALLOC_FL_PUNCH_HOLE, offset, len)
    }
}
