//! Frames that lie side by side on the store are read in one request, and by one reader.
//!
//! What was written together lies together: a frame's place is in its pointer, so pointers in order are places in order. The frames that
//! a read misses are cut into runs of at most [`RUN_MAX`] bytes with at most [`GAP_MAX`] in between that nobody wants, and each run is one
//! ranged read. What was moved was moved together and in its order, so that holds wherever a segment's frames are now.
//!
//! Whoever misses a frame that somebody reads already, a reader ahead say, waits for that one. Each reads its own first, so none
//! waits for another in a circle.

use crate::LogError;
use crate::core::Core;
use crate::whole;
use futures_util::future::{join_all, try_join_all};
use restblk_format::log::{Frame, Pointer};
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Longest run, in bytes: twice the largest request that transports make, because 1 MiB of what does not pack is longer than that
/// in frames, and because what is read ahead is longer.
pub(crate) const RUN_MAX: u32 = 2 << 20;
/// Bytes between two frames that are read in vain: they take less time than one more request.
const GAP_MAX: u32 = 16 << 10;

/// Frames that are being read, or objects.
#[derive(Debug)]
pub(crate) struct Reading<T: Eq + Hash> {
    frames: Mutex<HashSet<T>>,
    ended: Notify,
}

impl<T: Eq + Hash> Default for Reading<T> {
    fn default() -> Self {
        Self {
            frames: Mutex::default(),
            ended: Notify::new(),
        }
    }
}

impl<T: Eq + Hash> Reading<T> {
    fn frames(&self) -> MutexGuard<'_, HashSet<T>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Eq + Hash + Clone> Reading<T> {
    /// Those of the frames that nobody reads: the caller does from now on.
    pub(crate) fn claim(&self, frames: &[T]) -> Claim<'_, T> {
        let mut reading = self.frames();
        let free = frames.iter().filter(|frame| reading.insert((*frame).clone()));
        Claim {
            frames: free.cloned().collect(),
            reading: self,
        }
    }

    /// Whether somebody reads the frame.
    pub(crate) fn has(&self, frame: &T) -> bool {
        self.frames().contains(frame)
    }

    /// Returns once nobody reads the frame.
    pub(crate) async fn wait(&self, frame: &T) {
        loop {
            let ended = self.ended.notified();
            if !self.has(frame) {
                return;
            }
            ended.await;
        }
    }
}

/// Frames that somebody reads, until it is dropped.
pub(crate) struct Claim<'a, T: Eq + Hash> {
    pub(crate) frames: Vec<T>,
    reading: &'a Reading<T>,
}

impl<T: Eq + Hash> Drop for Claim<'_, T> {
    fn drop(&mut self) {
        let mut reading = self.reading.frames();
        for frame in &self.frames {
            reading.remove(frame);
        }
        drop(reading);
        self.reading.ended.notify_waiters();
    }
}

/// The frames at these addresses, in their order; `None` for one that nothing reaches any more. The addresses rise.
pub(crate) async fn frames(core: &Core, missing: &[Pointer]) -> Result<Vec<Option<Arc<Frame>>>, LogError> {
    let claim = core.reading.claim(missing);
    let mut read = mine(core, &claim.frames).await?.into_iter();
    let mut mine = claim.frames.iter().copied().peekable();
    let mut found = Vec::with_capacity(missing.len());
    let mut theirs = Vec::new();
    for (at, frame) in missing.iter().enumerate() {
        if mine.next_if_eq(frame).is_some() {
            found.push(read.next().flatten());
        } else {
            theirs.push(at);
            found.push(None);
        }
    }
    drop(mine);
    drop(claim);
    for at in theirs {
        core.reading.wait(&missing[at]).await;
        found[at] = core.frame(missing[at]).await?;
    }
    Ok(found)
}

