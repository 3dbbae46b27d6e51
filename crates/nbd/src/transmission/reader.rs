//! Reads requests, takes what they need, and starts them.
//!
//! A request is polled once where it was read. One that has to wait stays there, in hand, until the client sends more:
//! a client with one request at a time is served by one task, and no other thread is woken for it. Then, and where the
//! reader ends, it becomes a task of its own, so that it waits for nobody and is never cancelled.

use super::{
    End, REQUEST_BYTES_MAX, Session,
    account::Slot,
    check::{Plan, Refusal, plan},
    execute::{Outcome, Work, execute},
    reply::{Reply, Ticket},
    writer::within,
};
use crate::proto::{REQUEST_LEN, Request, command, errno};
use futures_util::FutureExt;
use std::{
    future::{Future, poll_fn},
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::Poll,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    sync::mpsc::UnboundedSender,
};

/// Bytes read ahead: several small writes with their data. Longer data goes to its buffer without this detour.
const READ_AHEAD: usize = 32 << 10;

/// Longer writes begin on another processor: to send them on takes long, and the next request's data may be there.
const INLINE_BYTES_MAX: u64 = 64 << 10;

/// Reads from this many bytes on are sent as the device has them; shorter ones are copied, because a piece may keep a
/// buffer of 128 KiB alive, of which the client's budget knows nothing.
const PIECES_BYTES_MIN: u64 = 256 << 10;

/// The reading half of a connection.
pub(super) struct Reader<R> {
    input: BufReader<R>,
    session: Arc<Session>,
    replies: UnboundedSender<Reply>,
    in_hand: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<R> Drop for Reader<R> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<R> Reader<R> {
    /// Makes the request in hand a task.
    fn let_go(&mut self) {
        if let Some(run) = self.in_hand.take() {
            tokio::spawn(run);
        }
    }
}

impl<R: AsyncRead + Unpin + Send> Reader<R> {
    pub(super) fn new(input: R, session: Arc<Session>, replies: UnboundedSender<Reply>) -> Self {
        Self {
            input: BufReader::with_capacity(READ_AHEAD, input),
            session,
            replies,
            in_hand: None,
        }
    }

    /// Reads and starts requests until the stream ends one way or another.
    pub(super) async fn run(&mut self) -> End {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::Broken(error),
            }
        }
    }

    async fn step(&mut self) -> io::Result<Option<End>> {
        let Some(bytes) = self.header().await? else {
            return Ok(Some(End::Closed));
        };
        let Some(request) = Request::parse(&bytes) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a request without its magic",
            ));
        };
        if request.command == command::DISC {
            return Ok(Some(End::Disconnect));
        }
        if request.command == command::WRITE && request.len > REQUEST_BYTES_MAX {
            // The data would have to be read to find the next request; the protocol allows to hang up instead.
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a write longer than the announced maximum",
            ));
        }
        let slot = self.session.account.slot().await;
        let checked = plan(&request, &self.session.device.geometry(), self.session.spoken);
        match checked {
            Ok(plan) => self.start(&request, plan, slot).await?,
            Err(refusal) => {
                if request.command == command::WRITE {
                    self.skip(request.len as usize).await?;
                }
                self.ticket(&request, slot).fail(refusal);
            }
        }
        Ok(None)
    }

    async fn start(&mut self, request: &Request, plan: Plan, slot: Slot) -> io::Result<()> {
        let (offset, len) = (request.offset, u64::from(request.len));
        let account = &self.session.account;
        let work = match plan {
            Plan::Nothing if request.command == command::READ => {
                self.ticket(request, slot).nothing();
                return Ok(());
            }
            Plan::Nothing => {
                self.ticket(request, slot).done();
                return Ok(());
            }
            Plan::Read if len >= PIECES_BYTES_MIN => Work::ReadPieces {
                offset,
                len: request.len as usize,
                charge: account.charge(request.len).await,
            },
            Plan::Read => Work::Read {
                offset,
                buffer: account.buffer(request.len).await,
            },
            Plan::Write(flags) => {
                let mut buffer = account.buffer(request.len).await;
                within(self.session.stall, self.input.read_exact(buffer.as_mut())).await?;
                Work::Write {
                    offset,
                    buffer,
                    flags,
                }
            }
            Plan::Flush => Work::Flush,
            Plan::Trim { fua } => Work::Trim { offset, len, fua },
            Plan::Zero(flags) => Work::Zero { offset, len, flags },
            Plan::Status { one } => Work::Status { offset, len, one },
        };
        let run = perform(
            Arc::clone(&self.session),
            self.ticket(request, slot),
            *request,
            work,
        );
        if matches!(plan, Plan::Write(_)) && len > INLINE_BYTES_MAX {
            tokio::spawn(run);
            return Ok(());
        }
        let mut run = Box::pin(run);
        if poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx)))
            .await
            .is_pending()
        {
            self.in_hand = Some(run);
        }
        Ok(())
    }

    fn ticket(&self, request: &Request, slot: Slot) -> Ticket {
        Ticket::new(
            request.cookie,
            self.session.spoken.structured,
            self.replies.clone(),
            slot,
        )
    }

    /// The next header, or `None` where the stream ends before one.
    async fn header(&mut self) -> io::Result<Option<[u8; REQUEST_LEN]>> {
        if let Some(run) = &mut self.in_hand {
            let done = tokio::select! {
                biased;
                () = run => true,
                ready = self.input.fill_buf() => ready.map(|_| false)?,
            };
            if done {
                self.in_hand = None;
            }
            self.let_go();
        }
        let ready = self.input.fill_buf().await?;
        if ready.is_empty() {
            return Ok(None);
        }
        if let Some(header) = ready.first_chunk() {
            let header = *header;
            self.input.consume(REQUEST_LEN);
            return Ok(Some(header));
        }
        let mut header = [0; REQUEST_LEN];
        within(self.session.stall, self.input.read_exact(&mut header)).await?;
        Ok(Some(header))
    }

    /// Reads over the data of a refused write.
    async fn skip(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            let ready = within(self.session.stall, self.input.fill_buf()).await?.len();
            if ready == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input.consume(ready.min(left));
            left -= ready.min(left);
        }
        Ok(())
    }
}

/// One request from here to its answer.
async fn perform(session: Arc<Session>, ticket: Ticket, request: Request, work: Work) {
    let pass = match &session.gate {
        Some(gate) => Some(gate.enter(request.cookie).await),
        None => None,
    };
    let work = AssertUnwindSafe(execute(session.device.as_ref(), work));
    let result = work.catch_unwind().await;
    // Before the answer: once it has it, the kernel gives the tag to another request.
    drop(pass);
    match result {
        // The ticket answers, and the connection lives on.
        Err(_) => tracing::error!(
            command = request.command,
            offset = request.offset,
            len = request.len,
            "a request to the device panicked"
        ),
        Ok(Ok(Outcome::Data(data))) => ticket.data(request.offset, request.len, data),
        Ok(Ok(Outcome::Descriptors(bytes))) => ticket.allocation(bytes),
        Ok(Ok(Outcome::Done)) => ticket.done(),
        Ok(Err(error)) => {
            tracing::debug!(command = request.command, offset = request.offset, len = request.len, %error, "a request failed");
            ticket.fail(Refusal {
                errno: errno::of_device(error.errno()),
                message: error.to_string(),
            });
        }
    }
}
