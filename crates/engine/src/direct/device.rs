//! A direct volume as a block device.

use super::{
    flusher::Flusher,
    lanes::{Lanes, Part},
    split::parts,
};
use crate::{Repository, flush::flush, names};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use restblk_block::{BlockDevice, BlockError, Features, Geometry, WriteFlags};
use restblk_format::VolumeRecord;
use restblk_store::{Capabilities, Durability, Instance, Key, Payload, Store, StoreError};
use restblk_types::{BlockSize, ErrorKind};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Bytes of zeros that are shared by all writes of zeros.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// How a direct volume uses its store.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Requests in flight at the most.
    pub lanes: usize,
    /// Longest part of a request, in bytes: a power of two. Longer requests go out as parallel parts.
    pub part_len: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        // 32 lanes: as many as the queue depth at which one HTTP server of two cores is saturated (docs/performance.md).
        // 1 MiB: the largest request of every transport's kernel side, and of the smallest CDMI store known
        // (`value_transfer_maxsize` of the scality dialect).
        Self {
            lanes: 32,
            part_len: 1 << 20,
        }
    }
}

/// A direct volume, open.
#[derive(Debug)]
pub struct DirectDevice {
    name: String,
    key: Key,
    store: Arc<dyn Store>,
    lanes: Arc<Lanes>,
    flusher: Arc<Flusher>,
    part_len: u64,
    block_size: BlockSize,
    features: Features,
    size: watch::Sender<u64>,
    failed: OnceLock<BlockError>,
}

impl DirectDevice {
    /// Opens the volume of this record, whose bytes go through `store`: the repository's, perhaps with another patience.
    /// Refuses one whose object is shorter than it says: bytes are missing.
    pub async fn open(
        repository: &Repository,
        store: Arc<dyn Store>,
        record: &VolumeRecord,
        read_only: bool,
        tuning: Tuning,
    ) -> Result<Self, crate::EngineError> {
        let key = names::data(&record.name);
        let found = repository.store.head(&key).await?;
        let full = repository.full(&record.name);
        repository.check_in_place(&format!("open {full}: its file {key}"), &found)?;
        let is = found.size;
        if is < record.size {
            return Err(crate::EngineError::refused(
                ErrorKind::Corrupt,
                format!(
                    "open {full}: its file {key} at {} has {is} of {} bytes: something cut it; restore the file, or extend it with zeros by hand",
                    store.location(),
                    record.size
                ),
            ));
        }
        let can = repository.capabilities();
        let flusher = Arc::<Flusher>::default();
        let part_len = part_len(can, tuning, record.block_size);
        Ok(Self {
            name: full,
            lanes: Lanes::new(
                Arc::clone(&store),
                key.clone(),
                tuning.lanes.max(1),
                part_len,
                Arc::clone(&flusher),
            ),
            flusher,
            part_len,
            block_size: record.block_size,
            features: Features {
                volatile_cache: can.durability != Durability::OnWrite,
                fua: can.durable_write || can.durability == Durability::OnWrite,
                discard: can.punch,
                write_zeroes: can.punch,
                read_only,
            },
            size: watch::Sender::new(record.size),
            failed: OnceLock::new(),
            store,
            key,
        })
    }

    /// The volume has a new size, larger than before.
    pub fn grown(&self, size: u64) {
        self.size.send_if_modified(|now| {
            let larger = size > *now;
            *now = size.max(*now);
            larger
        });
    }

    /// Ends the device: every later request fails for this reason. The first reason stays.
    pub fn fail(&self, kind: ErrorKind, reason: &str) {
        let message = format!("serve {}: {reason}", self.name);
        if self.failed.set(BlockError::new(kind, message)).is_ok() {
            tracing::error!(volume = %self.name, %kind, reason, "the volume is stopped: every request fails from now on");
        }
    }

    /// Why the device was ended, if it was.
    pub fn failure(&self) -> Option<&BlockError> {
        self.failed.get()
    }

    fn alive(&self) -> Result<(), BlockError> {
        self.failed.get().map_or(Ok(()), |e| Err(e.clone()))
    }

    /// An error of the store as the device's user gets it; one that cannot be overcome by waiting is logged.
    fn report(&self, error: StoreError) -> BlockError {
        if error.kind() == ErrorKind::Fenced {
            self.fail(
                error.kind(),
                &format!("{error}; another host has taken the volume: detach it here"),
            );
        }
        tracing::warn!(volume = %self.name, kind = %error.kind(), %error, "a request failed");
        BlockError::new(error.kind(), error.to_string())
    }

