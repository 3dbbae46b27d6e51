//! An open volume, whatever its layout.

use crate::direct::DirectDevice;
use restblk_block::{BlockDevice, BlockError};
use restblk_log::LogVolume;
use restblk_types::ErrorKind;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub enum Volume {
    /// One object, byte for byte.
    Direct(Arc<DirectDevice>),
    /// Segments and a map.
    Log(Arc<LogVolume>),
}

impl Volume {
    /// Its device.
    #[must_use]
    pub fn device(&self) -> Arc<dyn BlockDevice> {
        match self {
            Self::Direct(device) => device.clone(),
            Self::Log(volume) => volume.clone(),
        }
    }

    /// The log, where it is of that layout.
    #[must_use]
    pub fn log(&self) -> Option<&Arc<LogVolume>> {
        match self {
            Self::Direct(_) => None,
            Self::Log(volume) => Some(volume),
        }
    }

    /// A direct volume's object has a new size, larger than before. A log volume knows its own.
    pub fn grown(&self, size: u64) {
        if let Self::Direct(device) = self {
            device.grown(size);
        }
    }

    /// Ends the device: every later request fails for this reason. The first reason stays.
    pub fn fail(&self, kind: ErrorKind, reason: &str) {
        match self {
            Self::Direct(device) => device.fail(kind, reason),
            Self::Log(volume) => volume.fail(kind, reason),
        }
    }

    /// Why the device was ended, if it was.
    #[must_use]
    pub fn failure(&self) -> Option<BlockError> {
        match self {
            Self::Direct(device) => device.failure().cloned(),
            Self::Log(volume) => volume.failure().map(BlockError::from),
        }
    }

    /// Brings all that was written to the store; the volume stays open. What a direct volume was given is there already.
    pub async fn drain(&self) -> Result<(), BlockError> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Log(volume) => Ok(volume.checkpoint().await?),
        }
    }

    /// The same, and ends the serving: nothing is on this host alone then.
    pub async fn stop(&self) -> Result<(), BlockError> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Log(volume) => Ok(volume.stop().await?),
        }
    }
}
