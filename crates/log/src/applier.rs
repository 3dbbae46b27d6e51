//! The one task that changes the trees: it puts stored segments into the map, in order, and does what needs a checkpoint.
//!
//! When nothing is asked and nothing arrives for [`LINGER`], the open batch goes on its way, so that the store is never further behind
//! than that and what an upload takes. After [`IDLE`] of them the head follows, and then garbage is collected, until nothing is left to do.

use crate::batch::Batch;
use crate::core::{Core, Which};
use crate::state::State;
use crate::upload::seal;
use crate::{LogError, checkpoint, gc, snapshot};
use restblk_format::log::Kind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a batch waits for company.
const LINGER: Duration = Duration::from_secs(1);
/// So many times nothing happened, before the head follows.
const IDLE: u32 = 10;

/// What is asked of the task.
#[derive(Debug)]
pub(crate) enum Order {
    /// A checkpoint of all that is on the store by now.
    Checkpoint,
    /// A new capacity in bytes.
    Resize(u64),
    /// A snapshot of all that was written until the sequence.
    Snapshot { name: String, created_at: String },
    /// A snapshot's end.
    DeleteSnapshot(u64),
    /// Whether a snapshot may be deleted.
    Protect(u64, bool),
    /// The volume becomes what the snapshot is.
    Rollback(u64),
    /// Moves what lives out of segments that are mostly dead; answers how many were emptied.
    Collect,
    /// A checkpoint, and the end of the task.
    Stop,
}

/// An order, up to where the log must be in the map before it, and whom to tell.
pub(crate) type Asked = (Order, u32, oneshot::Sender<Result<u64, LogError>>);

/// How far the task is behind with what is not asked for.
#[derive(Debug, Default)]
struct Behind {
    /// Segments in the map and in no head.
    segments: u32,
    /// Times that nothing happened.
    idle: u32,
    /// A head was made since garbage was looked for.
    unswept: bool,
}

pub(crate) async fn run(core: Arc<Core>, mut orders: mpsc::UnboundedReceiver<Asked>) {
    let mut behind = Behind::default();
    loop {
        let arrived = core.arrived.notified();
        if let Err(error) = advance(&core, &mut behind).await {
            core.fail(error);
        }
        if core.alive().is_err() {
            break;
        }
        let asked = tokio::select! {
            biased;
            asked = orders.recv() => asked,
            () = arrived => continue,
            () = tokio::time::sleep(LINGER) => {
                if let Err(error) = rest(&core, &mut behind).await {
                    core.fail(error);
                }
                continue;
            }
        };
        let Some((order, until, answer)) = asked else {
            return;
        };
        let stop = matches!(order, Order::Stop);
        let done = match reach(&core, until, &mut behind).await {
            Ok(()) => carry_out(&core, order).await,
            Err(error) => Err(error),
        };
        behind = Behind {
            unswept: true,
            ..Behind::default()
        };
        if let Err(error) = &done
            && ends_the_volume(error)
        {
            core.fail(error.clone());
        }
        // Who asked may have gone.
        let _ = answer.send(done);
        if stop {
            return;
        }
    }
    // Nothing is done any more; whoever asks is told why.
    orders.close();
    while let Some((_, _, answer)) = orders.recv().await {
        let _ = answer.send(core.alive().map(|()| 0));
    }
}

/// An order that cannot be carried out is an answer; one that was cut off in the midst leaves trees and head apart.
fn ends_the_volume(error: &LogError) -> bool {
    use restblk_types::ErrorKind;
    !matches!(
        error.kind(),
        ErrorKind::Invalid
            | ErrorKind::Exists
            | ErrorKind::NotFound
            | ErrorKind::Busy
            | ErrorKind::Unsupported
    )
}

async fn carry_out(core: &Core, order: Order) -> Result<u64, LogError> {
    match order {
        Order::Checkpoint | Order::Stop => checkpoint::checkpoint(core, |_| {}).await.map(|()| 0),
        Order::Resize(size) => {
            checkpoint::checkpoint(core, |state| state.head.size = size).await?;
            core.size.send_replace(size);
            Ok(size)
        }
        Order::Snapshot { name, created_at } => snapshot::create(core, name, created_at).await,
        Order::DeleteSnapshot(id) => snapshot::delete(core, id).await.map(|()| 0),
        Order::Protect(id, protected) => snapshot::protect(core, id, protected).await.map(|()| 0),
        Order::Rollback(id) => rollback(core, id).await.map(|()| 0),
        Order::Collect => gc::collect(core).await,
    }
}

/// What the journal has is older than what the volume becomes: it must not be replayed upon it.
async fn rollback(core: &Core, id: u64) -> Result<(), LogError> {
    if let Some(journal) = &core.journal {
        journal.trim(true).await?;
    }
    snapshot::rollback(core, id).await
}

/// One step of what is done while nothing else is.
async fn rest(core: &Arc<Core>, behind: &mut Behind) -> Result<(), LogError> {
    {
        let mut state = core.state();
        if !state.open.is_empty() {
            seal(core, &mut state);
            behind.idle = 0;
            return Ok(());
        }
    }
    behind.idle += 1;
    if behind.idle < IDLE {
        return Ok(());
    }
    // Objects are deleted by the head after the one that lists them.
    if behind.segments > 0 || !core.state().head.deletions.is_empty() {
        checkpoint::checkpoint(core, |_| {}).await?;
        behind.segments = 0;
        behind.unswept = true;
    } else if behind.unswept {
        behind.unswept = gc::is_due(core).await? && gc::sweep(core).await? > 0;
    }
    Ok(())
}

/// Puts segments into the map until all before `until` are there.
async fn reach(core: &Core, until: u32, behind: &mut Behind) -> Result<(), LogError> {
    loop {
        let arrived = core.arrived.notified();
        advance(core, behind).await?;
        core.alive()?;
        if core.state().applied >= until {
            return Ok(());
        }
        arrived.await;
    }
}

/// Puts what is on the store into the map.
async fn advance(core: &Core, behind: &mut Behind) -> Result<(), LogError> {
    while let Some(batch) = next(core) {
        put(core, &batch).await?;
        behind.idle = 0;
        behind.segments += 1;
        if behind.segments >= core.options.segments_per_checkpoint {
            checkpoint::checkpoint(core, |_| {}).await?;
            behind.segments = 0;
            behind.unswept = true;
            if gc::is_due(core).await? {
                gc::sweep(core).await?;
            }
        }
    }
    Ok(())
}

/// The oldest batch, once it is on the store.
fn next(core: &Core) -> Option<Arc<Batch>> {
    let state = core.state();
    state
        .sealed
        .front()
        .filter(|batch| batch.stored.get().is_some())
        .cloned()
}

async fn put(core: &Core, batch: &Batch) -> Result<(), LogError> {
    let entries = batch.stored.get().map(Vec::as_slice).unwrap_or_default();
    let ranges: Vec<_> = State::blocks_of(entries).collect();
    core.load_ranges(Which::Map, &ranges).await?;
    {
        let mut state = core.state();
        let segment = state.number(Kind::Log, state.applied)?;
        // All pages are in memory, and nobody else lets them go.
        state
            .apply(segment, entries)
            .map_err(|page| LogError::bug(format!("apply {segment}: page {page:?} is missing")))?;
        state.sealed.pop_front();
        state.applied += 1;
        state.head.journal = state.head.journal.max(batch.journal_end);
    }
    core.room.add_permits(batch.blocks());
    if let Some(journal) = &core.journal {
        journal.release(batch.journal_end);
        journal.trim(false).await?;
    }
    Ok(())
}
