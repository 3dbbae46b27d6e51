//! One hardware queue: a thread, its ring, and the bridge between the kernel's requests and the engine's futures.
//!
//! The engine is async and its wakers come from the runtime's threads; this thread sleeps in its ring. So:
//!
//! 1. Each tag has a command in the ring (fetch). When it completes, the kernel has written the request's descriptor and,
//!    for a write, its data into the tag's buffer. The tag is ours until we commit it.
//! 2. The request becomes a task of the tokio runtime, holding a [`Ticket`]: the tag's buffer and the duty to answer.
//! 3. The answer lies in the [`Mailbox`]; an eventfd that the ring polls wakes this thread, once for many answers.
//! 4. This thread commits all of them and fetches the tags' next requests with the same system call that
//!    goes back to sleep. The kernel demands that a queue's commands come from one thread, and copies the data of reads
//!    out of the buffer in that call.
//!
//! Invariants: a tag is in one state of [`Tag`]; only `Kernel` and `Held` may become anything without the mailbox;
//! a buffer is the ticket's in `Serving`, the kernel's or nobody's otherwise. The kernel touches buffers only in calls
//! of this thread, so they may go once the ring is closed and the last ticket (each holds the memory) has ended.
//!
//! The thread ends when the kernel has cancelled all tags (the device was stopped), when told to drain and nothing is
//! being served, or when its ring or runtime fails. Closing the ring is, for the kernel, the same as a crash of the
//! daemon: a device with user recovery waits for the next one, and requests that were not committed are sent again.

use crate::{
    mailbox::{Answer, Mailbox, Outcome},
    memory::{Buffers, Descriptors},
    request::{Request, serve},
    ticket::Ticket,
    uapi,
};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use restblk_block::BlockDevice;
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::{runtime::Handle, task::AbortHandle};

/// The poll of the eventfd; tags are smaller.
const WAKE: u64 = u64::MAX;

/// What a queue does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Serves them.
    Serve = 0,
    /// Finishes what it has, keeps the rest for the next daemon, and ends.
    Drain = 1,
    /// Fails all with EIO, those in the engine's hands included.
    Abort = 2,
}

/// The handle by which other threads reach a queue.
#[derive(Debug)]
pub(crate) struct Remote {
    mailbox: Arc<Mailbox>,
    mode: AtomicU8,
}

impl Remote {
    /// For a queue of `depth` tags.
    pub(crate) fn new(depth: u16) -> io::Result<Self> {
        Ok(Self {
            mailbox: Arc::new(Mailbox::new(depth)?),
            mode: AtomicU8::new(Mode::Serve as u8),
        })
    }

    /// Changes what the queue does. Abort is for good.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.fetch_max(mode as u8, Ordering::Release);
        self.mailbox.wake();
    }

    fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Acquire) {
            0 => Mode::Serve,
            1 => Mode::Drain,
            _ => Mode::Abort,
        }
    }
}

/// Why a queue's thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The kernel stopped the device.
    Stopped,
    /// As told.
    Drained,
    /// It could not go on.
    Failed(String),
}

/// A tag's place in the bridge.
#[derive(Debug)]
enum Tag {
    /// The kernel has it and will complete its command.
    Kernel,
    /// The engine has it.
    Serving(AbortHandle),
    /// It has a request that nobody serves: the next daemon will get it.
    Held,
    /// The kernel has cancelled it.
    Retired,
}

/// What a queue is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) queue: u16,
    pub(crate) depth: u16,
    pub(crate) buffer_bytes: u32,
    pub(crate) node: Arc<File>,
    pub(crate) device: Arc<dyn BlockDevice>,
    pub(crate) runtime: Handle,
    pub(crate) remote: Arc<Remote>,
}

/// See the module.
pub(crate) struct Queue {
    ring: IoUring<squeue::Entry, cqueue::Entry>,
    descriptors: Descriptors,
    buffers: Arc<Buffers>,
    setup: Setup,
    tags: Vec<Tag>,
    polling: bool,
    aborted: bool,
    /// Why a command failed that should not have.
    fault: Option<String>,
    completions: Vec<(u64, i32)>,
    answers: Vec<Answer>,
}

