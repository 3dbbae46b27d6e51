//! The copy from the old side to the new one, beside the volume's users.
//!
//! Step by step from the start: a step's range is the copy's alone meanwhile, and below the cursor afterwards. To a new side that is
//! empty only what is not zero is written; one that an earlier copy left is compared. Memory is bounded by two steps.

use super::mirror::Mirror;
use futures_util::future::try_join_all;
use restblk_block::{BlockDevice, BlockError, Limiter, WriteFlags};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Bytes of a step: a writer waits for one at the most.
const STEP: u64 = 1 << 20;
/// Bytes of a request: so many of a step are under way at once.
const PIECE: u64 = 256 << 10;
/// What is written is told apart in blocks of this many bytes, those of the log layout.
const BLOCK: usize = 4096;
/// While the volume is used, a step is followed by a pause of so many times its own length.
const PAUSE_FACTOR: u32 = 3;
/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How far a conversion has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were looked at.
    pub done: u64,
    /// Bytes of the volume.
    pub size: u64,
    /// Bytes that were written to the new side.
    pub copied: u64,
}

/// Copies all. An error of the new side breaks the mirror; one of the old side is returned.
pub(super) async fn copy(
    mirror: &Arc<Mirror>,
    is_empty: bool,
    limiter: &Limiter,
    told: &(dyn Fn(Progress) + Sync),
) -> Result<(), BlockError> {
    let size = mirror.old.device().geometry().size;
    let mut progress = Progress {
        size,
        ..Progress::default()
    };
    let mut requests = mirror.requests();
    while progress.done < size {
        mirror.whole()?;
        let len = STEP.min(size - progress.done);
        limiter.pass(len).await;
        let begun = Instant::now();
        progress.copied += step(mirror, is_empty, progress.done, len).await?;
        progress.done += len;
        told(progress);
        let now = mirror.requests();
        if std::mem::replace(&mut requests, now) != now {
            sleep((begun.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX)).await;
        }
    }
    mirror.whole()
}

/// Copies a range; returns how many bytes had to be written.
async fn step(mirror: &Arc<Mirror>, is_empty: bool, offset: u64, len: u64) -> Result<u64, BlockError> {
    let _mine = mirror.ranges.lock(offset, len).await;
    let end = offset + len;
    let starts = (offset..end).step_by(usize::try_from(PIECE).unwrap_or(usize::MAX));
    let pieces = starts.map(|at| piece(mirror, is_empty, at, PIECE.min(end - at)));
    let copied = try_join_all(pieces).await?;
    mirror.advance(end);
    Ok(copied.into_iter().sum())
}

async fn piece(mirror: &Mirror, is_empty: bool, offset: u64, len: u64) -> Result<u64, BlockError> {
    let mut wanted = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    mirror.old.device().read(offset, &mut wanted).await?;
    match bring(&**mirror.new.device(), is_empty, offset, &wanted).await {
        Ok(copied) => Ok(copied),
        Err(error) => {
            mirror.lose("copy to the new layout", &error);
            Err(error)
        }
    }
}

/// Has these bytes on a device, writing what differs.
async fn bring(
    device: &dyn BlockDevice,
    is_empty: bool,
    offset: u64,
    wanted: &[u8],
) -> Result<u64, BlockError> {
    let mut found = Vec::new();
    if !is_empty {
        found.resize(wanted.len(), 0);
        device.read(offset, &mut found).await?;
    }
    let mut copied = 0;
    for (start, end) in differing(wanted, &found) {
        let (at, run) = (offset + start as u64, &wanted[start..end]);
        if is_zero(run) {
            device
                .write_zeroes(at, run.len() as u64, WriteFlags::default())
                .await?;
        } else {
            device.write(at, run, WriteFlags::default()).await?;
        }
        copied += run.len() as u64;
    }
    Ok(copied)
}

/// The runs of blocks that are not what was found, zeros where nothing was looked for. A run is all zeros, or has none that are.
fn differing(wanted: &[u8], found: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut last_is_zero = false;
    for (number, block) in wanted.chunks(BLOCK).enumerate() {
        let start = number * BLOCK;
        let end = start + block.len();
        let is_zero = is_zero(block);
        let is_same = found.get(start..end).map_or(is_zero, |found| found == block);
        if is_same {
            continue;
        }
        match runs.last_mut() {
            Some((_, last)) if *last == start && last_is_zero == is_zero => *last = end,
            _ => runs.push((start, end)),
        }
        last_is_zero = is_zero;
    }
    runs
}

fn is_zero(bytes: &[u8]) -> bool {
    // Sixteen at a time: what a compiler makes of single bytes is ten times slower where it does not optimise.
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_of_what_differs_and_zeros_apart() {
        let blocks = |bytes: &[u8]| -> Vec<u8> { bytes.iter().flat_map(|byte| [*byte; BLOCK]).collect() };
        let in_blocks = |wanted: &[u8], found: &[u8]| -> Vec<(usize, usize)> {
            let runs = differing(&blocks(wanted), &blocks(found));
            runs.iter()
                .map(|(start, end)| (start / BLOCK, end / BLOCK))
                .collect()
        };
        assert_eq!(in_blocks(&[0, 1, 2, 0, 3], &[]), [(1, 3), (4, 5)]);
        assert_eq!(in_blocks(&[0, 0], &[]), []);
        assert_eq!(
            in_blocks(&[1, 2, 0, 0, 5], &[1, 3, 3, 0, 4]),
            [(1, 2), (2, 3), (4, 5)]
        );
        assert_eq!(in_blocks(&[0, 0, 7], &[1, 1, 1]), [(0, 2), (2, 3)]);
    }
}
