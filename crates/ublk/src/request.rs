//! A request of the kernel, and what of the engine answers it.
//!
//! Owns the mapping of operations, flags and errors. The kernel sends only what `params` announced; whatever else
//! arrives is refused, except FUA without `Features::fua`, which is a write and a flush.

use crate::{
    ticket::Ticket,
    uapi::{self, IoDescriptor, SECTOR},
};
use restblk_block::{BlockDevice, BlockError, WriteFlags};
use restblk_types::ErrorKind;
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write { fua: bool },
    Flush,
    Discard,
    WriteZeroes { fua: bool, no_unmap: bool },
    Unknown(u32),
}

/// A request: what, and where, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl From<IoDescriptor> for Request {
    fn from(descriptor: IoDescriptor) -> Self {
        let has = |flag| descriptor.op_flags & flag != 0;
        let fua = has(uapi::IO_F_FUA);
        let operation = match descriptor.op_flags & 0xff {
            uapi::OP_READ => Operation::Read,
            uapi::OP_WRITE => Operation::Write { fua },
            uapi::OP_FLUSH => Operation::Flush,
            uapi::OP_DISCARD => Operation::Discard,
            uapi::OP_WRITE_ZEROES => Operation::WriteZeroes {
                fua,
                no_unmap: has(uapi::IO_F_NOUNMAP),
            },
            other => Operation::Unknown(other),
        };
        Self {
            operation,
            offset: descriptor.start_sector.saturating_mul(SECTOR),
            len: u64::from(descriptor.nr_sectors) * SECTOR,
        }
    }
}

/// Has the engine carry a request out, then answers it. One task a request.
pub(crate) async fn serve(device: Arc<dyn BlockDevice>, request: Request, mut ticket: Ticket) {
    let result = match execute(&*device, request, ticket.buffer()).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let Request {
                operation,
                offset,
                len,
            } = request;
            tracing::warn!(?operation, offset, len, %error, "request failed");
            -error.errno()
        }
    };
    ticket.answer(result);
}

/// The bytes moved; 0 for operations that move none.
async fn execute(device: &dyn BlockDevice, request: Request, buffer: &mut [u8]) -> Result<i32, BlockError> {
    let Request {
        operation,
        offset,
        len,
    } = request;
    let features = device.geometry().features;
    match operation {
        Operation::Read => {
            let part = part(buffer, len)?;
            device.read(offset, part).await?;
            moved(len)
        }
        Operation::Write { fua } => {
            let part = part(buffer, len)?;
            let flags = WriteFlags {
                fua: fua && features.fua,
                no_unmap: false,
            };
            device.write(offset, part, flags).await?;
            if fua && !features.fua {
                device.flush().await?;
            }
            moved(len)
        }
        Operation::Flush => device.flush().await.map(|()| 0),
        Operation::Discard if !features.discard => Err(unsupported("discard")),
        Operation::Discard => device.discard(offset, len).await.map(|()| 0),
        Operation::WriteZeroes { fua, no_unmap } => {
            let flags = WriteFlags {
                fua: fua && features.fua,
                no_unmap,
            };
            device.write_zeroes(offset, len, flags).await?;
            if fua && !features.fua {
                device.flush().await?;
            }
            Ok(0)
        }
        Operation::Unknown(number) => Err(unsupported(&format!("operation {number}"))),
    }
}

fn unsupported(what: &str) -> BlockError {
    BlockError::new(ErrorKind::Unsupported, format!("{what} is not offered here"))
}

fn part(buffer: &mut [u8], len: u64) -> Result<&mut [u8], BlockError> {
    let size = buffer.len();
    usize::try_from(len)
        .ok()
        .and_then(|len| buffer.get_mut(..len))
        .ok_or_else(|| {
            let why = format!("the kernel sent {len} bytes to a buffer of {size}");
            BlockError::new(ErrorKind::Bug, why)
        })
}

