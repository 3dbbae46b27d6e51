//! What the host calls itself.

use std::fs;

/// The host's name, for people.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The id of this boot: devices and processes of another boot are gone.
pub(crate) fn boot_id() -> String {
    // Always there on Linux with /proc; without it every start looks like one boot, which only costs a recovery attempt.
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |id| id.trim().to_owned())
}
