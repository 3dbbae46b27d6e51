//! A volume as it lies in one layout, open.

use crate::direct::DirectDevice;
use restblk_block::{BlockDevice, BlockError, Sectors};
use restblk_log::LogVolume;
use restblk_types::{BlockSize, ErrorKind};
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct Side {
    lies: Lies,
    device: Arc<dyn BlockDevice>,
}

#[derive(Clone, Debug)]
enum Lies {
    /// One object, byte for byte.
    Direct(Arc<DirectDevice>),
    /// Segments and a map.
    Log(Arc<LogVolume>),
}

impl Side {
    /// A direct volume.
    #[must_use]
    pub fn direct(device: DirectDevice) -> Self {
        let device = Arc::new(device);
        Self {
            lies: Lies::Direct(Arc::clone(&device)),
            device,
        }
    }

    /// A log volume, which may have smaller blocks than the layout has.
    #[must_use]
    pub fn log(log: LogVolume, block_size: BlockSize) -> Self {
        let log = Arc::new(log);
        Self {
            device: in_blocks(Arc::clone(&log), block_size),
            lies: Lies::Log(log),
        }
    }

    /// Its device.
    #[must_use]
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// The log, where it is of that layout.
    #[must_use]
    pub fn as_log(&self) -> Option<&Arc<LogVolume>> {
        match &self.lies {
            Lies::Direct(_) => None,
            Lies::Log(volume) => Some(volume),
        }
    }

    /// A direct volume's object has a new size, larger than before. A log volume knows its own.
    pub(crate) fn grown(&self, size: u64) {
        if let Lies::Direct(device) = &self.lies {
            device.grown(size);
        }
    }

    /// Ends the device: every later request fails for this reason. The first reason stays.
    pub(crate) fn fail(&self, kind: ErrorKind, reason: &str) {
        match &self.lies {
            Lies::Direct(device) => device.fail(kind, reason),
            Lies::Log(volume) => volume.fail(kind, reason),
        }
    }

    /// Why the device was ended, if it was.
    pub(crate) fn failure(&self) -> Option<BlockError> {
        match &self.lies {
            Lies::Direct(device) => device.failure().cloned(),
            Lies::Log(volume) => volume.failure().map(BlockError::from),
        }
    }

    /// Brings all that was written to the store; the volume stays open. What a direct volume was given is there already.
    pub(crate) async fn drain(&self) -> Result<(), BlockError> {
        match &self.lies {
            Lies::Direct(_) => Ok(()),
            Lies::Log(volume) => Ok(volume.checkpoint().await?),
        }
    }

    /// Has all that was written on the store, and safe there, whatever a flush waits for: what the old side had may have been there for years.
    pub(crate) async fn settle(&self) -> Result<(), BlockError> {
        self.device.flush().await?;
        self.drain().await
    }

    /// Brings all that was written to the store, and ends the serving: nothing is on this host alone then.
    pub(crate) async fn stop(&self) -> Result<(), BlockError> {
        match &self.lies {
            Lies::Direct(_) => Ok(()),
            Lies::Log(volume) => Ok(volume.stop().await?),
        }
    }
}

/// A device of a log volume, or of a snapshot of it, in the volume's own blocks.
#[must_use]
pub fn in_blocks<D: BlockDevice + 'static>(device: D, block_size: BlockSize) -> Arc<dyn BlockDevice> {
    if block_size.bytes() < device.geometry().block_size.bytes() {
        Arc::new(Sectors::new(device, block_size))
    } else {
        Arc::new(device)
    }
}
