//! The transport itself: what the host can do, attach, recover, clean.

use crate::{
    attach::Fresh,
    attached::{LoopAttached, Parts},
    blocking::blocking,
    filesystem,
    helper::HelperProgram,
    holder::{self, Holder},
    loopback,
    probe::probe,
    session::Session,
    tree::Tree,
};
use async_trait::async_trait;
use restblk_device::{AttachSpec, Attached, Availability, DeviceError, Recovery, Transport, TransportKind};
use restblk_types::ErrorKind;
use std::{path::PathBuf, thread::available_parallelism, time::Duration};

/// Requests in flight where the caller does not say; the loop driver has at most 128 at once.
const DEPTH_DEFAULT: u16 = 128;
/// More threads than this gained nothing, also on larger hosts: they only start requests.
const THREADS_MAX: usize = 4;

/// Attaches volumes as loop devices over FUSE.
#[derive(Clone, Debug)]
pub struct LoopTransport {
    program: HelperProgram,
    /// Devices outlive the daemon.
    hold: bool,
}

impl LoopTransport {
    /// Devices that outlive the daemon, where the kernel can (Linux 6.9): each gets a process that keeps it.
    #[must_use]
    pub fn new(program: HelperProgram) -> Self {
        Self { program, hold: true }
    }

    /// Devices that end with the daemon.
    #[must_use]
    pub fn without_holder(program: HelperProgram) -> Self {
        Self { program, hold: false }
    }

    async fn attach_at(&self, spec: AttachSpec, preferred: Option<u32>) -> Result<LoopAttached, DeviceError> {
        let run_dir = canonical(&spec)?;
        let mount = mount_of(&run_dir);
        let tree = Tree::new(&mount, &spec.label);
        let connection = filesystem::connect()
            .map_err(|error| DeviceError::io(format_args!("open {}", filesystem::FUSE), &error))?;
        let session = Session::new(connection, spec.device.clone(), tree, depth(&spec));
        let threads = threads(&spec);
        let fresh = Fresh {
            session: session.clone(),
            mount,
            label: spec.label,
            threads,
            preferred,
        };
        let (program, hold_in) = (self.program.clone(), self.hold.then_some(run_dir));
        match blocking(move || fresh.make(program, hold_in.as_deref())).await {
            Ok(made) => Ok(LoopAttached::new(made.into_parts(session, threads))),
            Err(error) => {
                // Its file system has no user left and ends now.
                let mut state = session.state.subscribe();
                let ended = state.wait_for(|state| state.threads == 0);
                let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
                Err(error)
            }
        }
    }

    /// Goes on with the device of the earlier daemon; fails, with the reason, where that cannot be.
    async fn resume(
        &self,
        spec: &AttachSpec,
        index: u32,
        mount: PathBuf,
    ) -> Result<LoopAttached, DeviceError> {
        let gone = |why: &str| DeviceError::new(ErrorKind::NotFound, why.to_owned());
        let run_dir = canonical(spec)?;
        let found = blocking(move || Ok(Holder::find(&run_dir))).await?;
        let (holder, fuse, attributes) = found.ok_or_else(|| gone("nothing keeps its FUSE connection"))?;
        if !loopback::is_ours(index, &mount) {
            return Err(gone("the loop device has another file now"));
        }
        if loopback::block_size(index) != Some(spec.device.geometry().block_size.bytes()) {
            return Err(gone("the volume's block size has changed"));
        }
        let session = Session::new(
            fuse,
            spec.device.clone(),
            Tree::new(&mount, &spec.label),
            depth(spec),
        );
        session.state.send_modify(|state| state.resend = true);
        holder::resend(session.fuse())?;
        let threads = threads(spec);
        session.start(threads)?;
        let parts = Parts {
            index,
            mount,
            program: self.program.clone(),
            session,
            attributes,
            holder: Some(holder),
            threads,
            resumed: true,
        };
        Ok(LoopAttached::new(parts))
    }
}

#[async_trait]
impl Transport for LoopTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Loop
    }

    async fn probe(&self) -> Availability {
        let with_holder = self.hold;
        let probed = blocking(move || Ok(probe(with_holder))).await;
        probed.unwrap_or_else(|error| Availability {
            available: false,
            detail: error.to_string(),
            limits: Vec::new(),
        })
    }

    async fn attach(&self, spec: AttachSpec) -> Result<Box<dyn Attached>, DeviceError> {
        Ok(Box::new(self.attach_at(spec, None).await?))
    }

    /// The earlier daemon must have ended, to its last thread.
    async fn recover(&self, spec: AttachSpec, left: Recovery) -> Result<Box<dyn Attached>, DeviceError> {
        let (index, mount) = loop_of(&left)?;
        match self.resume(&spec, index, mount).await {
            Ok(attached) => return Ok(Box::new(attached)),
            Err(error) => tracing::info!(%error, index, label = spec.label, "the device begins anew"),
        }
        match self.clean(left).await {
            // A file system is still mounted on what is dead; the new device gets another number.
            Err(error) if error.kind() == ErrorKind::Busy => tracing::warn!(%error, "a dead device lingers"),
            other => other?,
        }
        Ok(Box::new(self.attach_at(spec, Some(index)).await?))
    }

    async fn clean(&self, left: Recovery) -> Result<(), DeviceError> {
        let (index, mount) = loop_of(&left)?;
        let program = self.program.clone();
        blocking(move || {
            if let Some((mut holder, ..)) = mount.parent().and_then(Holder::find) {
                holder.quit();
            }
            loopback::abandon(&program, index, &mount)
        })
        .await
    }
}

fn loop_of(left: &Recovery) -> Result<(u32, PathBuf), DeviceError> {
    match left {
        Recovery::Loop { index, mount } => Ok((*index, mount.clone())),
        other => {
            let message = format!("the loop transport cannot take over a device of {}", other.kind());
            Err(DeviceError::new(ErrorKind::Bug, message))
        }
    }
}

/// The attachment's folder as the kernel would name it.
fn canonical(spec: &AttachSpec) -> Result<PathBuf, DeviceError> {
    spec.run_dir
        .canonicalize()
        .map_err(|error| DeviceError::io(format_args!("find the folder {}", spec.run_dir.display()), &error))
}

/// Where the file system says that it is mounted. It is not; the loop device's backing file is named by it.
fn mount_of(run_dir: &std::path::Path) -> PathBuf {
    run_dir.join("mnt")
}

fn depth(spec: &AttachSpec) -> u16 {
    if spec.queue_depth == 0 {
        DEPTH_DEFAULT
    } else {
        spec.queue_depth
    }
}

fn threads(spec: &AttachSpec) -> u16 {
    let processors = available_parallelism().map_or(1, usize::from);
    let own = u16::try_from(processors.min(THREADS_MAX)).unwrap_or(1);
    if spec.queues == 0 {
        own
    } else {
        spec.queues.min(64)
    }
}
