//! Making a device and taking it apart again: ADD_DEV, SET_PARAMS, queues, START_DEV; STOP_DEV, DEL_DEV.
//!
//! Invariant: what was begun is undone on every error. All of it blocks and runs on a thread of its own; START_DEV
//! scans for partitions, so the queues are served by then, by other threads.

use crate::{
    control::{Control, QUICK, Refused},
    identity, node, params,
    queue::Mode,
    server::Server,
    uapi::{self, DevInfo, Params},
};
use restblk_device::{AttachSpec, DeviceError};
use std::{path::PathBuf, time::Duration};
use tokio::runtime::Handle;

/// START_DEV reads the partition table, so it takes as long as the store takes to answer a few reads. It
/// ends with its command within 20 s (docs/semantics.md).
const START: Duration = Duration::from_secs(14);

/// STOP_DEV waits for the requests in flight.
const STOP: Duration = Duration::from_secs(30);

/// What to do when the kernel's own memory of a device is stuck.
const STUCK: &str = "see `dmesg | grep ublk`; if it stays so, only a reboot clears it";

/// A device in use, with the threads that serve it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) dev_id: u32,
    pub(crate) path: PathBuf,
    pub(crate) server: Server,
    /// What the driver can do.
    pub(crate) features: u64,
    /// The size in bytes that the kernel has.
    pub(crate) size: u64,
    pub(crate) resumed: bool,
}

/// Makes a device for `spec`, of the number `wanted` if it is free, and starts it.
pub(crate) fn bring_up(
    spec: &AttachSpec,
    wanted: Option<u32>,
    runtime: &Handle,
) -> Result<Served, DeviceError> {
    let mut control = Control::connect()?;
    let features = control
        .features()
        .map_err(|e| e.error("ask for the driver's features", "it needs Linux 6.5"))?;
    let info = add(&mut control, spec, wanted, features)?;
    let dev_id = info.dev_id;
    let geometry = spec.device.geometry();
    let params = params::params(&geometry, info.max_io_buf_bytes);
    let server = prepare(&mut control, spec, &info, &params, runtime).map_err(|e| undo(dev_id, None, e))?;
    let path = start(&mut control, dev_id).map_err(|e| undo(dev_id, Some(&server), e))?;
    Ok(Served {
        dev_id,
        path,
        server,
        features,
        size: geometry.size,
        resumed: false,
    })
}

/// Removes a device that did not start, and hands `why` back.
fn undo(dev_id: u32, server: Option<&Server>, why: DeviceError) -> DeviceError {
    if let Some(server) = server {
        server.set(Mode::Abort);
    }
    if let Err(left) = tear_down(dev_id, server) {
        tracing::error!(%left, "a device that did not start could not be removed");
    }
    why
}

fn add(
    control: &mut Control,
    spec: &AttachSpec,
    wanted: Option<u32>,
    features: u64,
) -> Result<DevInfo, DeviceError> {
    let mark = identity::mark(&spec.label);
    let mut attempt = |dev_id| {
        let mut info = params::device(dev_id, spec.queues, spec.queue_depth, mark, features);
        control.add(&mut info, START).map(|()| info)
    };
    let added = match attempt(wanted.unwrap_or(uapi::ANY_ID)) {
        Err(Refused {
            errno: libc::EEXIST, ..
        }) if wanted.is_some() => attempt(uapi::ANY_ID),
        other => other,
    };
    added.map_err(|e| e.error(format!("make a ublk device for {}", spec.label), STUCK))
}

/// Parameters and queues: all that START_DEV waits for.
fn prepare(
    control: &mut Control,
    spec: &AttachSpec,
    info: &DevInfo,
    params: &Params,
    runtime: &Handle,
) -> Result<Server, DeviceError> {
    let dev_id = info.dev_id;
    control.set_params(dev_id, params).map_err(|e| {
        let next = "the volume's geometry is not one the kernel takes";
        e.error(format!("set the size and limits of /dev/ublkb{dev_id}"), next)
    })?;
    Server::start(info, node::open_character(dev_id)?, &spec.device, runtime)
}

fn start(control: &mut Control, dev_id: u32) -> Result<PathBuf, DeviceError> {
    control
        .order(uapi::START_DEV, dev_id, std::process::id().into(), START)
        .map_err(|e| {
            let next = "is the volume readable? `dmesg | grep ublk` has the kernel's view";
            e.error(format!("start /dev/ublkb{dev_id}"), next)
        })?;
    node::await_disk(dev_id)
}

/// Stops and deletes a device whatever its users do; those in flight end first, with EIO where `server` aborts.
pub(crate) fn tear_down(dev_id: u32, server: Option<&Server>) -> Result<(), DeviceError> {
    let mut control = Control::connect()?;
    match control.order(uapi::STOP_DEV, dev_id, 0, STOP) {
        Ok(())
        | Err(Refused {
            errno: libc::ENODEV, ..
        }) => {}
        Err(e) => return Err(e.error(format!("stop /dev/ublkb{dev_id}"), STUCK)),
    }
    if let Some(server) = server {
        // A device that never started has tags that the kernel does not cancel.
        server.set(Mode::Drain);
        server.join();
    }
    delete(&mut control, dev_id)
}

/// Deletes a stopped device that nobody serves any more, and waits for its nodes to go.
pub(crate) fn delete(control: &mut Control, dev_id: u32) -> Result<(), DeviceError> {
    match control.order(uapi::DEL_DEV, dev_id, 0, QUICK) {
        Ok(())
        | Err(Refused {
            errno: libc::ENODEV, ..
        }) => {}
        // It is stopped: nobody reads or writes it any more. The kernel waits for who still has a node of it open, and goes on by itself.
        Err(Refused {
            errno: libc::ETIMEDOUT,
            ..
        }) => {
            tracing::warn!(
                dev_id,
                "the kernel has not finished deleting the device: somebody still has it open; its number is in use until then"
            );
            return Ok(());
        }
        Err(e) => return Err(e.error(format!("delete /dev/ublkb{dev_id}"), STUCK)),
    }
    if !node::await_gone(dev_id) {
        tracing::warn!(
            dev_id,
            "the device is deleted but its nodes under /dev have not gone"
        );
    }
    Ok(())
}
