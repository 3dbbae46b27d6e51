//! A volume's block size and what its store can change in place: blocks are never smaller than the store's alignment
//! (`Capabilities::write_align`), so that every request of a device, and every size, is a multiple of it.

use crate::{EngineError, Repository};
use restblk_store::{Capabilities, ObjectInfo};
use restblk_types::{BlockSize, ErrorKind};

/// The smallest block that the store's alignment allows, if any does.
pub(crate) fn smallest(capabilities: &Capabilities) -> Option<BlockSize> {
    [BlockSize::B512, BlockSize::B4096]
        .into_iter()
        .find(|block| u64::from(block.bytes()).is_multiple_of(capabilities.write_align.max(1)))
}

impl Repository {
    /// The smallest blocks that a volume here can have, and the default.
    #[must_use]
    pub fn block_size_min(&self) -> BlockSize {
        // `open` has refused a store without one, and one that does not write in place has no direct volumes.
        smallest(&self.capabilities).unwrap_or(BlockSize::B4096)
    }

    /// `Unsupported` for blocks that the store cannot write one by one. `operation` completes "failed to …".
    pub(crate) fn check_block_size(&self, operation: &str, block: BlockSize) -> Result<(), EngineError> {
        let least = self.block_size_min();
        if block.bytes() >= least.bytes() {
            return Ok(());
        }
        Err(EngineError::refused(
            ErrorKind::Unsupported,
            format!(
                "{operation}: its blocks of {} bytes are smaller than the {} that the store at {} changes at a time; \
                 make volumes there with a block size of {} (--block-size {})",
                block.bytes(),
                self.capabilities.write_align,
                self.store.location(),
                least.bytes(),
                least.bytes()
            ),
        ))
    }

    /// `Unsupported` where the store was not seen to write in place at all: it would replace a volume by a part of it.
    pub(crate) fn check_writes(&self, operation: &str) -> Result<(), EngineError> {
        if self.capabilities.write_at {
            return Ok(());
        }
        Err(EngineError::refused(
            ErrorKind::Unsupported,
            format!(
                "{operation}: the store at {} was not seen to write in place, and would replace a direct volume by a part of it; \
                 make it of the log layout (--layout log), or keep direct volumes on a store that writes in place, such as CDMI or a directory",
                self.store.location()
            ),
        ))
    }

    /// `Unsupported` for an object that the store does not change in place.
    pub(crate) fn check_in_place(&self, operation: &str, object: &ObjectInfo) -> Result<(), EngineError> {
        self.check_writes(operation)?;
        if object.in_place {
            return Ok(());
        }
        Err(EngineError::refused(
            ErrorKind::Unsupported,
            format!(
                "{operation}: the store at {} has it as an object that is replaced as a whole and never changed in place; \
                 create a volume of its size and copy its bytes there",
                self.store.location()
            ),
        ))
    }
}
