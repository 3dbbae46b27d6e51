//! One request in the engine's hands: the right to its tag's buffer, and the duty to answer.
//!
//! A ticket is made when the kernel hands a tag over and answers exactly once, when it is dropped: after the engine's
//! future, which borrows the buffer from it, has ended. So the buffer is never touched after the answer, however the
//! future ends (done, panicked, aborted, or thrown away with its runtime), and the memory outlives the ticket.

use crate::{
    mailbox::{Answer, Mailbox, Outcome},
    memory::Buffers,
};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ticket {
    tag: u16,
    buffers: Arc<Buffers>,
    mailbox: Arc<Mailbox>,
    answer: Option<i32>,
}

impl Ticket {
    /// A ticket for `tag`.
    ///
    /// # Safety
    /// The kernel has handed the tag over and does not touch its buffer until the answer is committed, and no other
    /// ticket for this tag of these buffers exists.
    pub(crate) unsafe fn new(tag: u16, buffers: Arc<Buffers>, mailbox: Arc<Mailbox>) -> Self {
        Self {
            tag,
            buffers,
            mailbox,
            answer: None,
        }
    }

    /// The tag's buffer, all of it.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        let Some(start) = self.buffers.of(self.tag) else {
            return &mut [];
        };
        // SAFETY: the buffer is `each` bytes of a live mapping (the Arc), initialised (mapped zeroed), and by the
        // contract of `new` this ticket is the only way to it; the borrow is of the ticket.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.buffers.each()) }
    }

    /// Ends the request with bytes, 0, or a negative errno.
    pub(crate) fn answer(mut self, result: i32) {
        self.answer = Some(result);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let outcome = match self.answer {
            Some(result) => Outcome::Answered(result),
            None if std::thread::panicking() => Outcome::Panicked,
            None => Outcome::Dropped,
        };
        self.mailbox.post(Answer {
            tag: self.tag,
            outcome,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Operation, Request, serve};
    use restblk_block::{BlockDevice, BlockError, Geometry, MemoryDevice, WriteFlags};
    use restblk_types::BlockSize;
    use std::time::Duration;
    use tokio::{runtime::Builder, sync::watch};

    fn ticket(tag: u16, buffers: &Arc<Buffers>, mailbox: &Arc<Mailbox>) -> Ticket {
        // SAFETY: no kernel is involved, and each test makes one ticket for a tag at a time.
        unsafe { Ticket::new(tag, Arc::clone(buffers), Arc::clone(mailbox)) }
    }

    fn wait(mailbox: &Mailbox, count: usize) -> Vec<Answer> {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while all.len() < count {
            assert!(
                std::time::Instant::now() < end,
                "{} of {count} answers came",
                all.len()
            );
            mailbox.take(&mut some);
            all.append(&mut some);
            std::thread::yield_now();
        }
        all
    }

    /// Panics on reads, never answers writes.
    #[derive(Debug)]
    struct Rude;

    #[async_trait::async_trait]
    impl BlockDevice for Rude {
        fn geometry(&self) -> Geometry {
            MemoryDevice::new(4096, BlockSize::B512).geometry()
        }
        fn watch_size(&self) -> watch::Receiver<u64> {
            watch::channel(4096).1
        }
        async fn read(&self, _: u64, _: &mut [u8]) -> Result<(), BlockError> {
            panic!("on purpose")
        }
        async fn write(&self, _: u64, _: &[u8], _: WriteFlags) -> Result<(), BlockError> {
            std::future::pending().await
        }
        async fn flush(&self) -> Result<(), BlockError> {
            Ok(())
        }
        async fn discard(&self, _: u64, _: u64) -> Result<(), BlockError> {
            Ok(())
        }
        async fn write_zeroes(&self, _: u64, _: u64, _: WriteFlags) -> Result<(), BlockError> {
            Ok(())
        }
    }

    #[test]
    fn every_way_to_end_is_answered_once() {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let buffers = Arc::new(Buffers::new(4, 4096).unwrap());
        let mailbox = Arc::new(Mailbox::new(4).unwrap());
        let device: Arc<dyn BlockDevice> = Arc::new(Rude);
        let ask = |tag, operation| {
            let request = Request {
                operation,
                offset: 0,
                len: 512,
            };
            runtime.spawn(serve(
                Arc::clone(&device),
                request,
                ticket(tag, &buffers, &mailbox),
            ))
        };
        ask(0, Operation::Flush);
        assert_eq!(wait(&mailbox, 1)[0].outcome, Outcome::Answered(0));
        ask(1, Operation::Read);
        assert_eq!(
            wait(&mailbox, 1)[0],
            Answer {
                tag: 1,
                outcome: Outcome::Panicked
            }
        );
        let aborted = ask(2, Operation::Write { fua: false });
        std::thread::sleep(Duration::from_millis(20));
        aborted.abort();
        assert_eq!(
            wait(&mailbox, 1)[0],
            Answer {
                tag: 2,
                outcome: Outcome::Dropped
            }
        );
        ask(3, Operation::Write { fua: false });
        drop(runtime);
        assert_eq!(
            wait(&mailbox, 1),
            [Answer {
                tag: 3,
                outcome: Outcome::Dropped
            }]
        );
        assert_eq!(Arc::strong_count(&buffers), 1);
    }

    #[test]
    fn requests_of_many_tags_keep_to_their_buffers() {
        const DEPTH: u16 = 32;
        const ROUNDS: usize = 300;
        let runtime = Builder::new_multi_thread().worker_threads(4).build().unwrap();
        let buffers = Arc::new(Buffers::new(DEPTH, 4096).unwrap());
        let mailbox = Arc::new(Mailbox::new(DEPTH).unwrap());
        let device: Arc<dyn BlockDevice> = Arc::new(MemoryDevice::new(4096 * 32, BlockSize::B4096));
        for round in 0..ROUNDS {
            let pattern = |tag: u16| u8::try_from((round * 7 + usize::from(tag)) % 251).unwrap();
            for operation in [Operation::Write { fua: false }, Operation::Read] {
                for tag in 0..DEPTH {
                    let mut ticket = ticket(tag, &buffers, &mailbox);
                    let fill = if matches!(operation, Operation::Read) {
                        0xff
                    } else {
                        pattern(tag)
                    };
                    ticket.buffer().fill(fill);
                    let request = Request {
                        operation,
                        offset: u64::from(tag) * 4096,
                        len: 4096,
                    };
                    runtime.spawn(serve(Arc::clone(&device), request, ticket));
                }
                let mut tags: Vec<_> = wait(&mailbox, DEPTH.into())
                    .into_iter()
                    .map(|answer| {
                        assert_eq!(answer.outcome, Outcome::Answered(4096));
                        answer.tag
                    })
                    .collect();
                tags.sort_unstable();
                assert_eq!(tags, (0..DEPTH).collect::<Vec<_>>());
            }
            for tag in 0..DEPTH {
                let mut ticket = ticket(tag, &buffers, &mailbox);
                assert!(
                    ticket.buffer().iter().all(|&b| b == pattern(tag)),
                    "round {round} tag {tag}"
                );
                ticket.answer(0);
            }
            wait(&mailbox, DEPTH.into());
        }
    }
}
