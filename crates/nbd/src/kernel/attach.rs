//! The transport: makes devices, takes over those of an earlier daemon, clears away what nobody wants.

use super::{
    attached::NbdAttached,
    client::{self, Client, Connect},
    device::{Device, backend, is_restblk, pair},
    probe::probe,
    sysfs::Index,
};
use crate::transmission::for_kernel;
use async_trait::async_trait;
use restblk_device::{AttachSpec, Attached, Availability, DeviceError, Recovery, Transport, TransportKind};
use restblk_types::ErrorKind;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::{task::spawn_blocking, time::sleep};

/// How long devtmpfs or udev may take to make the node.
const NODE_MAX: Duration = Duration::from_secs(10);
/// The longest request that the kernel is to send, in KiB: its default of 128 makes long requests to a store short.
const MAX_SECTORS_KIB: u32 = 1024;
/// With one connection, how often the kernel looks whether a request has to be sent again through a new socket. It
/// is also how often it logs a request that the store keeps waiting. With several connections the kernel's own 30 s
/// are kept, because there it also gives up the connection of a request that takes longer.
const IO_TIMEOUT_MS: u32 = 5000;

/// Settings of the transport.
#[derive(Clone, Copy, Debug)]
pub struct NbdOptions {
    /// How long requests wait in the kernel for the next daemon after one has died; then they fail.
    /// `nbd-client -d` ends the waiting at once.
    pub dead_after: Duration,
}

impl Default for NbdOptions {
    /// A day.
    fn default() -> Self {
        Self {
            dead_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The kernel's NBD client as a way to attach volumes.
#[derive(Debug, Default)]
pub struct NbdTransport {
    options: NbdOptions,
    served: Mutex<Vec<Weak<Device>>>,
}

impl NbdTransport {
    /// With settings other than the default ones.
    #[must_use]
    pub fn new(options: NbdOptions) -> Self {
        Self {
            options,
            served: Mutex::default(),
        }
    }

    async fn connect(&self, spec: &AttachSpec, index: Option<u32>) -> Result<NbdAttached, DeviceError> {
        let failed = |error: &io::Error| DeviceError::io(format_args!("attach {} by nbd", spec.label), error);
        let connections = spec.queues.clamp(1, processors());
        let pairs = (0..connections).map(|_| pair()).collect::<io::Result<Vec<_>>>();
        let (streams, sockets): (Vec<_>, Vec<_>) = pairs.map_err(|error| failed(&error))?.into_iter().unzip();
        let geometry = spec.device.geometry();
        let new = Connect {
            index,
            size: geometry.size,
            block_size: geometry.block_size.bytes(),
            flags: for_kernel(&geometry),
            backend: backend(&spec.label),
            dead_after_s: self.options.dead_after.as_secs(),
            sockets,
        };
        // Nothing waits for us in there: the kernel reads a partition table only when somebody opens the node.
        let index = client::blocking(move |client: &mut Client| client.connect(new)).await;
        let index = Index(index.map_err(|error| failed(&error))?);
        let attached = NbdAttached::start(self.device(spec, index), streams, Some(geometry.size));
        if let Err(error) = wait_for_node(index).await {
            // The first error says more.
            let _ = attached.detach().await;
            return Err(error);
        }
        // These wait for requests in flight, which the tasks above serve.
        let tuned = spawn_blocking(move || {
            index.set_max_sectors_kib(MAX_SECTORS_KIB)?;
            if connections == 1 {
                index.set_io_timeout_ms(IO_TIMEOUT_MS)
            } else {
                Ok(())
            }
        });
        if let Ok(Err(error)) = tuned.await {
            tracing::warn!(volume = spec.label, %error, "the queue keeps the kernel's own limits");
        }
        Ok(attached)
    }

    /// Gives a device that waits new sockets.
    async fn resume(
        &self,
        spec: &AttachSpec,
        index: Index,
        connections: u16,
    ) -> Result<NbdAttached, DeviceError> {
        let device = self.device(spec, index);
        let mut streams = Vec::new();
        for _ in 0..connections.max(1) {
            let stream = device.reconnect().await;
            streams.push(stream.map_err(|error| {
                DeviceError::io(
                    format_args!("take {} over for {}", index.node().display(), spec.label),
                    &error,
                )
            })?);
        }
        Ok(NbdAttached::start(device, streams, None))
    }

    fn device(&self, spec: &AttachSpec, index: Index) -> Arc<Device> {
        let device = Device::new(&spec.label, Arc::clone(&spec.device), index);
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.retain(|device| device.strong_count() > 0);
        served.push(Arc::downgrade(&device));
        device
    }

    /// True for a device that this process serves, whatever an old record says of it.
    fn serves(&self, index: Index) -> bool {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served
            .iter()
            .filter_map(Weak::upgrade)
            .any(|device| device.index == index && device.is_ours())
    }
}

#[async_trait]
impl Transport for NbdTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Nbd
    }

    async fn probe(&self) -> Availability {
        spawn_blocking(probe).await.unwrap_or_else(|error| Availability {
            available: false,
            detail: format!("looking for nbd failed: {error}"),
            limits: Vec::new(),
        })
    }

    async fn attach(&self, spec: AttachSpec) -> Result<Box<dyn Attached>, DeviceError> {
        let found = self.probe().await;
        if !found.available {
            return Err(DeviceError::new(
                ErrorKind::Unsupported,
                format!("attach {}: {}", spec.label, found.detail),
            ));
        }
        Ok(Box::new(self.connect(&spec, None).await?))
    }

    async fn recover(&self, spec: AttachSpec, left: Recovery) -> Result<Box<dyn Attached>, DeviceError> {
        let (index, connections) = of_nbd(&left)?;
        match index.backend() {
            Some(found) if found == backend(&spec.label) => {
                return Ok(Box::new(self.resume(&spec, index, connections).await?));
            }
            Some(other) => {
                tracing::warn!(volume = spec.label, node = %index.node().display(), other, "the device has another owner now")
            }
            None => {
                tracing::warn!(volume = spec.label, node = %index.node().display(), "the device is no longer there")
            }
        }
        match self.connect(&spec, Some(index.0)).await {
            Ok(attached) => Ok(Box::new(attached)),
            Err(_) => self.attach(spec).await,
        }
    }

    async fn clean(&self, left: Recovery) -> Result<(), DeviceError> {
        let (index, _) = of_nbd(&left)?;
        if self.serves(index) || !index.backend().is_some_and(|found| is_restblk(&found)) {
            return Ok(());
        }
        let done = client::blocking(move |client: &mut Client| {
            client.disconnect(index.0)?;
            index.forget_partitions();
            Ok(())
        })
        .await;
        done.map_err(|error| DeviceError::io(format_args!("disconnect {}", index.node().display()), &error))
    }
}

fn of_nbd(left: &Recovery) -> Result<(Index, u16), DeviceError> {
    match left {
        Recovery::Nbd { index, connections } => Ok((Index(*index), *connections)),
        other => Err(DeviceError::new(
            ErrorKind::Bug,
            format!("nbd was asked to recover a {} device", other.kind()),
        )),
    }
}

async fn wait_for_node(index: Index) -> Result<(), DeviceError> {
    let until = Instant::now() + NODE_MAX;
    let node = index.node();
    while !node.exists() {
        if Instant::now() > until {
            let what = format!(
                "{} did not appear: is /dev a devtmpfs, or does udev run?",
                node.display()
            );
            return Err(DeviceError::new(ErrorKind::Unavailable, what));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn processors() -> u16 {
    std::thread::available_parallelism().map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX))
}
