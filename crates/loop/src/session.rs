//! The server of one FUSE file system: threads that read requests, and the device's futures that answer them.
//!
//! Invariants: all threads read the same descriptor (clones of it would take their requests with them when the
//! process dies); requests about names and attributes are answered on the thread that read them, so that they
//! work whatever the device does; a thread never waits for the device.

use crate::{
    buffers::Buffers,
    reply::Reply,
    tree::{FILE, Tree},
    wire::{self, Attributes, Request},
};
use bytes::Bytes;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_device::DeviceError;
use rustix::io::Errno;
use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};
use tokio::{runtime::Handle, sync::watch};

/// Data below this are copied out of a thread's buffer, larger ones take the buffer along.
const COPIED_MAX: usize = 64 << 10;

/// How far a session has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Threads that read requests.
    pub(crate) threads: u16,
    /// The kernel can send requests again to the next daemon.
    pub(crate) resend: bool,
    /// The loop device has let go of the file.
    pub(crate) released: bool,
    /// Why the threads ended, where nobody stopped them.
    pub(crate) failed: Option<String>,
}

/// A FUSE file system of one file.
pub(crate) struct Session {
    pub(crate) fuse: OwnedFd,
    pub(crate) device: Arc<dyn BlockDevice>,
    /// Requests that have no answer yet.
    pub(crate) in_flight: AtomicUsize,
    pub(crate) state: watch::Sender<State>,
    tree: Tree,
    buffers: Buffers,
    background_max: u16,
    runtime: Handle,
    stopping: AtomicBool,
}

