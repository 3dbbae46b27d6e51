//! An attached volume: reads, writes, flushes, and what else is asked of it.

use crate::ahead::Ahead;
use crate::applier::{self, Order};
use crate::batch::BLOCKS_MAX;
use crate::children::{self, Child};
use crate::clone::{self, Expected};
use crate::core::{Core, Hold};
use crate::defect::Defect;
use crate::flatten::{self, Progress};
use crate::journal::Found;
use crate::local::Local;
use crate::memory::Taken;
use crate::pieces;
use crate::receive::Claimed;
use crate::recover::{self, check_size};
use crate::runs;
use crate::snapshot::New;
use crate::state::{Source, State};
use crate::upload::seal;
use crate::usage::Traffic;
use crate::view::SnapshotView;
use crate::warm;
use crate::{Durability, LogError, Options, Writer};
use async_trait::async_trait;
use bytes::Bytes;
use restblk_block::{BlockDevice, BlockError, Features, Geometry, Span, WriteFlags, spans_of};
use restblk_format::log::{BLOCK, Codec, DataKey, Pointer, Snapshot};
use restblk_store::Store;
use restblk_types::{BlockSize, ErrorKind, VolumeId};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Reads that find their blocks overwritten under them, before that is held to be a fault.
const READS: usize = 64;

/// How long a writer waits for space in a full journal before it looks again.
const FULL_LOOK: Duration = Duration::from_millis(100);

/// Blocks of a hole that one record says.
const HOLE_MAX: u64 = u32::MAX as u64;

/// A volume of the log layout, attached: the one writer it has. Dropped without [`LogVolume::stop`], it is recovered by the
/// next attachment.
#[derive(Debug)]
pub struct LogVolume {
    pub(crate) core: Arc<Core>,
    pub(crate) orders: mpsc::UnboundedSender<applier::Asked>,
    applier: tokio::task::JoinHandle<()>,
    ahead: Mutex<Ahead>,
    pub(crate) claimed: Claimed,
}

impl LogVolume {
    /// Attaches a volume; whoever had it before is fenced. Must be called within a runtime.
    ///
    /// With a journal, what it has and the store has not comes back, unless another host has written since.
    pub async fn open(
        store: Arc<dyn Store>,
        volume: VolumeId,
        writer: Writer,
        options: Options,
        local: Local,
    ) -> Result<Self, LogError> {
        let (core, left) = recover::open(store, volume, writer, options, local).await?;
        let core = Arc::new(core);
        let (orders, asked) = mpsc::unbounded_channel();
        let applier = tokio::spawn(applier::run(core.clone(), asked));
        let opened = Self {
            core,
            orders,
            applier,
            ahead: Mutex::default(),
            claimed: Claimed::default(),
        };
        if let (Some(mut left), Some(journal)) = (left, &opened.core.journal) {
            while let Some(record) = left.next(journal)? {
                opened.replay(record).await?;
            }
        }
        Ok(opened)
    }

    /// Does again what the journal has.
    async fn replay(&self, record: Found) -> Result<(), LogError> {
        let blocks = record.first..record.first + u64::from(record.blocks);
        if record.data.is_empty() {
            self.punch(blocks, record.end);
            return Ok(());
        }
        let taken = self.room(record.blocks).await?;
        self.put(record.first, taken.charge(Bytes::from(record.data)), record.end);
        Ok(())
    }

    /// Makes everything durable and ends the attachment.
    pub async fn stop(&self) -> Result<(), LogError> {
        self.order(Order::Stop).await.map(drop)
    }

    /// Sets the capacity in bytes: larger at any time; smaller cuts off what is beyond.
    pub async fn resize(&self, size: u64) -> Result<(), LogError> {
        check_size(size)?;
        self.check_whole("resize the volume")?;
        let now = self.core.state().head.size;
        if size < now {
            let blocks = size / BLOCK as u64..now / BLOCK as u64;
            self.hole(blocks).await?;
        }
        self.order(Order::Resize(size)).await.map(drop)
    }

    /// Makes a snapshot of all that was written before; returns its id.
    pub async fn snapshot(&self, name: &str, created_at: &str) -> Result<u64, LogError> {
        let new = New::made(name, created_at);
        self.order(Order::Snapshot { new, exact: false }).await
    }

