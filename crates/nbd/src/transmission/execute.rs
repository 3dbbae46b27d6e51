//! Runs one request on the device, and turns FUA into a flush where the device has none of its own.

use super::account::{Buffer, Charge};
use crate::proto::allocation;
use bytes::Bytes;
use restblk_block::{BlockDevice, BlockError, WriteFlags};

/// A checked request with its data.
#[derive(Debug)]
pub(crate) enum Work {
    /// Into memory of ours.
    Read {
        offset: u64,
        buffer: Buffer,
    },
    /// In memory of the device's.
    ReadPieces {
        offset: u64,
        len: usize,
        charge: Charge,
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
    Status {
        offset: u64,
        len: u64,
        /// One descriptor is wanted.
        one: bool,
    },
}

/// What a read read.
#[derive(Debug)]
pub(crate) enum Data {
    Buffer(Buffer),
    Pieces { pieces: Vec<Bytes>, _charge: Charge },
}

/// What there is to answer.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Data(Data),
    Descriptors(Vec<u8>),
}

/// Descriptors in one answer; who wants more asks again.
const DESCRIPTORS_MAX: usize = 8192;

/// Does it.
pub(crate) async fn execute(device: &dyn BlockDevice, work: Work) -> Result<Outcome, BlockError> {
    match work {
        Work::Read { offset, mut buffer } => {
            device.read(offset, buffer.as_mut()).await?;
            return Ok(Outcome::Data(Data::Buffer(buffer)));
        }
        Work::ReadPieces { offset, len, charge } => {
            let pieces = device.read_pieces(offset, len).await?;
            return Ok(Outcome::Data(Data::Pieces {
                pieces,
                _charge: charge,
            }));
        }
        Work::Write {
            offset,
            buffer,
            flags,
        } => {
            device
                .write_bytes(offset, buffer.freeze(), native(device, flags))
                .await?;
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
        Work::Status { offset, len, one } => {
            let spans = device.spans(offset, len).await?;
            let most = if one { 1 } else { DESCRIPTORS_MAX };
            let words = spans.iter().take(most).flat_map(|span| {
                let len = u32::try_from(span.len).unwrap_or(u32::MAX);
                let flags = if span.is_hole {
                    allocation::HOLE | allocation::ZERO
                } else {
                    0
                };
                [len, flags].map(u32::to_be_bytes)
            });
            return Ok(Outcome::Descriptors(words.flatten().collect()));
        }
    }
    Ok(Outcome::Done)
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