impl Queue {
    /// Maps and locks what the queue needs. On the thread that will run it.
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let depth = u32::from(setup.depth);
        let ring = IoUring::builder()
            .setup_coop_taskrun()
            .setup_cqsize(2 * depth + 2)
            .build(depth + 1)?;
        ring.submitter()
            .register_files(&[setup.node.as_raw_fd(), setup.remote.mailbox.event_fd()])?;
        let buffers = Arc::new(Buffers::new(setup.depth, setup.buffer_bytes)?);
        if !buffers.locked {
            tracing::warn!(
                queue = setup.queue,
                "buffers are not locked in memory: raise LimitMEMLOCK, or memory pressure can stall the device"
            );
        }
        Ok(Self {
            descriptors: Descriptors::map(&setup.node, setup.queue, setup.depth)?,
            ring,
            buffers,
            tags: (0..depth).map(|_| Tag::Kernel).collect(),
            polling: false,
            aborted: false,
            fault: None,
            completions: Vec::with_capacity(usize::from(setup.depth) + 1),
            answers: Vec::with_capacity(setup.depth.into()),
            setup,
        })
    }

    /// Serves until the end.
    pub(crate) fn run(mut self) -> Ended {
        for tag in 0..self.setup.depth {
            if let Err(error) = self.command(uapi::IO_FETCH, tag, 0) {
                return Ended::Failed(error);
            }
        }
        loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(ended)) => return ended,
                Err(error) => return Ended::Failed(error),
            }
        }
    }

    /// Sleeps until something happens and handles it.
    fn turn(&mut self) -> Result<Option<Ended>, String> {
        if !self.polling {
            let poll = opcode::PollAdd::new(types::Fixed(1), libc::POLLIN as u32)
                .build()
                .user_data(WAKE);
            self.push(&poll)?;
            self.polling = true;
        }
        match self.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
            Err(e) => return Err(format!("the ring of queue {} failed: {e}", self.setup.queue)),
        }
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(
            self.ring
                .completion()
                .map(|done| (done.user_data(), done.result())),
        );
        for (data, result) in completions.drain(..) {
            match u16::try_from(data) {
                Ok(tag) => self.fetched(tag, result)?,
                Err(_) => {
                    self.polling = false;
                    self.setup.remote.mailbox.acknowledge();
                }
            }
        }
        self.completions = completions;
        self.collect()?;
        let mode = self.setup.remote.mode();
        if mode == Mode::Abort && !self.aborted {
            self.abort()?;
        }
        self.ended(mode)
    }

    /// The kernel's command for `tag` has completed.
    fn fetched(&mut self, tag: u16, result: i32) -> Result<(), String> {
        match result {
            0 => self.dispatch(tag),
            _ => {
                // ENODEV is the kernel's way to take a tag back when the device stops.
                if result != -libc::ENODEV {
                    let error = io::Error::from_raw_os_error(-result);
                    self.fault
                        .get_or_insert(format!("queue {} tag {tag}: {error}", self.setup.queue));
                }
                self.tags[usize::from(tag)] = Tag::Retired;
                Ok(())
            }
        }
    }

    fn dispatch(&mut self, tag: u16) -> Result<(), String> {
        match self.setup.remote.mode() {
            Mode::Abort => return self.commit(tag, -libc::EIO),
            // Linux before 6.15 notices the end of a daemon only by a command that it can cancel, or after 30 s:
            // so one tag of the queue stays in the kernel, and is served as long as the others are held.
            Mode::Drain if self.in_kernel() > 1 => {
                self.tags[usize::from(tag)] = Tag::Held;
                return Ok(());
            }
            Mode::Drain | Mode::Serve => {}
        }
        let request = Request::from(self.descriptors.read(tag));
        let (buffers, mailbox) = (Arc::clone(&self.buffers), Arc::clone(&self.setup.remote.mailbox));
        // SAFETY: the kernel has completed the tag's command, so the buffer is ours until `commit`, which runs only
        // when this ticket has answered, that is, ended; the tag's previous ticket ended the same way.
        let ticket = unsafe { Ticket::new(tag, buffers, mailbox) };
        let task = self
            .setup
            .runtime
            .spawn(serve(Arc::clone(&self.setup.device), request, ticket));
        self.tags[usize::from(tag)] = Tag::Serving(task.abort_handle());
        Ok(())
    }

    /// Commits what the engine has answered.
    fn collect(&mut self) -> Result<(), String> {
        let mut answers = std::mem::take(&mut self.answers);
        self.setup.remote.mailbox.take(&mut answers);
        for Answer { tag, outcome } in answers.drain(..) {
            match outcome {
                Outcome::Answered(result) => self.commit(tag, result)?,
                Outcome::Panicked => {
                    tracing::error!(
                        queue = self.setup.queue,
                        tag,
                        "the engine panicked; the request fails with EIO"
                    );
                    self.commit(tag, -libc::EIO)?;
                }
                Outcome::Dropped if self.aborted => self.commit(tag, -libc::EIO)?,
                // Not committed: the kernel sends the request again to the next daemon.
                Outcome::Dropped => return Err("the runtime that serves the device has ended".to_owned()),
            }
        }
        self.answers = answers;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), String> {
        self.aborted = true;
        for tag in 0..self.setup.depth {
            match &self.tags[usize::from(tag)] {
                Tag::Serving(task) => task.abort(),
                Tag::Held => self.commit(tag, -libc::EIO)?,
                Tag::Kernel | Tag::Retired => {}
            }
        }
        Ok(())
    }

    fn ended(&mut self, mode: Mode) -> Result<Option<Ended>, String> {
        if self.tags.iter().any(|tag| matches!(tag, Tag::Serving(_))) {
            return Ok(None);
        }
        if self.tags.iter().all(|tag| matches!(tag, Tag::Retired)) {
            return Ok(Some(self.fault.take().map_or(Ended::Stopped, Ended::Failed)));
        }
        if mode == Mode::Drain {
            // The last answers must have reached the kernel.
            self.ring
                .submit()
                .map_err(|e| format!("the ring of queue {} failed: {e}", self.setup.queue))?;
            return Ok(Some(Ended::Drained));
        }
        Ok(None)
    }

    fn in_kernel(&self) -> usize {
        self.tags.iter().filter(|tag| matches!(tag, Tag::Kernel)).count()
    }

    fn commit(&mut self, tag: u16, result: i32) -> Result<(), String> {
        self.tags[usize::from(tag)] = Tag::Kernel;
        self.command(uapi::IO_COMMIT_AND_FETCH, tag, result)
    }

    fn command(&mut self, code: u32, tag: u16, result: i32) -> Result<(), String> {
        let buffer = self.buffers.of(tag).map_or(0, |start| start.as_ptr() as u64);
        let argument = uapi::queue_argument(self.setup.queue, tag, result, buffer);
        let entry = opcode::UringCmd16::new(types::Fixed(0), code)
            .cmd(argument)
            .build()
            .user_data(tag.into());
        self.push(&entry)
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), String> {
        // SAFETY: the entry's argument lies within it. The buffers that the kernel learns of are used by it only in
        // calls of this thread while the ring is open, and `self` keeps them longer than the ring (field order).
        unsafe { self.ring.submission().push(entry) }
            .map_err(|e| format!("the ring of queue {} is full: {e}", self.setup.queue))
    }
}
