//! From the open batch to a segment on the store.
//!
//! Segments are uploaded several at once. What counts as stored is a prefix without holes: the first hole is where the next
//! writer puts its tombstone, and nothing after it will be recovered.

use crate::LogError;
use crate::batch::Batch;
use crate::core::Core;
use crate::defect::Defect;
use crate::shelf::{Created, Series};
use crate::state::State;
use bytes::Bytes;
use restblk_format::log::{Entry, Kind, SegmentBuilder};
use restblk_types::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between the tries of an upload that may succeed later without anybody doing anything: a full store, an outage.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Seals the open batch and sends it on its way; returns the sequence up to which all is on its way. Nothing is
/// done where it is empty.
pub(crate) fn seal(core: &Arc<Core>, state: &mut State) -> u32 {
    if state.open.is_empty() {
        return state.next_sequence();
    }
    let sequence = state.next_sequence();
    let batch = Arc::new(std::mem::take(&mut state.open));
    state.sealed.push_back(batch.clone());
    let task_core = core.clone();
    core.tasks().spawn(async move {
        if let Err(error) = upload(&task_core, &batch, sequence).await {
            task_core.fail(error);
        }
    });
    sequence + 1
}

async fn upload(core: &Core, batch: &Batch, sequence: u32) -> Result<(), LogError> {
    if Defect::ReleasedEarly.is_made()
        && let Some(journal) = &core.journal
    {
        journal.release(batch.journal_end);
        journal.trim(true).await?;
    }
    let (number, codec) = {
        let state = core.state();
        (state.number(Kind::Log, sequence)?, state.codec)
    };
    let _turn = core.memory.packed.take(1).await;
    core.alive()?;
    let misses = core.misses.load(Ordering::Relaxed);
    let builder = batch
        .encode(|lines| core.begin(number, lines, codec).after_misses(misses))
        .journalled(batch.journal_end);
    core.misses.store(builder.misses(), Ordering::Relaxed);
    // Set once, here.
    let _ = batch.stored.set(store(core, builder, sequence).await?);
    let stored = core.state().stored();
    core.stored.send_if_modified(|known| {
        let grown = stored > *known;
        *known = stored.max(*known);
        grown
    });
    core.arrived.notify_one();
    Ok(())
}

/// Puts a segment on the store, and what was born in it into the host's cache; returns its lines.
pub(crate) async fn store(
    core: &Core,
    builder: SegmentBuilder,
    sequence: u32,
) -> Result<Vec<Entry>, LogError> {
    let number = builder.number();
    let (bytes, entries) = builder.finish(core.shelf.volume, core.epoch, sequence, core.nonce);
    let bytes = core.memory.spare().lend(bytes);
    let series = Series::Segments(number.kind(), core.epoch);
    create(core, series, sequence, bytes.clone()).await?;
    if let Some(birth) = core.birth(number) {
        core.frames.written(&birth, &bytes, &entries);
    }
    Ok(entries)
}

/// Creates an object of ours, however long it takes. Another writer's object in its place ends us.
pub(crate) async fn create(core: &Core, series: Series, number: u32, bytes: Bytes) -> Result<(), LogError> {
    let key = core.shelf.key(series, number);
    let mut pause = PAUSE;
    loop {
        match core.shelf.create(&key, bytes.clone(), &core.nonce).await {
            Ok(Created::Ours) => return Ok(()),
            Ok(Created::Theirs(_)) => return Err(LogError::fenced(key)),
            Err(error) if error.kind().is_transient() || error.kind() == ErrorKind::NoSpace => {
                tracing::warn!(%error, pause_s = pause.as_secs_f64(), "an upload is tried again");
                tokio::time::sleep(pause).await;
                core.alive()?;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Err(error) => return Err(error),
        }
    }
}
