//! An attached volume: reads, writes, flushes, and what else is asked of it.

use crate::applier::{self, Order};
use crate::batch::{BLOCKS_MAX, Known};
use crate::core::Core;
use crate::defect::Defect;
use crate::recover::{self, check_size};
use crate::state::Source;
use crate::upload::seal;
use crate::view::SnapshotView;
use crate::{LogError, Options, Writer};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use restblk_block::{BlockDevice, BlockError, Features, Geometry, WriteFlags};
use restblk_format::log::{BLOCK, Frame, FrameKind, Pointer, Snapshot};
use restblk_store::Store;
use restblk_types::{BlockSize, ErrorKind, VolumeId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Reads that find their blocks overwritten under them, before that is held to be a fault.
const READS: usize = 64;

/// A volume of the log layout, attached: the one writer it has. Dropped without [`LogVolume::stop`], it is recovered by the
/// next attachment.
#[derive(Debug)]
pub struct LogVolume {
    core: Arc<Core>,
    orders: mpsc::UnboundedSender<applier::Asked>,
    applier: tokio::task::JoinHandle<()>,
}

impl LogVolume {
    /// Attaches a volume; whoever had it before is fenced. Must be called within a runtime.
    pub async fn open(
        store: Arc<dyn Store>,
        volume: VolumeId,
        writer: Writer,
        options: Options,
    ) -> Result<Self, LogError> {
        let core = Arc::new(recover::open(store, volume, writer, options).await?);
        let (orders, asked) = mpsc::unbounded_channel();
        let applier = tokio::spawn(applier::run(core.clone(), asked));
        Ok(Self {
            core,
            orders,
            applier,
        })
    }

    /// Makes everything durable and ends the attachment.
    pub async fn stop(&self) -> Result<(), LogError> {
        self.order(Order::Stop).await.map(drop)
    }

    /// Sets the capacity in bytes: larger at any time; smaller cuts off what is beyond.
    pub async fn resize(&self, size: u64) -> Result<(), LogError> {
        check_size(size)?;
        let now = self.core.state().head.size;
        if size < now {
            let blocks = size / BLOCK as u64..now / BLOCK as u64;
            self.hole(blocks)?;
        }
        self.order(Order::Resize(size)).await.map(drop)
    }

    /// Makes a snapshot of all that was written before; returns its id.
    pub async fn snapshot(&self, name: &str, created_at: &str) -> Result<u64, LogError> {
        let (name, created_at) = (name.to_owned(), created_at.to_owned());
        self.order(Order::Snapshot { name, created_at }).await
    }

    /// All snapshots, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.core.state().head.snapshots.clone()
    }

    /// A snapshot, to be read while it is there.
    pub fn view(&self, id: u64) -> Result<SnapshotView, LogError> {
        SnapshotView::open(self.core.clone(), id)
    }

    /// Deletes a snapshot.
    pub async fn delete_snapshot(&self, id: u64) -> Result<(), LogError> {
        self.order(Order::DeleteSnapshot(id)).await.map(drop)
    }

    /// Makes the volume what the snapshot is. Nobody may be using it.
    pub async fn rollback(&self, id: u64) -> Result<(), LogError> {
        self.order(Order::Rollback(id)).await.map(drop)
    }

    /// Makes a checkpoint: a recovery starts from here.
    pub async fn checkpoint(&self) -> Result<(), LogError> {
        self.order(Order::Checkpoint).await.map(drop)
    }

    /// Moves what lives out of segments that are mostly dead, a bounded number of them; returns how many were emptied.
    pub async fn collect(&self) -> Result<u64, LogError> {
        self.order(Order::Collect).await
    }

    /// Asks the applier, once all that was written before is on its way.
    async fn order(&self, order: Order) -> Result<u64, LogError> {
        self.core.alive()?;
        let until = seal(&self.core, &mut self.core.state());
        let (answer, answered) = oneshot::channel();
        let gone = |_| {
            self.core
                .alive()
                .err()
                .unwrap_or_else(|| LogError::bug("the volume's task has ended"))
        };
        self.orders.send((order, until, answer)).map_err(|_| gone(()))?;
        match answered.await {
            Ok(done) => done,
            Err(_) => Err(gone(())),
        }
    }

    fn hole(&self, blocks: Range<u64>) -> Result<(), LogError> {
        self.core.alive()?;
        let mut state = self.core.state();
        let covered = state.open.punch(blocks);
        self.core.room.add_permits(covered);
        if state.open.is_full() {
            seal(&self.core, &mut state);
        }
        Ok(())
    }

    async fn write_blocks(&self, first: u64, data: Bytes) -> Result<(), LogError> {
        let (mut first, mut data) = (first, data);
        while !data.is_empty() {
            let some = data.split_to(data.len().min(BLOCKS_MAX / 4 * BLOCK));
            let blocks = u32::try_from(some.len() / BLOCK).unwrap_or(u32::MAX);
            let room = match self.core.room.try_acquire_many(blocks) {
                Ok(room) => room,
                Err(_) => {
                    // What fills the room may be waiting for company.
                    seal(&self.core, &mut self.core.state());
                    let room = self.core.room.acquire_many(blocks).await;
                    let closed = |_| {
                        self.core
                            .alive()
                            .err()
                            .unwrap_or_else(|| LogError::bug("no more room"))
                    };
                    room.map_err(closed)?
                }
            };
            self.core.alive()?;
            room.forget();
            let mut state = self.core.state();
            if state.open.room() < blocks as usize {
                seal(&self.core, &mut state);
            }
            let again = state.open.write(first, some);
            self.core.room.add_permits(again);
            if state.open.is_full() {
                seal(&self.core, &mut state);
            }
            first += u64::from(blocks);
        }
        Ok(())
    }

    async fn flush_all(&self) -> Result<(), LogError> {
        self.core.alive()?;
        let until = seal(&self.core, &mut self.core.state());
        if Defect::FlushDoesNotWait.is_made() {
            return Ok(());
        }
        let mut stored = self.core.stored.subscribe();
        // The sender lives as long as we do.
        let _ = stored
            .wait_for(|stored| *stored >= until || self.core.alive().is_err())
            .await;
        self.core.alive()
    }

    async fn read_blocks(&self, blocks: Range<u64>, buf: &mut [u8]) -> Result<(), LogError> {
        for _ in 0..READS {
            self.core.alive()?;
            let sources = self.core.sources(blocks.clone()).await?;
            if fill(&self.core, &sources, blocks.start, buf).await? {
                return Ok(());
            }
        }
        Err(LogError::corrupt(
            format!("blocks {blocks:?}"),
            "their segments are gone whenever they are looked for",
        ))
    }
}

