//! Runs one request on the device, and turns FUA into a flush where the device has none of its own.

use super::account::Buffer;
use restblk_block::{BlockDevice, BlockError, WriteFlags};

/// A checked request with its data.
#[derive(Debug)]
pub(crate) enum Work {
    Read {
        offset: u64,
        buffer: Buffer,
    },
    Write {
        offset: u64,
        buffer: Buffer,
        flags: WriteFlags,
    },
    Flush,
    Trim {
        offset: u64,
        len: u64,
        fua: bool,
    },
    Zero {
        offset: u64,
        len: u64,
        flags: WriteFlags,
    },
}

/// Does it; a read gives its buffer back, filled.
pub(crate) async fn execute(device: &dyn BlockDevice, work: Work) -> Result<Option<Buffer>, BlockError> {
    match work {
        Work::Read { offset, mut buffer } => {
            device.read(offset, &mut buffer).await?;
            return Ok(Some(buffer));
        }
        Work::Write {
            offset,
            buffer,
            flags,
        } => {
            device.write(offset, &buffer, native(device, flags)).await?;
            drop(buffer);
            settle(device, flags.fua).await?;
        }
        Work::Flush => device.flush().await?,
        Work::Trim { offset, len, fua } => {
            device.discard(offset, len).await?;
            if fua {
                device.flush().await?;
            }
        }
        Work::Zero { offset, len, flags } => {
            device.write_zeroes(offset, len, native(device, flags)).await?;
            settle(device, flags.fua).await?;
        }
    }
    Ok(None)
}

fn native(device: &dyn BlockDevice, flags: WriteFlags) -> WriteFlags {
    WriteFlags {
        fua: flags.fua && device.geometry().features.fua,
        ..flags
    }
}

async fn settle(device: &dyn BlockDevice, fua: bool) -> Result<(), BlockError> {
    let features = device.geometry().features;
    if fua && !features.fua && features.volatile_cache {
        return device.flush().await;
    }
    Ok(())
}
