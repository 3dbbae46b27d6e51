//! One kernel device as this process sees it: whose it is, what it serves, and in which state.

use super::{
    client::{self, Client},
    sysfs::Index,
};
use crate::{
    sockbuf,
    transmission::{Account, Budget, Gate, Pool, Session, Spoken},
};
use restblk_block::BlockDevice;
use std::{io, os::fd::OwnedFd, sync::Arc};
use tokio::{net::UnixStream, sync::watch};

/// Our mark on devices, so that nobody's else are touched.
const BACKEND_PREFIX: &str = "restblk:";
/// Bytes of requests in flight on one connection, and on all of a device: 64 of 1 MiB.
const BYTES_IN_FLIGHT: usize = 64 << 20;
/// More than the kernel's 128 a queue, so that requests sent again find room beside the first ones.
const REQUESTS_MAX: u16 = 512;

/// What the tasks of a device are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Keep every connection alive.
    Serving,
    /// Serve, but take the kernel's good-bye as expected.
    Detaching,
    /// Read no more and let the sockets go: the device was detached or is handed over.
    Leaving,
    /// The device is no more ours, for this reason.
    Gone(String),
}

/// A device that this process serves.
#[derive(Debug)]
pub(super) struct Device {
    /// `pool/volume`.
    pub(super) label: String,
    pub(super) volume: Arc<dyn BlockDevice>,
    pub(super) gate: Arc<Gate>,
    pub(super) state: watch::Sender<State>,
    pub(super) index: Index,
    /// A device of its own has memory of its own: no other client can keep the kernel waiting for it.
    pool: Arc<Pool>,
    budget: Arc<Budget>,
}

impl Device {
    pub(super) fn new(label: &str, volume: Arc<dyn BlockDevice>, index: Index) -> Arc<Self> {
        Arc::new(Self {
            label: label.to_owned(),
            volume,
            gate: Arc::default(),
            state: watch::Sender::new(State::Serving),
            index,
            pool: Arc::new(Pool::new(BYTES_IN_FLIGHT)),
            budget: Arc::new(Budget::new(BYTES_IN_FLIGHT)),
        })
    }

    /// What the kernel knows the volume by.
    pub(super) fn backend(&self) -> String {
        backend(&self.label)
    }

    /// True while the kernel has the device under our mark.
    pub(super) fn is_ours(&self) -> bool {
        self.index.backend() == Some(self.backend())
    }

    /// Goes from one state to another; does nothing in any other state.
    pub(super) fn change(&self, from: &State, to: State) {
        self.state.send_if_modified(|state| {
            let changes = state == from;
            if changes {
                tracing::debug!(volume = self.label, ?from, ?to, "the device changes its state");
                *state = to;
            }
            changes
        });
    }

    /// Says that the device is gone, unless it is let go on purpose.
    pub(super) fn set_gone(&self, reason: &str) {
        self.change(&State::Serving, State::Gone(reason.to_owned()));
    }

    /// Done when connections are to be closed.
    pub(super) async fn stopping(&self) {
        // The sender is in `self`, so waiting cannot fail.
        let _ = self
            .state
            .subscribe()
            .wait_for(|state| matches!(state, State::Leaving | State::Gone(_)))
            .await;
    }

    /// A new session for one connection.
    pub(super) fn session(&self) -> Session {
        Session {
            device: Arc::clone(&self.volume),
            spoken: Spoken::default(),
            account: Account::new(
                Arc::clone(&self.pool),
                Arc::clone(&self.budget),
                BYTES_IN_FLIGHT,
                REQUESTS_MAX,
            ),
            gate: Some(Arc::clone(&self.gate)),
            stall: None,
        }
    }

    /// Gives the kernel a new socket in the place of a dead one.
    pub(super) async fn reconnect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = pair()?;
        let (index, backend) = (self.index, self.backend());
        client::blocking(move |client: &mut Client| client.reconnect(index.0, &backend, theirs)).await?;
        Ok(ours)
    }
}

/// What the kernel knows a volume by.
pub(super) fn backend(label: &str) -> String {
    format!("{BACKEND_PREFIX}{label}")
}

/// True for a device that some restblk daemon made.
pub(super) fn is_restblk(backend: &str) -> bool {
    backend.starts_with(BACKEND_PREFIX)
}

/// Our end and the kernel's of a new connection.
pub(super) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    sockbuf::widen(&ours);
    sockbuf::widen(&theirs);
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
