//! The one task that changes the trees: it puts stored segments into the map, in order, and does what needs a checkpoint.
//!
//! When nothing is asked and nothing arrives for [`LINGER`], the open batch goes on its way, so that the store is never further behind
//! than that and what an upload takes. After [`IDLE`] of them the head follows, and then garbage is collected, until nothing is left to do. While
//! others write, a head is made and garbage looked for every so many segments (an eighth of what the volume has, at the most), or every
//! [`HEAD_AGE_MAX`]. Where there is more of it than there should be, every [`CROWDED`] segments: a go then empties twice as many as were written
//! meanwhile, each less than half alive, so that space is bounded however fast somebody writes.

use crate::batch::Batch;
use crate::children::{self, Child};
use crate::core::{Core, Which};
use crate::gc::{self, Swept};
use crate::snapshot::New;
use crate::state::State;
use crate::upload::seal;
use crate::{LogError, checkpoint, flatten, snapshot};
use restblk_format::log::{Kind, Tree};
use restblk_format::stream::{Moment, Receiving};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long a batch waits for company.
const LINGER: Duration = Duration::from_secs(1);
/// So many times nothing happened, before the head follows.
const IDLE: u32 = 10;

/// A head is made after so long at the latest where there is something for it, so that what is freed is freed while others write.
const HEAD_AGE_MAX: Duration = Duration::from_secs(30);

/// Segments between two heads while garbage waits to be collected: half of what is emptied in one go.
const CROWDED: u32 = 8;

/// What is asked of the task.
#[derive(Debug)]
pub(crate) enum Order {
    /// A checkpoint of all that is on the store by now.
    Checkpoint,
    /// A new capacity in bytes.
    Resize(u64),
    /// A snapshot of all that was written until the sequence; `exact`: and of nothing else, the map is held there.
    Snapshot { new: New, exact: bool },
    /// The volume has a part of a snapshot, of so many bytes.
    Receive { receiving: Box<Receiving>, size: u64 },
    /// It has all of it.
    Received(Box<Moment>),
    /// A snapshot's end.
    DeleteSnapshot(u64),
    /// Whether a snapshot may be deleted.
    Protect(u64, bool),
    /// A child on its snapshot's list.
    List(Child),
    /// Children that are gone come off the lists; answers how many.
    Reap,
    /// Refuses a flatten that could not be ended.
    CheckSnapshots,
    /// The end of a flatten, unless the volume was rolled back since so many rollbacks.
    Leave(u64),
    /// The volume becomes what the snapshot is.
    Rollback(u64),
    /// Moves what lives out of segments that are mostly dead; answers how many were emptied.
    Collect,
    /// A checkpoint, and the end of the task.
    Stop,
}

/// An order, up to where the log must be in the map before it, and whom to tell.
pub(crate) type Asked = (Order, u32, oneshot::Sender<Result<u64, LogError>>);

/// What the task does unasked.
#[derive(Debug)]
struct Unasked {
    /// Times that nothing happened.
    idle: u32,
    /// A head was made since garbage was looked for.
    unswept: bool,
    /// When the last head was made, as far as the task did so unasked.
    head_made: Instant,
    /// So many segments after it the next one is made.
    head_after: u32,
}

impl Unasked {
    fn after_head(head_after: u32) -> Self {
        Self {
            idle: 0,
            unswept: true,
            head_made: Instant::now(),
            head_after,
        }
    }
}

pub(crate) async fn run(core: Arc<Core>, mut orders: mpsc::UnboundedReceiver<Asked>) {
    // Soon: how much there is is not known yet.
    let mut unasked = Unasked::after_head(CROWDED.min(core.options.segments_per_checkpoint));
    loop {
        let arrived = core.arrived.notified();
        if let Err(error) = advance(&core, &mut unasked).await {
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
                if let Err(error) = rest(&core, &mut unasked).await {
                    core.fail(error);
                }
                continue;
            }
        };
        let Some((order, until, answer)) = asked else {
            return;
        };
        let stop = matches!(order, Order::Stop);
        let done = match reach(&core, until, &mut unasked).await {
            Ok(()) => carry_out(&core, order).await,
            Err(error) => Err(error),
        };
        unasked = Unasked::after_head(unasked.head_after);
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
        Order::Snapshot { new, exact } => {
            let made = snapshot::create(core, new).await;
            if exact {
                core.state().holds.pop_front();
                core.arrived.notify_one();
            }
            made
        }
        Order::Receive { receiving, size } => {
            checkpoint::checkpoint(core, |state| {
                state.head.size = size;
                state.head.receiving = Some(*receiving);
            })
            .await?;
            core.size.send_replace(size);
            Ok(0)
        }
        Order::Received(moment) => snapshot::create(core, New::received(*moment)).await,
        Order::DeleteSnapshot(id) => snapshot::delete(core, id).await.map(|()| 0),
        Order::Protect(id, protected) => snapshot::protect(core, id, protected).await.map(|()| 0),
        Order::Rollback(id) => rollback(core, id).await.map(|()| 0),
        Order::List(child) => children::list(core, child).await.map(|()| 0),
        Order::Reap => children::reap(core).await,
        Order::CheckSnapshots => flatten::check_snapshots(core, Tree::default()).await.map(|()| 0),
        Order::Leave(rollbacks) => flatten::leave(core, rollbacks).await.map(|()| 0),
        Order::Collect => {
            children::reap(core).await?;
            gc::collect(core).await
        }
    }
}

