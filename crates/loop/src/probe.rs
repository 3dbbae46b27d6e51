//! What this host can do for the transport, in words for people. Blocks; may load kernel modules.

use crate::filesystem;
use restblk_device::{Availability, loopdev};
use rustix::mount::FsOpenFlags;
use std::{fs::OpenOptions, io, process::Command};

/// Looks at devices, kernel and rights; `with_holder` says whether devices are to outlive the daemon.
pub(crate) fn probe(with_holder: bool) -> Availability {
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
