//! A kernel device in use: its size follows the volume's, and it ends in one of three ways.

use super::{
    client::{self, Client},
    connection::keep,
    device::{Device, State},
};
use async_trait::async_trait;
use restblk_device::{Attached, DeviceError, Recovery};
use restblk_types::ErrorKind;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::UnixStream,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

/// How often sysfs and netlink are asked while waiting.
const POLL: Duration = Duration::from_millis(20);
/// How long a detach waits for the store: requests in flight and flush together. With [`FREE_MAX`] it is less than the 20 s
/// in which every command ends (docs/semantics.md).
const STORE_MAX: Duration = Duration::from_secs(12);
/// How long a detach waits for the kernel to free the node, which udev may have open.
const FREE_MAX: Duration = Duration::from_secs(6);

/// A device and the tasks that serve it.
#[derive(Debug)]
pub(super) struct NbdAttached {
    device: Arc<Device>,
    node: PathBuf,
    connections: u16,
    resumed: bool,
    tasks: Mutex<JoinSet<()>>,
}

impl NbdAttached {
    /// Serves the connections of a device, and follows the volume's size. `size_known` is what the kernel was told;
    /// without it the device is an earlier daemon's.
    pub(super) fn start(device: Arc<Device>, streams: Vec<UnixStream>, size_known: Option<u64>) -> Self {
        let connections = u16::try_from(streams.len()).unwrap_or(u16::MAX);
        let mut tasks = JoinSet::new();
        for stream in streams {
            tasks.spawn(keep(Arc::clone(&device), stream));
        }
        tasks.spawn(follow_size(Arc::clone(&device), size_known));
        Self {
            node: device.index.node(),
            device,
            connections,
            resumed: size_known.is_none(),
            tasks: Mutex::new(tasks),
        }
    }

    /// Stops serving; returns when nothing of the device is in flight here.
    async fn leave(&self) {
        for from in [State::Serving, State::Detaching] {
            self.device.change(&from, State::Leaving);
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(volume = self.device.label, %error, "a task of the device died");
            }
        }
        self.device.gate.idle().await;
    }

    fn failed(&self, doing: &str, error: &std::io::Error) -> DeviceError {
        DeviceError::io(format_args!("{doing} {}", self.node.display()), error)
    }

    async fn wait_until_idle(&self, until: Instant) -> Result<(), DeviceError> {
        loop {
            let count = self
                .device
                .index
                .in_flight()
                .map_err(|error| self.failed("look at", &error))?;
            if count == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                let node = self.node.display();
                let what =
                    format!("detach {node}: {count} requests are still in flight; is the store reachable?");
                return Err(DeviceError::new(ErrorKind::Busy, what));
            }
            sleep(POLL).await;
        }
    }

    async fn wait_until_free(&self) -> Result<(), DeviceError> {
        let until = Instant::now() + FREE_MAX;
        let index = self.device.index;
        loop {
            let asked = client::blocking(move |client: &mut Client| client.connected(index.0)).await;
            if !asked.map_err(|error| self.failed("ask for the state of", &error))? {
                return Ok(());
            }
            if Instant::now() > until {
                let node = self.node.display();
                let what =
                    format!("detach {node}: it is disconnected, but somebody still has it open; close it");
                return Err(DeviceError::new(ErrorKind::Busy, what));
            }
            sleep(POLL).await;
        }
    }
}

#[async_trait]
impl Attached for NbdAttached {
    fn path(&self) -> &Path {
        &self.node
    }

    fn recovery(&self) -> Recovery {
        Recovery::Nbd {
            index: self.device.index.0,
            connections: self.connections,
        }
    }

    fn resumed(&self) -> bool {
        self.resumed
    }

    async fn gone(&self) -> String {
        let mut state = self.device.state.subscribe();
        loop {
            if let State::Gone(reason) = &*state.borrow_and_update() {
                return reason.clone();
            }
            if state.changed().await.is_err() {
                // Cannot be: the sender is in `self.device`.
                return "the device was dropped".to_owned();
            }
        }
    }

    async fn detach(&self) -> Result<(), DeviceError> {
        let index = self.device.index;
        if self.device.is_ours() {
            let until = Instant::now() + STORE_MAX;
            self.wait_until_idle(until).await?;
            let flushed = timeout_at(until, self.device.volume.flush()).await;
            let flushed = flushed.unwrap_or_else(|_| {
                Err(restblk_block::BlockError::new(
                    ErrorKind::Unavailable,
                    "it takes longer than 12 s; is the store reachable? Detach again when it is",
                ))
            });
            flushed.map_err(|error| {
                DeviceError::new(
                    error.kind(),
                    format!("detach {}: flush the volume: {error}", self.node.display()),
                )
            })?;
            // Before the kernel's good-bye arrives on the sockets, so that nobody takes it for somebody else's.
            self.device.change(&State::Serving, State::Detaching);
            let disconnected = client::blocking(move |client: &mut Client| client.disconnect(index.0)).await;
            disconnected.map_err(|error| {
                self.device.change(&State::Detaching, State::Serving);
                self.failed("disconnect", &error)
            })?;
            self.wait_until_free().await?;
            let _ = tokio::task::spawn_blocking(move || index.forget_partitions()).await;
        }
        self.leave().await;
        Ok(())
    }

    async fn hand_over(&self) -> Result<Recovery, DeviceError> {
        self.leave().await;
        Ok(self.recovery())
    }
}

/// Makes the kernel see each new size of the volume, and one that it got before the watching began.
async fn follow_size(device: Arc<Device>, known: Option<u64>) {
    let mut sizes = device.volume.watch_size();
    if known != Some(*sizes.borrow()) {
        sizes.mark_changed();
    }
    loop {
        tokio::select! {
            () = device.stopping() => return,
            changed = sizes.changed() => if changed.is_err() { return },
        }
        let size = *sizes.borrow_and_update();
        let (index, backend) = (device.index, device.backend());
        match client::blocking(move |client: &mut Client| client.resize(index.0, &backend, size)).await {
            Ok(()) => tracing::debug!(volume = device.label, size, "the kernel knows the size"),
            Err(error) => {
                tracing::error!(volume = device.label, size, %error, "the kernel did not take the new size");
            }
        }
    }
}