/// What the journal has is older than what the volume becomes: it must not be replayed upon it.
async fn rollback(core: &Core, id: u64) -> Result<(), LogError> {
    if let Some(journal) = &core.journal {
        journal.trim(true).await?;
    }
    let done = snapshot::rollback(core, id).await;
    core.state().rollbacks_ended += 1;
    done
}

/// One step of what is done while nothing else is.
async fn rest(core: &Arc<Core>, unasked: &mut Unasked) -> Result<(), LogError> {
    {
        let mut state = core.state();
        if !state.open.is_empty() {
            seal(core, &mut state);
            unasked.idle = 0;
            return Ok(());
        }
    }
    unasked.idle += 1;
    if unasked.idle < IDLE {
        return Ok(());
    }
    // Objects are deleted by the head after the one that lists them.
    let may_delete = !core.is_held() && !core.state().head.deletions.is_empty();
    if in_no_head(core) > 0 || may_delete {
        checkpoint::checkpoint(core, |_| {}).await?;
        unasked.unswept = true;
        unasked.head_made = Instant::now();
    } else if unasked.unswept {
        unasked.unswept = tidy(core).await?.emptied > 0;
    }
    Ok(())
}

/// Segments that are in the map and in no head.
fn in_no_head(core: &Core) -> u32 {
    let state = core.state();
    state.applied.saturating_sub(state.head.log_next)
}

/// After a checkpoint: what is not held any more is let go, and garbage collected.
async fn tidy(core: &Core) -> Result<Swept, LogError> {
    let keeps_hidden = {
        let state = core.state();
        state
            .head
            .snapshots
            .iter()
            .any(|snapshot| snapshot.name.is_none())
    };
    if keeps_hidden {
        children::reap(core).await?;
    }
    gc::sweep_if_due(core).await
}

/// Puts segments into the map until all before `until` are there.
async fn reach(core: &Core, until: u32, unasked: &mut Unasked) -> Result<(), LogError> {
    loop {
        let arrived = core.arrived.notified();
        advance(core, unasked).await?;
        core.alive()?;
        if core.state().applied >= until {
            return Ok(());
        }
        arrived.await;
    }
}

/// Puts what is on the store into the map.
async fn advance(core: &Core, unasked: &mut Unasked) -> Result<(), LogError> {
    core.shrink();
    while let Some(batch) = next(core) {
        put(core, &batch).await?;
        unasked.idle = 0;
        let is_due = in_no_head(core) >= unasked.head_after
            || unasked.head_made.elapsed() >= HEAD_AGE_MAX
            || core.wants_checkpoint();
        if is_due {
            checkpoint::checkpoint(core, |_| {}).await?;
            let swept = tidy(core).await?;
            let most = core.options.segments_per_checkpoint;
            let eighth = u32::try_from(swept.objects / 8).unwrap_or(most);
            *unasked = Unasked::after_head(
                if swept.emptied > 0 { CROWDED } else { eighth }.clamp(CROWDED.min(most), most),
            );
        }
    }
    Ok(())
}

/// The oldest batch, once it is on the store.
fn next(core: &Core) -> Option<Arc<Batch>> {
    let state = core.state();
    if state.holds.front().is_some_and(|hold| state.applied >= *hold) {
        return None;
    }
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
    if let Some(journal) = &core.journal {
        journal.release(batch.journal_end);
        journal.trim(false).await?;
    }
    Ok(())
}
