//! A waker between two futures that are polled together and the task that polls them.
//!
//! The two wake each other while they are polled. Passed on to the task, each such wake would have the runtime queue the
//! task again and wake another thread to look for work. So wakes during a poll only make the poll go round once more, and
//! wakes at any other time reach the task.

use futures_util::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Rounds in one poll, at most; then the runtime has its turn.
const ROUNDS_MAX: u32 = 16;

const IDLE: u8 = 0;
const POLLING: u8 = 1;
const WOKEN: u8 = 2;

#[derive(Debug)]
struct Shared {
    task: AtomicWaker,
    state: AtomicU8,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self
            .state
            .compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire)
            == Err(IDLE)
        {
            self.task.wake();
        }
    }
}

/// The waker of one connection.
#[derive(Debug)]
pub(super) struct Relay {
    shared: Arc<Shared>,
    waker: Waker,
}

impl Relay {
    pub(super) fn new() -> Self {
        let shared = Arc::new(Shared {
            task: AtomicWaker::new(),
            state: AtomicU8::new(IDLE),
        });
        Self {
            waker: Waker::from(Arc::clone(&shared)),
            shared,
        }
    }

    /// Does what may wake the futures just before they are polled anyway; such wakes do not reach the task. Without it a
    /// task that is running would be queued once more, and another thread be woken to take it.
    pub(super) fn before_poll<T>(&self, what: impl FnOnce() -> T) -> T {
        self.shared.state.store(POLLING, Ordering::Release);
        let done = what();
        self.shared.state.store(IDLE, Ordering::Release);
        done
    }

    /// Polls until it is ready or nothing in it has woken anything. Wakes from then on reach the task of `cx`.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            self.shared.state.store(POLLING, Ordering::Release);
            let polled = poll(&mut Context::from_waker(&self.waker));
            let woken = self.shared.state.swap(IDLE, Ordering::AcqRel) == WOKEN;
            if polled.is_ready() || !woken {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wakes_within_a_poll_stay_there_and_later_ones_get_through() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let relay = Relay::new();
        let (mut rounds, mut kept) = (0, None);
        let polled: Poll<()> = relay.poll(&mut cx, |cx| {
            rounds += 1;
            kept = Some(cx.waker().clone());
            if rounds < 3 {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((rounds, count.0.load(Ordering::SeqCst)), (3, 0));
        let kept_waker: Waker = kept.unwrap();
        kept_waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        relay.before_poll(|| kept_waker.wake_by_ref());
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "a poll follows");
        // One that never rests gives way.
        let polled: Poll<()> = relay.poll(&mut cx, |cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(polled.is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
    }
}
