//! The `Transport` of ublk: each call is moved to a thread that may block, and undone if its caller went away.

use crate::{
    attached::UblkAttached,
    bring_up::{Served, bring_up, tear_down},
    control::{Control, Refused},
    identity, probe,
    queue::Mode,
    take_over::{TakeOver, take_over},
    uapi,
};
use async_trait::async_trait;
use restblk_device::{AttachSpec, Attached, Availability, DeviceError, Recovery, Transport, TransportKind};
use restblk_types::ErrorKind;
use tokio::{runtime::Handle, sync::oneshot};

/// Volumes as /dev/ublkbN.
#[derive(Clone, Copy, Debug, Default)]
pub struct UblkTransport;

impl UblkTransport {
    /// The transport; it keeps no state, the kernel does.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Transport for UblkTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Ublk
    }

    async fn probe(&self) -> Availability {
        blocking(|| Ok(probe::probe()))
            .await
            .unwrap_or_else(|error| Availability {
                available: false,
                detail: error.to_string(),
                limits: Vec::new(),
            })
    }

    async fn attach(&self, spec: AttachSpec) -> Result<Box<dyn Attached>, DeviceError> {
        make(spec, None).await
    }

    async fn recover(&self, spec: AttachSpec, left: Recovery) -> Result<Box<dyn Attached>, DeviceError> {
        make(spec, Some(number(&left)?)).await
    }

    async fn clean(&self, left: Recovery) -> Result<(), DeviceError> {
        let dev_id = number(&left)?;
        blocking(move || clean(dev_id)).await
    }
}

fn number(left: &Recovery) -> Result<u32, DeviceError> {
    match left {
        Recovery::Ublk { dev_id } => Ok(*dev_id),
        other => Err(DeviceError::new(
            ErrorKind::Bug,
            format!("take over a {} device by ublk", other.kind()),
        )),
    }
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DeviceError> + Send + 'static,
) -> Result<T, DeviceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(DeviceError::new(
            ErrorKind::Bug,
            format!("finish an operation on a ublk device: {error}"),
        )),
    }
}

/// Makes or takes over the device of `spec`.
async fn make(spec: AttachSpec, left: Option<u32>) -> Result<Box<dyn Attached>, DeviceError> {
    let runtime = Handle::current();
    let (result_tx, result) = oneshot::channel();
    let (device, label) = (spec.device.clone(), spec.label.clone());
    tokio::task::spawn_blocking(move || {
        let made = match left {
            None => bring_up(&spec, None, &runtime),
            Some(dev_id) => match take_over(&spec, dev_id, &runtime) {
                Ok(TakeOver::Resumed(served)) => Ok(*served),
                Ok(TakeOver::Lost(wanted)) => bring_up(&spec, wanted, &runtime),
                Err(error) => Err(error),
            },
        };
        if let Err(Ok(served)) = result_tx.send(made) {
            unwanted(&served);
        }
    });
    match result.await {
        Ok(served) => Ok(Box::new(UblkAttached::new(served?, device, label))),
        Err(_) => Err(DeviceError::new(
            ErrorKind::Bug,
            "attach a volume by ublk: the thread that did it panicked",
        )),
    }
}

/// The caller has gone away: a fresh device is removed, one that has users is left to the next daemon.
fn unwanted(served: &Served) {
    if served.resumed {
        served.server.set(Mode::Drain);
    } else if let Err(error) = tear_down(served.dev_id, Some(&served.server)) {
        tracing::error!(%error, "a device that nobody wants could not be removed");
    }
}

fn clean(dev_id: u32) -> Result<(), DeviceError> {
    let mut control = Control::connect()?;
    let info = match control.info(dev_id) {
        Ok(info) => info,
        Err(Refused {
            errno: libc::ENODEV, ..
        }) => return Ok(()),
        Err(e) => return Err(e.error(format!("look at /dev/ublkb{dev_id}"), "run as root")),
    };
    if !identity::is_ours(info.ublksrv_flags) {
        tracing::info!(
            dev_id,
            "the device belongs to another program by now and is left alone"
        );
        return Ok(());
    }
    if info.state == uapi::STATE_LIVE && info.ublksrv_pid != i32::try_from(std::process::id()).unwrap_or(0) {
        let pid = info.ublksrv_pid;
        if std::path::Path::new(&format!("/proc/{pid}")).exists() {
            let text = format!("remove /dev/ublkb{dev_id}: process {pid} serves it; detach it there");
            return Err(DeviceError::new(ErrorKind::Busy, text));
        }
    }
    tear_down(dev_id, None)
}
