//! Ranges of a device that one request at a time has. Requests on ranges that overlap go in the order in which they came; others do
//! not wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub struct Ranges {
    queue: Mutex<Queue>,
    freed: Notify,
}

/// Who has a range or waits for it, in the order in which they came.
#[derive(Debug, Default)]
struct Queue {
    last: u64,
    /// Ticket, and the range from and to.
    all: Vec<(u64, u64, u64)>,
}

/// A range that is held, or stood in line for, until it is dropped.
#[derive(Debug)]
pub struct Range<'a> {
    ranges: &'a Ranges,
    ticket: u64,
}

impl Ranges {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody who came before has any byte of this range.
    pub async fn lock(&self, offset: u64, len: u64) -> Range<'_> {
        let (from, to) = (offset, offset.saturating_add(len));
        let range = {
            let mut queue = self.queue();
            queue.last += 1;
            let ticket = queue.last;
            queue.all.push((ticket, from, to));
            Range { ranges: self, ticket }
        };
        loop {
            let freed = self.freed.notified();
            let is_mine = {
                let queue = self.queue();
                let mut before = queue.all.iter().take_while(|one| one.0 != range.ticket);
                !before.any(|one| one.1 < to && from < one.2)
            };
            if is_mine {
                return range;
            }
            freed.await;
        }
    }
}

impl Drop for Range<'_> {
    fn drop(&mut self) {
        let mut queue = self.ranges.queue();
        queue.all.retain(|one| one.0 != self.ticket);
        let is_waited_for = !queue.all.is_empty();
        drop(queue);
        if is_waited_for {
            self.ranges.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn overlapping_ranges_wait_in_line_and_others_do_not() {
        let ranges = Ranges::default();
        let first = ranges.lock(0, 8).await;
        let mut second = Box::pin(ranges.lock(4, 8));
        assert!(second.as_mut().now_or_never().is_none());
        // Behind one who waits, though nobody has it yet.
        let mut third = Box::pin(ranges.lock(8, 8));
        assert!(third.as_mut().now_or_never().is_none());
        let apart = ranges.lock(16, 8).await;
        drop(first);
        let second = second.await;
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop((third.await, apart));
        assert!(ranges.queue().all.is_empty());
    }

    #[tokio::test]
    async fn one_that_gives_up_is_waited_for_no_more() {
        let ranges = Ranges::default();
        let first = ranges.lock(0, 8).await;
        let mut second = Box::pin(ranges.lock(0, 8));
        assert!(second.as_mut().now_or_never().is_none());
        let mut third = Box::pin(ranges.lock(0, 8));
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        drop(first);
        third.await;
    }
}
