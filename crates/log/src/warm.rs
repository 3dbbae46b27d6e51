//! Fills the host's cache with all that a volume reads, before it is asked for.
//!
//! In the order of the blocks, some MiB at a time, and no faster than the cache's disk takes it: what it has already is not read again.

use crate::LogError;
use crate::core::Core;
use crate::flatten::Progress;
use crate::runs;
use restblk_cache::Cache;
use restblk_format::log::{BLOCK, Pointer};
use restblk_types::ErrorKind;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Blocks looked at in one go: 16 pages of the map, 8 MiB.
const LOOKED_AT: u64 = 2048;
/// Between looks whether the disk has caught up.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads all that is not in the cache. `Unsupported` where there is none.
pub(crate) async fn warm(core: &Core, told: &mut (dyn FnMut(Progress) + Send)) -> Result<(), LogError> {
    let Some(cache) = core.frames.cache.clone() else {
        let message = "warm the cache: this host has none; say where in its configuration ([cache] folder)";
        return Err(LogError::new(ErrorKind::Unsupported, message));
    };
    let blocks = core.state().head.size / BLOCK as u64;
    let mut copied = 0;
    for first in (0..blocks).step_by(LOOKED_AT.try_into().unwrap_or(usize::MAX)) {
        core.alive()?;
        let range = first..blocks.min(first + LOOKED_AT);
        let missing = missing(core, &cache, range.clone()).await?;
        let read = runs::frames(core, &missing).await?;
        copied += read
            .iter()
            .flatten()
            .map(|frame| (frame.plain.len() / BLOCK) as u64)
            .sum::<u64>();
        while cache.is_behind() {
            tokio::time::sleep(PAUSE).await;
        }
        told(Progress {
            done: range.end,
            blocks,
            copied,
        });
    }
    Ok(())
}

/// The frames of these blocks that the cache does not have.
async fn missing(core: &Core, cache: &Arc<Cache>, range: Range<u64>) -> Result<Vec<Pointer>, LogError> {
    let frames: BTreeSet<Pointer> = core
        .with_pages(&range, |state| {
            let mut frames = BTreeSet::new();
            state.map.numbers(range.clone(), &mut |_, bits| {
                frames.extend(Pointer::from_bits(bits).ok().flatten().map(Pointer::frame));
            });
            frames
        })
        .await?;
    let is_missing = |frame: &Pointer| {
        core.birth(frame.segment())
            .is_some_and(|birth| !cache.has(&birth.key(*frame)))
    };
    Ok(frames.into_iter().filter(is_missing).collect())
}
