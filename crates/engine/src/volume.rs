//! An open volume, whatever its layout, which may change while it is open: its device stays.

use crate::front::{Front, Way};
use crate::side::Side;
use restblk_block::{BlockDevice, BlockError};
use restblk_log::LogVolume;
use restblk_types::ErrorKind;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub struct Volume {
    front: Arc<Front>,
}

impl Volume {
    /// A volume that lies on this side. Must be called within a runtime.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            front: Front::new(side),
        }
    }

    pub(crate) fn front(&self) -> &Arc<Front> {
        &self.front
    }

    /// Its device.
    #[must_use]
    pub fn device(&self) -> Arc<dyn BlockDevice> {
        self.front.clone()
    }

    /// The side that is the volume now.
    fn side(&self) -> Side {
        match self.front.way() {
            Way::Plain(side) => side,
            Way::Mirrored(mirrored) => mirrored.volume().clone(),
        }
    }

    /// The log, where it is of that layout.
    #[must_use]
    pub fn log(&self) -> Option<Arc<LogVolume>> {
        self.side().as_log().cloned()
    }

    /// A direct volume's object has a new size, larger than before. A log volume knows its own.
    pub fn grown(&self, size: u64) {
        self.side().grown(size);
    }

    /// Ends the device: every later request fails for this reason. The first reason stays.
    pub fn fail(&self, kind: ErrorKind, reason: &str) {
        match self.front.way() {
            Way::Plain(side) => side.fail(kind, reason),
            Way::Mirrored(mirrored) => mirrored.fail(kind, reason),
        }
    }

    /// Why the device was ended, if it was.
    #[must_use]
    pub fn failure(&self) -> Option<BlockError> {
        self.side().failure()
    }

    /// Brings all that was written to the store; the volume stays open. What a direct volume was given is there already.
    pub async fn drain(&self) -> Result<(), BlockError> {
        self.side().drain().await
    }

    /// The same, and ends the serving: nothing is on this host alone then.
    pub async fn stop(&self) -> Result<(), BlockError> {
        self.side().stop().await
    }
}
