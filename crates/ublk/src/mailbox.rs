//! Answers on their way from the engine's threads to a queue's thread.
//!
//! Any thread posts; the queue's thread, asleep in its ring, is woken by an eventfd that the ring polls. Only the post
//! into an empty box writes the eventfd, so one wake-up carries all answers that arrive until the box is emptied.
//! No wake-up is lost: the box is emptied under the lock that posts take, so a post after that finds it empty and
//! writes again. No allocation after the start: the box and the queue's own list swap, each of the queue's depth.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The engine answered: bytes, 0, or a negative errno.
    Answered(i32),
    /// The engine panicked.
    Panicked,
    /// The task was dropped before its end: aborted by us, or its runtime has gone.
    Dropped,
}

/// The answer to the request of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) tag: u16,
    pub(crate) outcome: Outcome,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Mailbox {
    answers: Mutex<Vec<Answer>>,
    event: EventFd,
}

impl Mailbox {
    /// For a queue of `depth` tags.
    pub(crate) fn new(depth: u16) -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self {
            answers: Mutex::new(Vec::with_capacity(depth.into())),
            event,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        // Nothing panics while holding it; if something did, the list would still be whole.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves an answer and wakes the queue if it does not know of any yet.
    pub(crate) fn post(&self, answer: Answer) {
        let was_empty = {
            let mut answers = self.lock();
            answers.push(answer);
            answers.len() == 1
        };
        if was_empty {
            self.wake();
        }
    }

    /// Wakes the queue.
    pub(crate) fn wake(&self) {
        // Fails only when 2^64-2 wake-ups are pending, and then the queue is awake.
        let _ = self.event.write(1);
    }

    /// Takes all answers; `into` must be empty.
    pub(crate) fn take(&self, into: &mut Vec<Answer>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    /// Forgets the wake-ups so far. Called before [`Self::take`], so that none is forgotten unseen.
    pub(crate) fn acknowledge(&self) {
        let _ = self.event.read(); // EAGAIN: there was none
    }

    /// What the ring polls.
    pub(crate) fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::{os::fd::BorrowedFd, sync::Arc};

    fn readable(mailbox: &Mailbox, wait_ms: u16) -> bool {
        // SAFETY: the mailbox keeps the descriptor open during the call.
        let fd = unsafe { BorrowedFd::borrow_raw(mailbox.event_fd()) };
        poll(
            &mut [PollFd::new(fd, PollFlags::POLLIN)],
            PollTimeout::from(wait_ms),
        )
        .unwrap()
            == 1
    }

    #[test]
    fn many_answers_make_one_wake_up() {
        let mailbox = Mailbox::new(8).unwrap();
        for tag in 0..8 {
            mailbox.post(Answer {
                tag,
                outcome: Outcome::Answered(512),
            });
        }
        assert_eq!(mailbox.event.read(), Ok(1));
        let mut got = Vec::new();
        mailbox.take(&mut got);
        assert_eq!(
            got.iter().map(|a| a.tag).collect::<Vec<_>>(),
            (0..8).collect::<Vec<_>>()
        );
    }

    #[test]
    fn no_answer_is_lost_among_threads() {
        const THREADS: u16 = 8;
        const EACH: u32 = 20_000;
        let mailbox = Arc::new(Mailbox::new(64).unwrap());
        let posters: Vec<_> = (0..THREADS)
            .map(|tag| {
                let mailbox = Arc::clone(&mailbox);
                std::thread::spawn(move || {
                    for n in 0..EACH {
                        let outcome = Outcome::Answered(i32::try_from(n).unwrap());
                        mailbox.post(Answer { tag, outcome });
                    }
                })
            })
            .collect();
        let mut next = [0_u32; THREADS as usize];
        let mut got = Vec::new();
        while next.iter().any(|&n| n < EACH) {
            assert!(readable(&mailbox, 10_000), "a wake-up was lost at {next:?}");
            mailbox.acknowledge();
            mailbox.take(&mut got);
            for answer in got.drain(..) {
                let expected = &mut next[usize::from(answer.tag)];
                assert_eq!(
                    answer.outcome,
                    Outcome::Answered(i32::try_from(*expected).unwrap())
                );
                *expected += 1;
            }
        }
        posters.into_iter().for_each(|p| p.join().unwrap());
        mailbox.acknowledge();
        mailbox.take(&mut got);
        assert!(got.is_empty());
    }
}