    /// The bytes from the store, a payload for each part.
    async fn fetch(&self, offset: u64, len: u64) -> Result<Vec<Payload>, BlockError> {
        self.alive()?;
        let mut cut = parts(offset, len, self.part_len);
        let read = |part| self.lanes.run(Part::Read(part));
        let payloads = match (cut.next(), cut.next()) {
            (Some(only), None) => read(only).await.map(|payload| vec![payload]),
            (first, second) => try_join_all(first.into_iter().chain(second).chain(cut).map(read)).await,
        };
        payloads.map_err(|e| self.report(e))
    }

    async fn write_parts(&self, offset: u64, data: Bytes, durable: bool) -> Result<(), BlockError> {
        let durable = durable && self.features.fua;
        let one = |part: restblk_types::Extent| {
            let start = usize::try_from(part.offset() - offset).unwrap_or(usize::MAX);
            let end = usize::try_from(part.end() - offset).unwrap_or(usize::MAX);
            self.lanes.run(Part::Write {
                offset: part.offset(),
                data: data.slice(start..end),
                durable,
            })
        };
        let mut cut = parts(offset, data.len() as u64, self.part_len);
        let answer = match (cut.next(), cut.next()) {
            (Some(only), None) => one(only).await.map(|_| ()),
            (Some(first), Some(second)) => try_join_all([first, second].into_iter().chain(cut).map(one))
                .await
                .map(|_| ()),
            _ => Ok(()),
        };
        answer.map_err(|e| self.report(e))?;
        // Fenced while it was on its way: it may have landed on what the new holder wrote, and must not count.
        self.alive()
    }

    async fn flush_now(&self) -> Result<(), BlockError> {
        let flush = |took: Vec<Instance>| async move { flush(&*self.store, &self.key, &took).await };
        match self.flusher.flush(flush).await {
            Ok(()) => self.alive(),
            // The store was not reached: it still has what it acknowledged, and a later flush can cover it.
            Err(e) if e.kind().is_transient() => Err(self.report(e)),
            Err(e) => {
                self.fail(e.kind(), &format!("a flush failed, so written data may be lost: {e}; detach, check the store, attach again and run fsck"));
                Err(self.report(e))
            }
        }
    }
}

fn not_all_there() -> BlockError {
    BlockError::new(ErrorKind::Bug, "read: parts do not add up to the request")
}

fn part_len(can: &Capabilities, tuning: Tuning, block_size: BlockSize) -> u64 {
    let most = can
        .range_len_max
        .min(tuning.part_len)
        .max(u64::from(block_size.bytes()));
    // The largest power of two that is not above it.
    1 << most.ilog2()
}

#[async_trait]
impl BlockDevice for DirectDevice {
    fn geometry(&self) -> Geometry {
        Geometry {
            size: *self.size.borrow(),
            block_size: self.block_size,
            // One request to the store costs about as much for 64 KiB as for 4 KiB.
            io_size_optimal: 64 << 10,
            features: self.features,
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let mut rest = buf;
        for payload in self.fetch(offset, rest.len() as u64).await? {
            let (here, after) = rest.split_at_mut(payload.len().min(rest.len()));
            if !payload.copy_to(here) {
                return Err(not_all_there());
            }
            rest = after;
        }
        Ok(())
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        let payloads = self.fetch(offset, len as u64).await?;
        if payloads.iter().map(Payload::len).sum::<usize>() != len {
            return Err(not_all_there());
        }
        Ok(payloads.into_iter().flat_map(Payload::into_parts).collect())
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.write_bytes(offset, Bytes::copy_from_slice(data), flags)
            .await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        self.alive()?;
        self.write_parts(offset, data, flags.fua).await?;
        if flags.fua && !self.features.fua {
            self.flush_now().await
        } else {
            Ok(())
        }
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.alive()?;
        self.flush_now().await
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        self.alive()?;
        if !self.features.discard {
            return Err(BlockError::new(
                ErrorKind::Unsupported,
                "discard: the store cannot free a range",
            ));
        }
        let Some(range) = restblk_types::Extent::new(offset, len) else {
            return Ok(());
        };
        let answer = self.store.punch(&self.key, range).await;
        self.flusher.changed(answer.as_ref().ok().copied().flatten());
        answer.map_err(|e| self.report(e))?;
        self.alive()
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        if self.features.write_zeroes && !flags.no_unmap {
            self.discard(offset, len).await?;
        } else {
            self.alive()?;
            // A few parts at a time: a request may cover the whole volume.
            let window = self.part_len.saturating_mul(8);
            for stretch in parts(offset, len, window) {
                let zeros = parts(
                    stretch.offset(),
                    stretch.len(),
                    self.part_len.min(ZEROS.len() as u64),
                )
                .map(|part| {
                    let len = usize::try_from(part.len()).unwrap_or(ZEROS.len());
                    self.write_parts(part.offset(), Bytes::from_static(&ZEROS[..len]), false)
                });
                try_join_all(zeros).await?;
            }
        }
        if flags.fua { self.flush_now().await } else { Ok(()) }
    }
}