    /// All snapshots, oldest first; not those that are deleted and only held by clones.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let mut snapshots = self.core.state().head.snapshots.clone();
        snapshots.retain(|snapshot| snapshot.name.is_some());
        snapshots
    }

    /// Makes a new volume of a snapshot, which it reads from and which stays as long as it does. Three round trips, whatever
    /// the size (six where a store needs a flush for each object). Cut off, it can be done again by the same writer, or with another id.
    pub async fn clone_snapshot(&self, id: u64, child: VolumeId, writer: &Writer) -> Result<(), LogError> {
        let _expected = Expected::new(&self.core, child);
        let listed = Child {
            snapshot: id,
            volume: child,
        };
        if Defect::CreatedBeforeListed.is_made() {
            clone::create(&self.core, id, child, writer).await?;
            return self.order_now(Order::List(listed)).await.map(drop);
        }
        self.order_now(Order::List(listed)).await?;
        clone::create(&self.core, id, child, writer).await
    }

    /// The volumes that the snapshots list as their clones; [`Self::reap`] takes those off that are gone.
    #[must_use]
    pub fn children(&self) -> Vec<Child> {
        children::listed(&self.core.state().head)
    }

    /// Takes clones off the lists that were deleted, flattened or never made, and lets go what was kept for them alone; returns how
    /// many they were. A collection does it, too.
    pub async fn reap(&self) -> Result<u64, LogError> {
        self.order_now(Order::Reap).await
    }

    /// The volumes that this one was cloned from, the nearest first.
    #[must_use]
    pub fn ancestors(&self) -> Vec<VolumeId> {
        let state = self.core.state();
        state.head.lineage.iter().skip(1).map(|of| of.volume).collect()
    }

    /// Copies what is read from ancestors, and leaves them. Dropped, it stops, and can be gone on with later.
    /// `Busy` where snapshots read from ancestors.
    pub async fn flatten(&self, told: &mut (dyn FnMut(Progress) + Send)) -> Result<(), LogError> {
        if self.core.state().head.lineage.len() == 1 {
            return Ok(());
        }
        let rollbacks = flatten::rollbacks(&self.core.state())?;
        self.order(Order::CheckSnapshots).await?;
        flatten::copy(self, rollbacks, told).await?;
        self.order(Order::Leave(rollbacks)).await.map(drop)
    }

    /// Fills the host's cache with what the volume reads. Dropped, it stops. `Unsupported` where the host has none.
    pub async fn warm(&self, told: &mut (dyn FnMut(Progress) + Send)) -> Result<(), LogError> {
        warm::warm(&self.core, told).await
    }

    /// A snapshot, to be read while it is there.
    pub fn view(&self, id: u64) -> Result<SnapshotView, LogError> {
        SnapshotView::open(self.core.clone(), id)
    }

    /// Deletes a snapshot.
    pub async fn delete_snapshot(&self, id: u64) -> Result<(), LogError> {
        self.order(Order::DeleteSnapshot(id)).await.map(drop)
    }

    /// Guards a snapshot against its deletion, or ends that.
    pub async fn protect(&self, id: u64, protected: bool) -> Result<(), LogError> {
        self.order(Order::Protect(id, protected)).await.map(drop)
    }

    pub(crate) async fn roll_back(&self, id: u64) -> Result<(), LogError> {
        self.core.state().rollbacks_begun += 1;
        self.order(Order::Rollback(id)).await.map(drop)
    }

    /// Sets what flushes wait for from now on.
    pub fn set_durability(&self, durability: Durability) {
        self.core.set_durability(durability);
    }

    /// The volume's data key, where it is encrypted: a clone's is the same.
    #[must_use]
    pub fn key(&self) -> Option<DataKey> {
        self.core.shelf.key_of_data().cloned()
    }

    /// Sets how data is packed from now on.
    pub fn set_codec(&self, codec: Codec) {
        self.core.state().pack_by(codec);
    }

    /// Makes a checkpoint: a recovery starts from here.
    pub async fn checkpoint(&self) -> Result<(), LogError> {
        self.order(Order::Checkpoint).await.map(drop)
    }

    /// Keeps all objects that the volume's head reaches now, for one who reads beside it.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold::new(&self.core)
    }

    /// Moves what lives out of segments that are mostly dead, a bounded number of them; returns how many were emptied.
    pub async fn collect(&self) -> Result<u64, LogError> {
        self.order(Order::Collect).await
    }

    /// Asks the applier, once all that was written before is on its way.
    pub(crate) async fn order(&self, order: Order) -> Result<u64, LogError> {
        self.core.alive()?;
        let until = seal(&self.core, &mut self.core.state());
        self.ask(order, until).await
    }

    /// Asks the applier; what was written is not waited for.
    async fn order_now(&self, order: Order) -> Result<u64, LogError> {
        self.core.alive()?;
        self.ask(order, 0).await
    }

    async fn ask(&self, order: Order, until: u32) -> Result<u64, LogError> {
        let answered = self.send_order(order, until)?;
        self.answered(answered).await
    }

    /// Asks the applier; its answer comes when it does.
    pub(crate) fn send_order(
        &self,
        order: Order,
        until: u32,
    ) -> Result<oneshot::Receiver<Result<u64, LogError>>, LogError> {
        let (answer, answered) = oneshot::channel();
        self.orders
            .send((order, until, answer))
            .map_err(|_| self.gone())?;
        Ok(answered)
    }

    pub(crate) async fn answered(
        &self,
        answered: oneshot::Receiver<Result<u64, LogError>>,
    ) -> Result<u64, LogError> {
        match answered.await {
            Ok(done) => done,
            Err(_) => Err(self.gone()),
        }
    }

    /// Why nobody carries out orders any more.
    pub(crate) fn gone(&self) -> LogError {
        let ended = self.core.alive().err();
        ended.unwrap_or_else(|| LogError::bug("the volume's task has ended"))
    }

    pub(crate) async fn hole(&self, blocks: Range<u64>) -> Result<(), LogError> {
        let mut first = blocks.start;
        while first < blocks.end {
            let some = first..blocks.end.min(first + HOLE_MAX);
            first = some.end;
            let count = u32::try_from(some.end - some.start).unwrap_or(u32::MAX);
            self.journalled(some.start, count, &Bytes::new(), |end| {
                self.punch(some.clone(), end)
            })
            .await?;
        }
        Ok(())
    }

    pub(crate) async fn write_blocks(&self, first: u64, data: &[u8]) -> Result<(), LogError> {
        let mut first = first;
        Traffic::count(&self.core.shelf.traffic().written, data.len());
        for some in data.chunks(BLOCKS_MAX / 4 * BLOCK) {
            let blocks = u32::try_from(some.len() / BLOCK).unwrap_or(u32::MAX);
            let room = self.room(blocks).await?;
            // A copy: a transport's buffer may be larger than the request, and is wanted for the next one.
            let some = room.charge(Bytes::copy_from_slice(some));
            self.journalled(first, blocks, &some, |end| self.put(first, some.clone(), end))
                .await?;
            first += u64::from(blocks);
        }
        Ok(())
    }

    /// Writes a record into the journal, and has the open batch take it at once, so that both have the same order.
    async fn journalled(
        &self,
        first: u64,
        blocks: u32,
        data: &Bytes,
        take: impl Fn(u64),
    ) -> Result<(), LogError> {
        let Some(journal) = &self.core.journal else {
            take(0);
            return Ok(());
        };
        loop {
            self.core.alive()?;
            let freed = journal.freed.notified();
            let appended = {
                let mut ring = journal.ring();
                let appended = ring.append(first, blocks, data);
                if let Ok(Some(end)) = appended {
                    take(end);
                }
                appended
            };
            match appended {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(error) => {
                    self.core.fail(error.clone());
                    return Err(error);
                }
            }
            // What fills the journal may be waiting for company, or be let go and not written down.
            seal(&self.core, &mut self.core.state());
            journal
                .trim(true)
                .await
                .inspect_err(|error| self.core.fail(error.clone()))?;
            // Looked at again after a while, whatever happens.
            drop(tokio::time::timeout(FULL_LOOK, freed).await);
        }
    }

    /// Waits for room for blocks that are not in the map.
    pub(crate) async fn room(&self, blocks: u32) -> Result<Taken, LogError> {
        let unsent = &self.core.memory.unsent;
        let taken = match unsent.try_take(blocks as usize) {
            Some(taken) => Some(taken),
            None => {
                // What fills the room may be waiting for company.
                seal(&self.core, &mut self.core.state());
                unsent.take(blocks as usize).await
            }
        };
        self.core.alive()?;
        taken.ok_or_else(|| LogError::bug("no more room"))
    }

    /// Has the open batch take blocks whose record ends at `end`.
    fn put(&self, first: u64, data: Bytes, end: u64) {
        let mut state = self.core.state();
        if state.open.room() < data.len() / BLOCK {
            seal(&self.core, &mut state);
        }
        state.open.write(first, data);
        self.took(&mut state, end);
    }

    /// Has the open batch take a hole.
    fn punch(&self, blocks: Range<u64>, end: u64) {
        let mut state = self.core.state();
        state.open.punch(blocks);
        self.took(&mut state, end);
    }

    fn took(&self, state: &mut State, end: u64) {
        state.open.begun.get_or_insert_with(Instant::now);
        state.open.journal_end = end;
        state.journalled = end;
        if state.open.is_full() {
            seal(&self.core, state);
        }
    }

    async fn flush_all(&self) -> Result<(), LogError> {
        self.core.alive()?;
        if let Some(journal) = self.core.journal_to_sync() {
            let until = self.core.state().journalled;
            return journal
                .sync(until)
                .await
                .inspect_err(|error| self.core.fail(error.clone()));
        }
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

    /// Has what follows a reader in order read before it asks.
    fn read_ahead(&self, read: &Range<u64>) {
        let blocks = *self.core.size.borrow() / BLOCK as u64;
        let wanted = self
            .ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(read, blocks);
        let Some(wanted) = wanted else { return };
        let core = Arc::clone(&self.core);
        self.core.tasks().spawn(async move {
            let Ok(sources) = core.sources(wanted).await else {
                return;
            };
            let stored = sources.iter().filter_map(|source| match source {
                Source::Stored(pointer) if core.frames.kept(*pointer).is_none() => Some(pointer.frame()),
                _ => None,
            });
            let missing: Vec<Pointer> = stored.collect::<BTreeSet<_>>().into_iter().collect();
            // Whoever reads it is told what is wrong with it.
            if let Err(error) = runs::frames(&core, &missing).await {
                tracing::debug!(%error, "what was read ahead is not there");
            }
        });
    }

    async fn read_blocks(&self, blocks: Range<u64>) -> Result<Vec<Bytes>, LogError> {
        self.read_ahead(&blocks);
        let len = usize::try_from(blocks.end - blocks.start).unwrap_or(usize::MAX);
        Traffic::count(&self.core.shelf.traffic().read, len.saturating_mul(BLOCK));
        for _ in 0..READS {
            self.core.alive()?;
            let sources = self.core.sources(blocks.clone()).await?;
            if let Some(pieces) = pieces::of(&self.core, &sources, blocks.clone()).await? {
                return Ok(pieces);
            }
        }
        Err(LogError::corrupt(
            format!("blocks {blocks:?}"),
            "their segments are gone whenever they are looked for",
        ))
    }
}