impl fmt::Debug for Session {
    /// Without the device, whose own form may be of any length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("tree", &self.tree)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session on an open /dev/fuse, without threads yet.
    pub(crate) fn new(
        fuse: OwnedFd,
        device: Arc<dyn BlockDevice>,
        tree: Tree,
        background_max: u16,
    ) -> Arc<Self> {
        Arc::new(Self {
            fuse,
            device,
            in_flight: AtomicUsize::new(0),
            state: watch::Sender::new(State::default()),
            tree,
            buffers: Buffers::default(),
            background_max,
            runtime: Handle::current(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Where the file is, from the root of the file system.
    pub(crate) fn path(&self) -> PathBuf {
        self.tree.path()
    }

    /// The descriptor that requests come from.
    pub(crate) fn fuse(&self) -> BorrowedFd<'_> {
        self.fuse.as_fd()
    }

    /// Starts the threads. They end with the file system, or after [`Self::stop`].
    pub(crate) fn start(self: &Arc<Self>, threads: u16) -> Result<(), DeviceError> {
        self.stopping.store(false, Ordering::Release);
        for number in 0..threads {
            let session = self.clone();
            self.state.send_modify(|state| state.threads += 1);
            let started = thread::Builder::new()
                .name(format!("restblk-fuse{number}"))
                .spawn(move || session.run());
            if let Err(error) = started {
                self.state.send_modify(|state| state.threads -= 1);
                return Err(DeviceError::io(
                    "start a thread for the device's requests",
                    &error,
                ));
            }
        }
        Ok(())
    }

    /// Makes each thread end after its next request.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// True from [`Self::stop`] on.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn run(self: Arc<Self>) {
        // Futures that use timers or sockets need the runtime even while they are polled here.
        let _runtime = self.runtime.enter();
        let end = self.read_requests();
        self.state.send_modify(|state| {
            state.threads -= 1;
            if !self.is_stopping() {
                state.failed.get_or_insert(end);
            }
        });
    }

    /// Returns why it ended.
    fn read_requests(self: &Arc<Self>) -> String {
        let mut buffer = self.buffers.take();
        let end = loop {
            match rustix::io::read(&self.fuse, &mut buffer[..]) {
                Ok(len) => buffer = self.serve(buffer, len),
                // NOENT: the request was taken back before it could be read.
                Err(Errno::INTR | Errno::AGAIN | Errno::NOENT) => {}
                Err(Errno::NODEV) => break "its FUSE file system has ended".to_owned(),
                Err(error) => {
                    tracing::error!(%error, "failed to read a request from /dev/fuse");
                    break format!("its requests cannot be read from /dev/fuse: {error}");
                }
            }
            if self.is_stopping() {
                break "it was stopped".to_owned();
            }
        };
        self.buffers.give(buffer);
        end
    }

    /// Answers the request in `buffer`, now or later; returns a buffer for the next.
    fn serve(self: &Arc<Self>, buffer: Vec<u8>, len: usize) -> Vec<u8> {
        let Some((unique, request)) = wire::parse(&buffer[..len]) else {
            tracing::error!(len, "the kernel sent a FUSE request that makes no sense");
            return buffer;
        };
        if let Request::Forget = request {
            return buffer;
        }
        let reply = Reply::new(self, unique);
        match request {
            Request::Write { offset, data } => return self.write(buffer, offset, data, reply),
            Request::Read { offset, size } => self.read(offset, size, reply),
            Request::Fsync => {
                let device = self.device.clone();
                self.begin(async move { reply.done(device.flush().await) });
            }
            Request::Fallocate { offset, len, mode } => self.fallocate(offset, len, mode, reply),
            other => self.answer(&other, reply),
        }
        buffer
    }

    /// Everything that does not concern the device's contents.
    fn answer(&self, request: &Request<'_>, reply: Reply) {
        match *request {
            Request::Init { .. } => match wire::negotiate(request, self.background_max) {
                Some(negotiated) => {
                    self.state.send_modify(|state| state.resend = negotiated.resend);
                    reply.data(&negotiated.reply);
                }
                None => reply.error(Errno::PROTO.raw_os_error()),
            },
            Request::Lookup { parent, name } => match self.tree.lookup(parent, name) {
                Some(node) => reply.data(&self.attributes(node).entry()),
                None => reply.error(Errno::NOENT.raw_os_error()),
            },
            Request::GetAttr { node } => reply.data(&self.attributes(node).attributes()),
            Request::Open { node: FILE } => reply.data(&wire::opened()),
            // The loop driver asks when it is given the file, and announces no discard where it gets no answer.
            // (To forbid discard in sysfs instead would spoil the loop device for its next user.)
            Request::StatFs if !self.can_punch() => reply.error(Errno::OPNOTSUPP.raw_os_error()),
            Request::StatFs => {
                let geometry = self.device.geometry();
                reply.data(&wire::statistics(geometry.size, geometry.block_size.bytes()));
            }
            Request::Release { node: FILE } => {
                reply.data(&[]);
                self.state.send_modify(|state| state.released = true);
            }
            Request::Release { .. } | Request::Destroy => reply.data(&[]),
            Request::Refused => reply.error(Errno::PERM.raw_os_error()),
            _ => reply.error(Errno::NOSYS.raw_os_error()),
        }
    }

    /// Discards come as zeroing, see [`Self::fallocate`], so both must be worth their while.
    fn can_punch(&self) -> bool {
        let features = self.device.geometry().features;
        features.discard && features.write_zeroes
    }

    fn attributes(&self, node: u64) -> Attributes {
        let geometry = self.device.geometry();
        let is_file = node == FILE;
        let size = if is_file { geometry.size } else { 0 };
        Attributes {
            node,
            size,
            is_file,
            block_size: geometry.io_size_optimal.max(4096),
        }
    }

    fn read(self: &Arc<Self>, offset: u64, size: usize, reply: Reply) {
        if size > wire::DATA_MAX {
            return reply.error(Errno::INVAL.raw_os_error());
        }
        let device = self.device.clone();
        if size < COPIED_MAX {
            let mut buffer = vec![0; size];
            self.begin(async move {
                let result = device.read(offset, &mut buffer).await;
                reply.data_or_error(result, &buffer);
            });
        } else {
            self.begin(async move { reply.pieces_or_error(device.read_pieces(offset, size).await) });
        }
    }

    fn write(
        self: &Arc<Self>,
        buffer: Vec<u8>,
        offset: u64,
        data: std::ops::Range<usize>,
        reply: Reply,
    ) -> Vec<u8> {
        let Ok(len) = u32::try_from(data.len()) else {
            reply.error(Errno::INVAL.raw_os_error());
            return buffer;
        };
        let (data, next) = if data.len() < COPIED_MAX {
            (Bytes::copy_from_slice(&buffer[data]), buffer)
        } else {
            (self.buffers.lend(buffer).slice(data), self.buffers.take())
        };
        let device = self.device.clone();
        self.begin(async move {
            let result = device.write_bytes(offset, data, WriteFlags::default()).await;
            reply.data_or_error(result, &wire::written(len));
        });
        next
    }

    /// Holes and zeros. The loop driver sends a punched hole both for a discard and for zeros that may be a hole,
    /// and relies on zeros being read from it; so a hole is zeros here, and never a mere discard.
    fn fallocate(self: &Arc<Self>, offset: u64, len: u64, mode: u32, reply: Reply) {
        let features = self.device.geometry().features;
        let no_unmap = match mode & !wire::FALLOC_KEEP_SIZE {
            // Where zeros cost as much as data, the kernel shall write them itself, in pieces.
            _ if !features.write_zeroes => return reply.error(Errno::OPNOTSUPP.raw_os_error()),
            wire::FALLOC_PUNCH_HOLE => false,
            wire::FALLOC_ZERO_RANGE => true,
            _ => return reply.error(Errno::OPNOTSUPP.raw_os_error()),
        };
        let device = self.device.clone();
        let flags = WriteFlags {
            no_unmap,
            ..WriteFlags::default()
        };
        self.begin(async move { reply.done(device.write_zeroes(offset, len, flags).await) });
    }

    /// Polls a future once here, which spares the many that finish at once two switches of threads; the runtime
    /// takes the others, and polls them with a waker of its own.
    fn begin(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(future);
        let mut context = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => drop(self.runtime.spawn(future)),
            // Dropping the future answers its request.
            Err(_) => tracing::error!("a request to the device panicked"),
        }
    }
}
