//! Going on with a device that an earlier daemon left: is it ours, is it free, does it fit; then new queues.
//!
//! The kernel holds the device's users and their requests until END_USER_RECOVERY. Never taken: a device of
//! another volume or program, and one that a living process serves. On an error after START_USER_RECOVERY
//! the device waits on, and another try finds it so.

use crate::{
    bring_up::{Served, tear_down},
    control::{Control, QUICK, Refused},
    identity, node, params,
    server::Server,
    uapi::{self, DevInfo, SECTOR},
};
use restblk_device::{AttachSpec, DeviceError};
use restblk_types::ErrorKind;
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How long the kernel may take to see that the old daemon is gone. Linux before 6.15 takes its request timeout, 30 s,
/// where every tag of a queue was in the daemon's hands.
const OLD_DAEMON: Duration = Duration::from_secs(75);

/// END_USER_RECOVERY waits for the new queues alone.
const END: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// What became of the device.
#[derive(Debug)]
pub(crate) enum TakeOver {
    /// It goes on.
    Resumed(Box<Served>),
    /// It has not outlived its daemon; its number may be had again if there is one.
    Lost(Option<u32>),
}

/// Takes the device `dev_id` over for `spec`.
pub(crate) fn take_over(spec: &AttachSpec, dev_id: u32, runtime: &Handle) -> Result<TakeOver, DeviceError> {
    let mut control = Control::connect()?;
    let features = control
        .features()
        .map_err(|e| e.error("ask for the driver's features", "it needs Linux 6.5"))?;
    let info = match control.info(dev_id) {
        Ok(info) => info,
        Err(Refused {
            errno: libc::ENODEV, ..
        }) => return Ok(TakeOver::Lost(Some(dev_id))),
        Err(e) => return Err(e.error(format!("look at /dev/ublkb{dev_id}"), "run as root")),
    };
    if info.ublksrv_flags != identity::mark(&spec.label) {
        tracing::warn!(
            dev_id,
            label = spec.label,
            "the device number belongs to another volume or program by now"
        );
        return Ok(TakeOver::Lost(None));
    }
    let info = abandoned(&mut control, info)?;
    if info.state == uapi::STATE_DEAD {
        tear_down(dev_id, None)?;
        return Ok(TakeOver::Lost(Some(dev_id)));
    }
    let kernel = control.params(dev_id).map_err(|e| {
        e.error(
            format!("read the parameters of /dev/ublkb{dev_id}"),
            "run as root",
        )
    })?;
    let recoverable = info.flags & uapi::F_USER_RECOVERY_REISSUE != 0;
    let can_resize = features & uapi::F_UPDATE_SIZE != 0;
    let unfit = if recoverable {
        params::mismatch(&kernel, &spec.device.geometry(), can_resize)
    } else {
        Some("it was made without recovery".to_owned())
    };
    if let Some(why) = unfit {
        let text = format!(
            "go on with /dev/ublkb{dev_id} for {}: {why}; unmount what is on it, then detach and attach the volume",
            spec.label
        );
        return Err(DeviceError::new(ErrorKind::Conflict, text));
    }
    let server = resume(&mut control, spec, &info, runtime)?;
    let path = node::await_disk(dev_id)?;
    restblk_device::inherited::let_go(&format!("ublkb{dev_id}"));
    let size = kernel.basic.dev_sectors * SECTOR;
    Ok(TakeOver::Resumed(Box::new(Served {
        dev_id,
        path,
        server,
        features,
        size,
        resumed: true,
    })))
}

/// Waits until the kernel has noticed the end of the daemon before us; refuses where that one lives.
fn abandoned(control: &mut Control, mut info: DevInfo) -> Result<DevInfo, DeviceError> {
    let (dev_id, pid) = (info.dev_id, info.ublksrv_pid);
    let end = Instant::now() + OLD_DAEMON;
    while info.state == uapi::STATE_LIVE {
        let own = u32::try_from(pid).is_ok_and(|pid| pid == std::process::id());
        if !own && Path::new(&format!("/proc/{pid}")).exists() && !is_ending(pid) {
            return Err(served(dev_id, pid));
        }
        if Instant::now() > end {
            return Err(served(dev_id, pid));
        }
        thread::sleep(PAUSE);
        info = control
            .info(dev_id)
            .map_err(|e| e.error(format!("look at /dev/ublkb{dev_id}"), "try again"))?;
    }
    Ok(info)
}

fn served(dev_id: u32, pid: i32) -> DeviceError {
    DeviceError::new(
        ErrorKind::Busy,
        format!("go on with /dev/ublkb{dev_id}: process {pid} serves it; end that process, then try again"),
    )
}

/// True for a process that is a zombie or has no memory any more: killed, and being taken apart.
fn is_ending(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |status| {
        !status.lines().any(|line| line.starts_with("VmSize:"))
    })
}

fn resume(
    control: &mut Control,
    spec: &AttachSpec,
    info: &DevInfo,
    runtime: &Handle,
) -> Result<Server, DeviceError> {
    let dev_id = info.dev_id;
    let what = || format!("go on with /dev/ublkb{dev_id}");
    let end = Instant::now() + OLD_DAEMON;
    loop {
        match control.order(uapi::START_USER_RECOVERY, dev_id, 0, QUICK) {
            Ok(()) => break,
            // The kernel has not closed all of the old daemon's files yet.
            Err(Refused {
                errno: libc::EBUSY, ..
            }) if Instant::now() < end => thread::sleep(PAUSE),
            // A daemon that died between the start and the end of a recovery leaves the device prepared already.
            Err(Refused {
                errno: libc::EINVAL, ..
            }) if info.state == uapi::STATE_QUIESCED => break,
            Err(e) => return Err(e.error(what(), "is another process taking it over?")),
        }
    }
    let node = node::open_character(dev_id)?;
    let server = Server::start(info, node, &spec.device, runtime)?;
    match control.order(uapi::END_USER_RECOVERY, dev_id, std::process::id().into(), END) {
        Ok(()) => Ok(server),
        // Dropping the server closes the node, and the device waits for another try.
        Err(e) => Err(e.error(what(), "its users wait; try again, and see `dmesg | grep ublk`")),
    }
}
