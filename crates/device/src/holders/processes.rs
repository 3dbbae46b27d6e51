//! Programs that have a device open, by the links of /proc/PID/fd.
//!
//! Only the link's text is read for the many descriptors that are no devices; the few under /dev are looked at
//! with stat, which on /dev cannot hang.

use super::{DeviceNumber, HeldBy, Holder, Program, Wanted};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Dir, FileType, Mode, OFlags, major, minor, openat, readlinkat_raw, statat},
};
use std::{fs, io};

pub(super) fn find(wanted: &Wanted, found: &mut Vec<Holder>) {
    let own = std::process::id();
    let Ok(proc) = rustix::fs::open(
        "/proc",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) else {
        return;
    };
    for pid in pids().into_iter().filter(|pid| *pid != own) {
        // A process that ends meanwhile holds nothing.
        for device in open_devices(&proc, pid, wanted).unwrap_or_default() {
            found.push(Holder {
                device,
                by: HeldBy::Process(program(pid)),
            });
        }
    }
}

/// The program that runs as `pid`.
pub(super) fn program(pid: u32) -> Program {
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Program {
        command: command.trim_end().to_owned(),
        pid,
    }
}

/// The ids of all processes.
pub(super) fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn open_devices(proc: &OwnedFd, pid: u32, wanted: &Wanted) -> io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(proc, format!("{pid}/fd"), flags, Mode::empty())?;
    let mut devices = Vec::new();
    let mut target = [0_u8; 64];
    for entry in Dir::read_from(&folder)?.flatten() {
        // A longer target is cut, which does not matter for its beginning.
        let under_dev = readlinkat_raw(&folder, entry.file_name(), &mut target[..]);
        if under_dev.is_ok_and(|len| target[..len].starts_with(b"/dev/"))
            && let Some(name) = number(&folder, entry.file_name()).and_then(|number| wanted.name(number))
        {
            devices.push(name.to_owned());
        }
    }
    Ok(devices)
}

/// The number of the block device behind a descriptor.
fn number(folder: &OwnedFd, fd: &std::ffi::CStr) -> Option<DeviceNumber> {
    let stat = statat(folder, fd, AtFlags::empty()).ok()?;
    let block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    block.then(|| (major(stat.st_rdev), minor(stat.st_rdev)))
}