/// Fills `buf` with the bytes of blocks; false where some of them are nowhere any more: look again.
pub(crate) async fn fill(
    core: &Core,
    sources: &[Source],
    first: u64,
    buf: &mut [u8],
) -> Result<bool, LogError> {
    let mut wanted: HashMap<Pointer, Option<Arc<Frame>>> = HashMap::new();
    for source in sources {
        if let Source::Stored(pointer) = source {
            wanted.insert(pointer.frame(), core.frames.kept(*pointer));
        }
    }
    let missing: Vec<Pointer> = wanted
        .iter()
        .filter(|(_, frame)| frame.is_none())
        .map(|(pointer, _)| *pointer)
        .collect();
    let fetched = try_join_all(missing.iter().map(|pointer| core.frame(*pointer))).await?;
    for (pointer, frame) in missing.into_iter().zip(fetched) {
        let Some(frame) = frame else { return Ok(false) };
        wanted.insert(pointer, Some(frame));
    }
    for (block, (source, to)) in (first..).zip(sources.iter().zip(buf.as_chunks_mut::<BLOCK>().0)) {
        match source {
            Source::Known(Known::Data(data)) => to.copy_from_slice(data),
            Source::Known(Known::Hole) => to.fill(0),
            Source::Stored(pointer) => {
                let Some(Some(frame)) = wanted.get(&pointer.frame()) else {
                    return Ok(false);
                };
                let at = usize::from(pointer.index());
                let there = frame.plain.get(at * BLOCK..(at + 1) * BLOCK);
                let (Some(from), true, true) = (
                    there,
                    frame.kind == FrameKind::Data,
                    frame.first + at as u64 == block,
                ) else {
                    return Err(LogError::corrupt(
                        *pointer,
                        format!("it does not hold block {block}"),
                    ));
                };
                to.copy_from_slice(from);
            }
        }
    }
    Ok(true)
}

impl LogVolume {
    /// Ends everything at once, whatever is under way.
    pub(crate) fn cut_off(&self) {
        self.applier.abort();
        self.core.tasks().abort_all();
        self.core.fail(LogError::new(
            ErrorKind::Unavailable,
            "use the volume: its attachment has ended",
        ));
    }
}

impl Drop for LogVolume {
    fn drop(&mut self) {
        self.cut_off();
    }
}

pub(crate) fn blocks(offset: u64, len: u64) -> Range<u64> {
    let block = BLOCK as u64;
    offset / block..(offset + len) / block
}

#[async_trait]
impl BlockDevice for LogVolume {
    fn geometry(&self) -> Geometry {
        Geometry {
            size: *self.core.size.borrow(),
            block_size: BlockSize::B4096,
            io_size_optimal: 32 << 10,
            features: Features {
                volatile_cache: true,
                fua: false,
                discard: true,
                write_zeroes: true,
                read_only: false,
            },
        }
    }

    fn watch_size(&self) -> watch::Receiver<u64> {
        self.core.size.subscribe()
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        Ok(self.read_blocks(blocks(offset, buf.len() as u64), buf).await?)
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
        self.write_bytes(offset, Bytes::copy_from_slice(data), flags)
            .await
    }

    async fn write_bytes(&self, offset: u64, data: Bytes, flags: WriteFlags) -> Result<(), BlockError> {
        self.write_blocks(offset / BLOCK as u64, data).await?;
        if flags.fua {
            self.flush_all().await?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), BlockError> {
        Ok(self.flush_all().await?)
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), BlockError> {
        Ok(self.hole(blocks(offset, len))?)
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.hole(blocks(offset, len))?;
        if flags.fua {
            self.flush_all().await?;
        }
        Ok(())
    }
}
