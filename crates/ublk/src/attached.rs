//! A device in use: its end, planned or not.
//!
//! The phase says who may do what: `Live` once, then `Detached` or `HandedOver` for ever. `detach` and `hand_over` hold the
//! phase's lock while they work, so two of them cannot mix. A device dropped while live is left to the next daemon.

use crate::{
    bring_up::{self, Served},
    control::{Control, Refused},
    node,
    queue::Mode,
    resize,
    transport::blocking,
    uapi,
};
use async_trait::async_trait;
use restblk_block::BlockDevice;
use restblk_device::{Attached, DeviceError, Recovery};
use restblk_types::ErrorKind;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// How long detaching waits for the store, flush and page cache together. With [`STOP`] it is less than the 20 s in which
/// every command ends (docs/semantics.md).
const FLUSH: Duration = Duration::from_secs(10);

/// How long STOP_DEV may take in a detach, when all is written already. The kernel goes on stopping after that.
const STOP: Duration = Duration::from_secs(8);

/// How long handing over waits for requests in the engine's hands. Those that take longer are sent again.
const DRAIN: Duration = Duration::from_secs(10);

/// How long threads may take to end once there is nothing left to do.
const THREADS: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    Detached,
    HandedOver,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct UblkAttached {
    served: Arc<Served>,
    device: Arc<dyn BlockDevice>,
    label: String,
    phase: Mutex<Phase>,
    resizer: JoinHandle<()>,
}

impl UblkAttached {
    /// Starts to follow the volume's size. Within the runtime.
    pub(crate) fn new(served: Served, device: Arc<dyn BlockDevice>, label: String) -> Self {
        let follow = resize::follow(Arc::clone(&device), served.dev_id, served.size, served.features);
        let resizer = tokio::spawn(follow);
        tracing::info!(label, path = %served.path.display(), resumed = served.resumed, "attached by ublk");
        Self {
            served: Arc::new(served),
            device,
            label,
            phase: Mutex::new(Phase::Live),
            resizer,
        }
    }

    fn late(&self, doing: &str, seconds: Duration) -> DeviceError {
        let text = format!(
            "detach {} ({}): {doing} takes longer than {} s; is the store reachable? Detach again when it is",
            self.served.path.display(),
            self.label,
            seconds.as_secs()
        );
        DeviceError::new(ErrorKind::Unavailable, text)
    }

    async fn flush(&self, until: Instant) -> Result<(), DeviceError> {
        match timeout_at(until, self.device.flush()).await {
            Err(_) => Err(self.late("flushing the volume", FLUSH)),
            Ok(Err(error)) => {
                let text = format!("flush {} before detaching it: {error}", self.label);
                Err(DeviceError::new(error.kind(), text))
            }
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Waits for the threads, which have nothing left to do, and for the kernel to see them end.
    async fn threads_ended(&self, deadline: Duration) -> bool {
        if !self.served.server.ended(deadline).await {
            return false;
        }
        let served = Arc::clone(&self.served);
        blocking(move || {
            served.server.join();
            Ok(())
        })
        .await
        .is_ok()
    }
}

/// Stops the disk: refused while anybody has it open, where the kernel can tell (Linux 7.0), else not.
fn stop(dev_id: u32, features: u64) -> Result<(), DeviceError> {
    let mut control = Control::connect()?;
    let command = if features & uapi::F_SAFE_STOP == 0 {
        uapi::STOP_DEV
    } else {
        uapi::TRY_STOP_DEV
    };
    match control.order(command, dev_id, 0, STOP) {
        Ok(())
        | Err(Refused {
            errno: libc::ENODEV, ..
        }) => Ok(()),
        Err(Refused {
            errno: libc::EBUSY, ..
        }) => Err(node::busy(dev_id)),
        Err(e) => Err(e.error(
            format!("stop /dev/ublkb{dev_id}"),
            "requests wait for the store; the kernel goes on stopping, detach again later",
        )),
    }
}

#[async_trait]
impl Attached for UblkAttached {
    fn path(&self) -> &Path {
        &self.served.path
    }

    fn recovery(&self) -> Recovery {
        Recovery::Ublk {
            dev_id: self.served.dev_id,
        }
    }

    fn resumed(&self) -> bool {
        self.served.resumed
    }

    async fn gone(&self) -> String {
        let why = self.served.server.broken().await;
        // A detach or a hand-over ends the threads too, and is no accident.
        if *self.phase.lock().await == Phase::Live {
            why
        } else {
            std::future::pending().await
        }
    }

    async fn detach(&self) -> Result<(), DeviceError> {
        let mut phase = self.phase.lock().await;
        match *phase {
            Phase::Live => {}
            Phase::Detached => return Ok(()),
            Phase::HandedOver => {
                let text = format!("detach {}: it waits for the next daemon already", self.label);
                return Err(DeviceError::new(ErrorKind::Busy, text));
            }
        }
        let (dev_id, features) = (self.served.dev_id, self.served.features);
        // The store is asked first: a thread that waits for it in the kernel could not be called back.
        blocking(move || node::claim(dev_id).map(drop)).await?;
        let until = Instant::now() + FLUSH;
        self.flush(until).await?;
        let settled = timeout_at(until, blocking(move || node::settle(dev_id)));
        let late = |_| Err(self.late("writing the page cache back", FLUSH));
        settled.await.unwrap_or_else(late)?;
        blocking(move || stop(dev_id, features)).await?;
        // The disk has gone: what follows cannot bring it back, so it is done to the end.
        *phase = Phase::Detached;
        self.resizer.abort();
        if !self.threads_ended(THREADS).await {
            self.served.server.set(Mode::Abort);
            if !self.threads_ended(THREADS).await {
                return Err(self.late("ending the queues", THREADS));
            }
        }
        blocking(move || bring_up::delete(&mut Control::connect()?, dev_id)).await?;
        tracing::info!(label = self.label, dev_id, "detached");
        // Writes of the last moment, between the flush and the stop.
        self.flush(Instant::now() + FLUSH).await
    }

    async fn hand_over(&self) -> Result<Recovery, DeviceError> {
        let mut phase = self.phase.lock().await;
        match *phase {
            Phase::HandedOver => return Ok(self.recovery()),
            Phase::Detached => {
                let text = format!("hand {} over: it is detached", self.label);
                return Err(DeviceError::new(ErrorKind::NotFound, text));
            }
            Phase::Live => {}
        }
        *phase = Phase::HandedOver;
        self.resizer.abort();
        self.served.server.set(Mode::Drain);
        if !self.threads_ended(DRAIN).await {
            // The end of the process takes the queues down; what they have is sent again.
            tracing::warn!(
                label = self.label,
                "requests are still in flight: the next daemon gets them again"
            );
        }
        if let Err(error) = self.flush(Instant::now() + FLUSH).await {
            // As after a crash: what users were promised is what they had flushed, and that is safe.
            tracing::warn!(label = self.label, %error, "handed over without a last flush");
        }
        Ok(self.recovery())
    }
}

impl Drop for UblkAttached {
    fn drop(&mut self) {
        self.resizer.abort();
    }
}
