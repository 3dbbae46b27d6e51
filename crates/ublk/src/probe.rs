//! What this host can do: the module, the driver's features, the rights; and in words what is missing.

use crate::{
    control::{CONTROL_PATH, Control},
    uapi,
};
use restblk_device::Availability;
use std::{io, path::Path, process::Command};

const NEEDED: u64 = uapi::F_CMD_IOCTL_ENCODE | uapi::F_USER_RECOVERY | uapi::F_USER_RECOVERY_REISSUE;

/// Looks, loading the module if it is not there. Blocks for the time that takes.
pub(crate) fn probe() -> Availability {
    let kernel = release();
    let no = |detail: String| Availability {
        available: false,
        detail,
        limits: Vec::new(),
    };
    if !Path::new(CONTROL_PATH).exists()
        && let Err(why) = load_module()
    {
        return no(format!("kernel {kernel} has no {CONTROL_PATH}: {why}"));
    }
    let mut control = match Control::open() {
        Ok(control) => control,
        Err(error) => return no(no_control(&kernel, &error)),
    };
    match control.features() {
        Ok(features) => judge(&kernel, features),
        Err(refused) if refused.errno == libc::EPERM || refused.errno == libc::EACCES => no(format!(
            "kernel {kernel}: the ublk driver wants CAP_SYS_ADMIN; run the daemon as root"
        )),
        Err(refused) => no(format!(
            "kernel {kernel}: the ublk driver does not tell its features ({}); Linux 6.5 or newer is needed",
            io::Error::from_raw_os_error(refused.errno)
        )),
    }
}

fn judge(kernel: &str, features: u64) -> Availability {
    if features & NEEDED != NEEDED {
        let detail = format!(
            "kernel {kernel}: the ublk driver lacks user recovery (features {features:#x}); Linux 6.5 or newer is needed"
        );
        return Availability {
            available: false,
            detail,
            limits: Vec::new(),
        };
    }
    let mut limits = Vec::new();
    if features & uapi::F_UPDATE_SIZE == 0 {
        limits.push(
            "no online resize before Linux 6.16: after extending a volume, detach it and attach it again \
             (or attach it by nbd, which can)"
                .to_owned(),
        );
    }
    Availability {
        available: true,
        detail: format!("ublk_drv loaded, kernel {kernel}, features {features:#x}"),
        limits,
    }
}

fn no_control(kernel: &str, error: &io::Error) -> String {
    let next = match error.raw_os_error() {
        Some(libc::EACCES) => "run the daemon as root",
        Some(libc::EPERM) => {
            "io_uring is forbidden: see kernel.io_uring_disabled, or the container's seccomp profile"
        }
        Some(libc::ENOSYS) => "this kernel is built without io_uring",
        _ => "see `dmesg | grep ublk`",
    };
    format!("kernel {kernel}: cannot use {CONTROL_PATH}: {error}; {next}")
}

fn release() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |u| u.release().to_string_lossy().into_owned(),
    )
}

fn load_module() -> Result<(), String> {
    let advice = "install a kernel with CONFIG_BLK_DEV_UBLK (Linux 6.5 or newer; Debian 13, Ubuntu 24.04), then `modprobe ublk_drv`";
    let tried = ["modprobe", "/sbin/modprobe", "/usr/sbin/modprobe"]
        .into_iter()
        .map(|program| Command::new(program).args(["-q", "ublk_drv"]).output())
        .find(|result| {
            !result
                .as_ref()
                .is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        });
    match tried {
        // The node appears with the module.
        Some(Ok(output)) if output.status.success() && Path::new(CONTROL_PATH).exists() => Ok(()),
        Some(Ok(output)) if output.status.success() => {
            Err("the module is loaded but /dev has no node; mount devtmpfs on /dev".to_owned())
        }
        Some(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("the module ublk_drv does not load ({}); {advice}", said.trim()).replace(" ()", ""))
        }
        Some(Err(error)) => Err(format!("modprobe does not run: {error}; {advice}")),
        None => Err(format!("there is no modprobe; {advice}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_real_kernels_are_judged() {
        let old = judge("6.12.1", 0x1fe); // as 6.12 answers
        assert!(
            old.available && old.limits.len() == 1 && old.limits[0].contains("resize"),
            "{old:?}"
        );
        let new = judge("7.2.0", 0xf_ffff);
        assert!(new.available && new.limits.is_empty(), "{new:?}");
        let bare = judge("6.0.1", 0x7);
        assert!(!bare.available && bare.detail.contains("6.5"), "{bare:?}");
    }

    #[test]
    fn this_host_gets_an_answer() {
        let answer = probe();
        assert_eq!(
            answer.available,
            Path::new(CONTROL_PATH).exists() && nix::unistd::geteuid().is_root(),
            "{answer:?}"
        );
        assert!(answer.detail.contains("kernel"), "{answer:?}");
    }
}
