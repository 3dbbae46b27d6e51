//! What the host calls itself, and whether it goes down.

use std::{env, fs, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// How long systemd may take to say its state.
const ANSWER_MAX: Duration = Duration::from_secs(5);

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

/// Whether the host goes down. systemd knows, where it started us; else nobody does, and it is taken for no.
pub(crate) async fn goes_down() -> bool {
    if env::var_os("INVOCATION_ID").is_none() {
        return false;
    }
    let mut command = Command::new("systemctl");
    command
        .arg("is-system-running")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match timeout(ANSWER_MAX, command.output()).await {
        Ok(Ok(output)) => output.stdout.trim_ascii() == b"stopping",
        Ok(Err(error)) => {
            tracing::warn!(%error, "systemctl does not tell whether the host goes down");
            false
        }
        Err(_) => {
            tracing::warn!("systemd does not say whether the host goes down");
            false
        }
    }
}
