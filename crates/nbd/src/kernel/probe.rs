//! What this host has for the transport, and what it lacks, in words.

use super::client::Client;
use restblk_device::Availability;
use std::{fs, io, process::Command};

/// Bit of CAP_SYS_ADMIN, which the kernel asks for.
const CAP_SYS_ADMIN: u32 = 21;

/// Looks, and loads the module where it is not there. Blocks for as long as modprobe takes.
pub(super) fn probe() -> Availability {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if !may_administer() {
        return missing("connecting nbd devices needs CAP_SYS_ADMIN: run the daemon as root".to_owned());
    }
    let loaded = match Client::open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => load(),
        other => other.map(drop).map_err(|error| format!("netlink: {error}")),
    };
    match loaded {
        Err(reason) => missing(format!("kernel {release} has no nbd driver ready: {reason}")),
        Ok(()) => Availability {
            available: true,
            detail: format!("nbd loaded, kernel {release}"),
            limits: vec![
                "requests in flight when the daemon is killed go on up to 5 s after it is back (30 s with several queues)".to_owned(),
                "128 requests a queue, whatever depth is asked for".to_owned(),
            ],
        },
    }
}

/// Sixteen nodes are the module's default; more are made as they are needed.
fn load() -> Result<(), String> {
    const WHAT_NEXT: &str = "install the kernel's extra modules, or choose another transport";
    let paths = ["modprobe", "/sbin/modprobe", "/usr/sbin/modprobe"];
    let ran = paths
        .into_iter()
        .find_map(|path| Command::new(path).arg("nbd").output().ok());
    match ran {
        None => Err(
            "the module nbd is not loaded and there is no modprobe: install kmod, or load it by hand"
                .to_owned(),
        ),
        Some(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("modprobe nbd failed ({}): {WHAT_NEXT}", said.trim()))
        }
        Some(_) => Client::open()
            .map(drop)
            .map_err(|error| format!("modprobe nbd ran, but {error}: {WHAT_NEXT}")),
    }
}

fn may_administer() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> CAP_SYS_ADMIN & 1 == 1)
}

fn missing(detail: String) -> Availability {
    Availability {
        available: false,
        detail,
        limits: Vec::new(),
    }
}