fn moved(len: u64) -> Result<i32, BlockError> {
    i32::try_from(len).map_err(|e| BlockError::new(ErrorKind::Bug, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_block::{Features, Geometry, MemoryDevice};
    use restblk_types::BlockSize;
    use std::sync::Mutex;
    use tokio::sync::watch;

    /// Notes what is asked of it and answers with one error, if told to.
    #[derive(Debug, Default)]
    struct Witness {
        features: Features,
        seen: Mutex<Vec<String>>,
        error: Option<ErrorKind>,
    }

    impl Witness {
        fn note(&self, what: String) -> Result<(), BlockError> {
            self.seen.lock().unwrap().push(what);
            self.error
                .map_or(Ok(()), |kind| Err(BlockError::new(kind, "test")))
        }
    }

    #[async_trait::async_trait]
    impl BlockDevice for Witness {
        fn geometry(&self) -> Geometry {
            let plain = MemoryDevice::new(1 << 20, BlockSize::B512).geometry();
            Geometry {
                features: self.features,
                ..plain
            }
        }
        fn watch_size(&self) -> watch::Receiver<u64> {
            watch::channel(1 << 20).1
        }
        async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
            self.note(format!("read {offset}+{}", buf.len()))
        }
        async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
            self.note(format!("write {offset}+{} fua={}", data.len(), flags.fua))
        }
        async fn flush(&self) -> Result<(), BlockError> {
            self.note("flush".to_owned())
        }
        async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
            self.note(format!("discard {offset}+{len}"))
        }
        async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
            self.note(format!(
                "zero {offset}+{len} fua={} keep={}",
                flags.fua, flags.no_unmap
            ))
        }
    }

    async fn ask(witness: &Witness, op_flags: u32, nr_sectors: u32) -> (Result<i32, i32>, String) {
        let request = Request::from(IoDescriptor {
            op_flags,
            nr_sectors,
            start_sector: 8,
            addr: 0,
        });
        let result = execute(witness, request, &mut [0; 8192])
            .await
            .map_err(|e| e.errno());
        (
            result,
            witness
                .seen
                .lock()
                .unwrap()
                .drain(..)
                .collect::<Vec<_>>()
                .join(", "),
        )
    }

    #[tokio::test]
    async fn operations_and_flags_reach_the_engine() {
        let all = Features {
            volatile_cache: true,
            fua: true,
            discard: true,
            write_zeroes: true,
            read_only: false,
        };
        let witness = Witness {
            features: all,
            ..Witness::default()
        };
        let fua = uapi::IO_F_FUA;
        // A flag outside the interface must not be taken for an operation.
        assert_eq!(
            ask(&witness, uapi::OP_READ | 1 << 8, 2).await,
            (Ok(1024), "read 4096+1024".into())
        );
        assert_eq!(
            ask(&witness, uapi::OP_WRITE, 2).await,
            (Ok(1024), "write 4096+1024 fua=false".into())
        );
        assert_eq!(
            ask(&witness, uapi::OP_WRITE | fua, 1).await,
            (Ok(512), "write 4096+512 fua=true".into())
        );
        assert_eq!(ask(&witness, uapi::OP_FLUSH, 0).await, (Ok(0), "flush".into()));
        assert_eq!(
            ask(&witness, uapi::OP_DISCARD, 4096).await,
            (Ok(0), "discard 4096+2097152".into())
        );
        assert_eq!(
            ask(&witness, uapi::OP_WRITE_ZEROES | uapi::IO_F_NOUNMAP, 4096).await,
            (Ok(0), "zero 4096+2097152 fua=false keep=true".into())
        );
        assert_eq!(ask(&witness, 13, 1).await, (Err(libc::EOPNOTSUPP), String::new()));
        // More than the buffer holds is our fault, never a wild write.
        assert_eq!(
            ask(&witness, uapi::OP_READ, 17).await,
            (Err(libc::EIO), String::new())
        );
    }

    #[tokio::test]
    async fn fua_without_the_feature_is_a_write_and_a_flush() {
        let witness = Witness::default();
        let (result, seen) = ask(&witness, uapi::OP_WRITE | uapi::IO_F_FUA, 1).await;
        assert_eq!(
            (result, seen.as_str()),
            (Ok(512), "write 4096+512 fua=false, flush")
        );
        let (result, seen) = ask(&witness, uapi::OP_WRITE_ZEROES | uapi::IO_F_FUA, 1).await;
        assert_eq!(
            (result, seen.as_str()),
            (Ok(0), "zero 4096+512 fua=false keep=false, flush")
        );
        assert_eq!(
            ask(&witness, uapi::OP_DISCARD, 8).await,
            (Err(libc::EOPNOTSUPP), String::new())
        );
    }

    #[tokio::test]
    async fn kinds_become_errno() {
        for (kind, errno) in [
            (ErrorKind::NoSpace, libc::ENOSPC),
            (ErrorKind::Corrupt, libc::EILSEQ),
            (ErrorKind::Unavailable, libc::EIO),
        ] {
            let witness = Witness {
                error: Some(kind),
                ..Witness::default()
            };
            assert_eq!(ask(&witness, uapi::OP_WRITE, 1).await.0, Err(errno));
        }
    }
}