/// The frames at these addresses, which nobody else reads.
async fn mine(core: &Core, frames: &[Pointer]) -> Result<Vec<Option<Arc<Frame>>>, LogError> {
    let cached = frames.iter().map(|frame| core.cached(*frame));
    let mut found = join_all(cached).await;
    let pointers = |missing: &[usize]| -> Vec<Pointer> { missing.iter().map(|at| frames[*at]).collect() };
    let mut missing: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
    if !missing.is_empty() {
        whole::missed(core, &pointers(&missing)).await;
        missing.retain(|at| {
            found[*at] = core.frames.kept(frames[*at]);
            found[*at].is_none()
        });
    }
    let pointers = pointers(&missing);
    let runs = cut(&pointers, |pointer| *pointer, GAP_MAX);
    let read = try_join_all(runs.into_iter().map(|run| read_run(core, run))).await?;
    for (at, frame) in missing.into_iter().zip(read.into_iter().flatten()) {
        found[at] = frame;
    }
    Ok(found)
}

/// Cuts what is at addresses that rise into runs.
pub(crate) fn cut<T>(frames: &[T], at: impl Fn(&T) -> Pointer, gap_max: u32) -> Vec<&[T]> {
    let mut first = frames.first().map(&at);
    let goes_on = |before: &T, this: &T| {
        let (before, this, of) = (at(before), at(this), first.unwrap_or(at(before)));
        let goes_on = this.segment() == of.segment()
            && this.offset() > before.offset()
            && this.offset().saturating_sub(end(before)) <= gap_max
            && end(this) - of.offset() <= RUN_MAX;
        if !goes_on {
            first = Some(this);
        }
        goes_on
    };
    frames.chunk_by(goes_on).collect()
}

/// A frame's end by its pointer, whose length is rounded up: the next frame may begin before it.
fn end(frame: Pointer) -> u32 {
    frame.offset() + frame.len()
}

async fn read_run(core: &Core, run: &[Pointer]) -> Result<Vec<Option<Arc<Frame>>>, LogError> {
    if let [_, _, ..] = run
        && let Some(frames) = core.stored(run).await?
    {
        return Ok(frames.into_iter().map(Some).collect());
    }
    // One alone; or some of them were overwritten since they were looked up, and are gone: the others are not.
    try_join_all(run.iter().map(|frame| core.stored_frame(*frame))).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use restblk_format::log::{Kind, SegmentNumber};

    fn pointer(segment: u32, offset: u32, len: u32) -> Pointer {
        let segment = SegmentNumber::new(Kind::Log, segment).unwrap();
        Pointer::new(segment, offset, len, 0).unwrap()
    }

    #[test]
    fn runs_are_frames_of_one_segment_close_together_and_not_too_long() {
        let frames = [
            pointer(1, 64, 640),
            pointer(1, 704, 640),
            pointer(1, 1344 + GAP_MAX, 640),
            pointer(1, 1984 + 2 * GAP_MAX + 16, 640),
            pointer(2, 64, 640),
            pointer(2, 704, 64),
        ];
        let cut = |frames: &[Pointer]| -> Vec<usize> {
            let runs = super::cut(frames, |frame| *frame, GAP_MAX);
            runs.into_iter().map(<[Pointer]>::len).collect()
        };
        assert_eq!(cut(&frames), [3, 1, 2]);
        assert!(cut(&[]).is_empty());
        // As frames that do not pack lie: each begins at a multiple of 16, and is told to end at one of 64.
        let near: Vec<_> = (0..4).map(|at| pointer(1, 7264 + at * 32_848, 32_896)).collect();
        assert_eq!(cut(&near), [4]);
        let long: Vec<_> = (0..80).map(|at| pointer(1, at * 32_768, 32_768)).collect();
        assert_eq!(cut(&long), [64, 16]);
    }

    #[tokio::test]
    async fn who_comes_second_waits_for_the_first() {
        let reading = Reading::default();
        let frames = [pointer(1, 64, 64), pointer(1, 128, 64)];
        let first = reading.claim(&frames[..1]);
        let second = reading.claim(&frames);
        assert_eq!((first.frames.len(), second.frames.as_slice()), (1, &frames[1..]));
        let waits = reading.wait(&frames[0]);
        tokio::pin!(waits);
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        drop(first);
        waits.await;
        reading.wait(&frames[0]).await;
        drop(second);
        assert!(reading.frames().is_empty());
    }
}