impl LogVolume {
    /// Ends the volume's service: every request fails for this reason from now on. The first reason stays.
    pub fn fail(&self, kind: ErrorKind, reason: &str) {
        self.core
            .fail(LogError::new(kind, format!("serve the volume: {reason}")));
    }

    /// Why the volume was ended, if it was.
    #[must_use]
    pub fn failure(&self) -> Option<LogError> {
        self.core.alive().err()
    }

    /// Ends everything at once, whatever is under way.
    pub(crate) fn cut_off(&self) {
        self.applier.abort();
        self.core.tasks().abort_all();
        self.core.end(LogError::new(
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

/// Blocks that [`BlockDevice::spans`] looks at in one go: 1 GiB, for which the map has 2 MiB of pages at the most.
const SPANS_BLOCKS: u64 = 1 << 18;

/// The blocks of a range whose spans are told in one go.
pub(crate) fn blocks_to_look_at(offset: u64, len: u64) -> Range<u64> {
    let range = blocks(offset, len);
    range.start..range.end.min(range.start + SPANS_BLOCKS)
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
        let pieces = self.read_blocks(blocks(offset, buf.len() as u64)).await?;
        pieces::copy(&pieces, buf);
        Ok(())
    }

    async fn read_pieces(&self, offset: u64, len: usize) -> Result<Vec<Bytes>, BlockError> {
        Ok(self.read_blocks(blocks(offset, len as u64)).await?)
    }

    async fn spans(&self, offset: u64, len: u64) -> Result<Vec<Span>, BlockError> {
        self.core.alive()?;
        let range = blocks_to_look_at(offset, len);
        let written = self
            .core
            .with_pages(&range, |state| state.written(&range))
            .await?;
        Ok(spans_of(&written, BLOCK as u64))
    }

    async fn write(&self, offset: u64, data: &[u8], flags: WriteFlags) -> Result<(), BlockError> {
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
        Ok(self.hole(blocks(offset, len)).await?)
    }

    async fn write_zeroes(&self, offset: u64, len: u64, flags: WriteFlags) -> Result<(), BlockError> {
        self.hole(blocks(offset, len)).await?;
        if flags.fua {
            self.flush_all().await?;
        }
        Ok(())
    }
}
