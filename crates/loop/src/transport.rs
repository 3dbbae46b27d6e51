//! The transport itself: what the host can do, attach, recover, clean.

use crate::{
    attached::{LoopAttached, Parts},
    blocking::blocking,
    filesystem,
    holder::{self, Holder, HolderProgram},
    loopback,
    session::Session,
    tree::Tree,
};
use async_trait::async_trait;
use restblk_device::{
    AttachSpec, Attached, Availability, DeviceError, Recovery, Transport, TransportKind,
    loopdev::{self, LoopSetup},
};
use restblk_types::ErrorKind;
use rustix::mount::FsOpenFlags;
use std::{
    fs::OpenOptions, io, path::PathBuf, process::Command, thread::available_parallelism, time::Duration,
};

/// Requests in flight where the caller does not say; the loop driver has at most 128 at once.
const DEPTH_DEFAULT: u16 = 128;
/// More threads than this gained nothing, also on larger hosts: they only start requests.
const THREADS_MAX: usize = 4;

/// Attaches volumes as loop devices over FUSE.
#[derive(Clone, Debug, Default)]
pub struct LoopTransport {
    holder: Option<HolderProgram>,
}

impl LoopTransport {
    /// Devices that end with the daemon.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Devices that outlive the daemon, where the kernel can (Linux 6.9): each gets a process that keeps it.
    #[must_use]
    pub fn with_holder(program: HolderProgram) -> Self {
        Self {
            holder: Some(program),
        }
    }

    async fn attach_at(&self, spec: AttachSpec, preferred: Option<u32>) -> Result<LoopAttached, DeviceError> {
        let run_dir = canonical(&spec)?;
        let mount = mount_of(&run_dir);
        let geometry = spec.device.geometry();
        let tree = Tree::new(&mount, &spec.label);
        let path = tree.path();
        let connection = filesystem::connect()
            .map_err(|error| DeviceError::io(format_args!("open {}", filesystem::FUSE), &error))?;
        let session = Session::new(connection, spec.device.clone(), tree, depth(&spec));
        let setup = LoopSetup {
            block_size: geometry.block_size.bytes(),
            read_only: geometry.features.read_only,
            label: format!("restblk:{}", spec.label),
        };
        let (serving, threads) = (session.clone(), threads(&spec));
        let made = blocking(move || {
            let files = filesystem::make(&serving, threads, &path, setup.read_only)?;
            let index = loopback::take(&files.data, &setup, preferred)?;
            loopback::check(index);
            Ok((index, files.attributes))
        });
        let (index, attributes) = match made.await {
            Ok(made) => made,
            Err(error) => {
                // Its file system has no user left and ends now.
                let mut state = session.state.subscribe();
                let ended = state.wait_for(|state| state.threads == 0);
                let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
                return Err(error);
            }
        };
        let holder = match &self.holder {
            Some(program) if session.state.borrow().resend => Holder::start(
                program,
                &run_dir,
                session.fuse(),
                rustix::fd::AsFd::as_fd(&attributes),
            )
            .inspect_err(|error| tracing::warn!(%error, index, "the device will end with the daemon"))
            .ok(),
            _ => None,
        };
        let parts = Parts {
            index,
            mount,
            session,
            attributes,
            holder,
            threads,
            size: geometry.size,
            resumed: false,
        };
        Ok(LoopAttached::new(parts))
    }

    /// Goes on with the device of the earlier daemon; gives the specification back with the reason where that cannot be.
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
        // 0: whatever the size was, the kernel is told.
        let parts = Parts {
            index,
            mount,
            session,
            attributes,
            holder: Some(holder),
            threads,
            size: 0,
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
        let with_holder = self.holder.is_some();
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
        blocking(move || {
            if let Some((mut holder, ..)) = mount.parent().and_then(Holder::find) {
                holder.quit();
            }
            loopback::abandon(index, &mount)
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

fn probe(with_holder: bool) -> Availability {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let version = kernel_version(&release);
    let checks = [
        opens(filesystem::FUSE, "fuse"),
        opens(loopdev::CONTROL, "loop"),
        (version >= (5, 8))
            .then_some(())
            .ok_or_else(|| format!("Linux {release} is too old: 5.8 is needed")),
        rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)
            .map(drop)
            .map_err(|error| {
                let cause = io::Error::from(error);
                format!("cannot make a file system ({cause}): run as root, in a container with CAP_SYS_ADMIN")
            }),
    ];
    let missing: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    let mut limits = vec![
        "forced writes (FUA) become a write and a flush".to_owned(),
        "writes wait while a flush or a discard of the same volume is under way".to_owned(),
    ];
    if version < (6, 9) {
        limits.push(format!(
            "mounted file systems do not outlive the daemon (needs Linux 6.9, this is {release})"
        ));
    } else if !with_holder {
        limits.push("mounted file systems do not outlive the daemon".to_owned());
    }
    let available = missing.is_empty();
    let detail = if available {
        format!("{} and loop devices, Linux {release}", filesystem::FUSE)
    } else {
        missing.join("; ")
    };
    Availability {
        available,
        detail,
        limits,
    }
}

fn opens(path: &str, module: &str) -> Result<(), String> {
    let open = || OpenOptions::new().read(true).write(true).open(path).map(drop);
    let load = || Command::new("modprobe").args(["-q", module]).status();
    open()
        .or_else(|_| load().and_then(|_| open()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "{path} is missing: load it (modprobe {module}); in a container, pass it in (--device {path})"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("{path} may not be opened: run as root; in a container, pass it in (--device {path})")
            }
            _ => format!("{path} cannot be opened: {error}"),
        })
}

/// Major and minor number of a release such as `6.12.3-amd64`.
fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(kernel_version("6.12.3+deb13-amd64"), (6, 12));
        assert_eq!(kernel_version("7.2-rc1"), (7, 2));
        assert_eq!(kernel_version("odd"), (0, 0));
    }
}
