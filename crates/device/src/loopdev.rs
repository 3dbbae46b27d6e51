//! The kernel's loop devices: their numbers and their ioctls.
//!
//! Owns the binary forms of `linux/loop.h` that restblk needs, and nothing of what lies behind a device.
//! A [`LoopDevice`] blocks, on whoever serves its file: that must be another process.
#![expect(unsafe_code, reason = "ioctls of loop devices")]

use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
};

// linux/loop.h
const LOOP_CLR_FD: libc::c_ulong = 0x4C01;
const LOOP_SET_STATUS64: libc::c_ulong = 0x4C04;
const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;
const LOOP_SET_CAPACITY: libc::c_ulong = 0x4C07;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_ADD: libc::c_ulong = 0x4C80;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_PARTSCAN: u32 = 8;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// Where new loop devices come from.
pub const CONTROL: &str = "/dev/loop-control";

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopInfo {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// How a loop device is to be set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoopSetup {
    /// Logical block size in bytes.
    pub block_size: u32,
    /// Writes fail.
    pub read_only: bool,
    /// The name that the driver keeps with the device; its first 63 bytes.
    pub label: String,
}

/// What the driver says of a device that has a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopStatus {
    /// The driver reads and writes the file without its page cache.
    pub direct_io: bool,
    /// The device loses its file when its last user closes it.
    pub autoclear: bool,
    /// Writes fail.
    pub read_only: bool,
    /// The name given at its set-up.
    pub label: String,
}

/// An open loop device.
#[derive(Debug)]
pub struct LoopDevice {
    node: File,
}

impl LoopDevice {
    /// The node of number `index`.
    #[must_use]
    pub fn path(index: u32) -> PathBuf {
        PathBuf::from(format!("/dev/loop{index}"))
    }

    /// The number of a device that has no file now. Another process may take it first: [`Self::configure`] then
    /// fails with `ResourceBusy`.
    pub fn free_index() -> io::Result<u32> {
        let control = open_control()?;
        // SAFETY: LOOP_CTL_GET_FREE takes no argument.
        let index = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
        u32::try_from(index).map_err(io::Error::other)
    }

    /// Makes number `index` exist; fine if it does.
    pub fn add(index: u32) -> io::Result<()> {
        let control = open_control()?;
        // SAFETY: LOOP_CTL_ADD takes a number, not a pointer.
        match check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_ADD, libc::c_ulong::from(index)) }) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens number `index`; `exclusive` fails with `ResourceBusy` where a file system, swap, LVM or the like holds
    /// the device or a partition of it.
    pub fn open(index: u32, write: bool, exclusive: bool) -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | if exclusive { libc::O_EXCL } else { 0 };
        let node = OpenOptions::new()
            .read(true)
            .write(write)
            .custom_flags(flags)
            .open(Self::path(index))?;
        Ok(Self { node })
    }

    /// Gives the device a file, with direct I/O and a scan for partitions. `ResourceBusy` where it has one already.
    pub fn configure(&self, file: BorrowedFd<'_>, setup: &LoopSetup) -> io::Result<()> {
        let mut info = LoopInfo::EMPTY;
        info.flags =
            LO_FLAGS_PARTSCAN | LO_FLAGS_DIRECT_IO | if setup.read_only { LO_FLAGS_READ_ONLY } else { 0 };
        let label = setup.label.as_bytes();
        let len = label.len().min(info.file_name.len() - 1);
        info.file_name[..len].copy_from_slice(&label[..len]);
        let fd = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
        let config = LoopConfig {
            fd,
            block_size: setup.block_size,
            info,
            reserved: [0; 8],
        };
        // SAFETY: `config` has the layout of struct loop_config, which the driver only reads during the call.
        check(unsafe { libc::ioctl(self.node.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }).map(drop)
    }

    /// What the device is; `ENXIO` where it has no file.
    pub fn status(&self) -> io::Result<LoopStatus> {
        let info = self.info()?;
        let end = info
            .file_name
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(info.file_name.len());
        Ok(LoopStatus {
            direct_io: info.flags & LO_FLAGS_DIRECT_IO != 0,
            autoclear: info.flags & LO_FLAGS_AUTOCLEAR != 0,
            read_only: info.flags & LO_FLAGS_READ_ONLY != 0,
            label: String::from_utf8_lossy(&info.file_name[..end]).into_owned(),
        })
    }

    /// Takes the file away when the last user closes the device: at once if that is this handle, when it is dropped.
    pub fn clear(&self) -> io::Result<()> {
        // SAFETY: LOOP_CLR_FD takes no argument.
        check(unsafe { libc::ioctl(self.node.as_raw_fd(), LOOP_CLR_FD) }).map(drop)
    }

    /// Takes a [`Self::clear`] back that waits for other users.
    pub fn keep(&self) -> io::Result<()> {
        let mut info = self.info()?;
        info.flags &= !LO_FLAGS_AUTOCLEAR;
        // SAFETY: `info` has the layout of struct loop_info64, which the driver only reads during the call.
        check(unsafe { libc::ioctl(self.node.as_raw_fd(), LOOP_SET_STATUS64, &raw const info) }).map(drop)
    }

    /// Makes the driver take over the file's present size.
    pub fn set_capacity(&self) -> io::Result<()> {
        // SAFETY: LOOP_SET_CAPACITY takes no argument.
        check(unsafe { libc::ioctl(self.node.as_raw_fd(), LOOP_SET_CAPACITY) }).map(drop)
    }

    /// The device's size in bytes.
    pub fn size(&self) -> io::Result<u64> {
        (&self.node).seek(SeekFrom::End(0))
    }

    /// Writes what the kernel caches for the device, and makes it durable.
    pub fn sync(&self) -> io::Result<()> {
        self.node.sync_all()
    }

    fn info(&self) -> io::Result<LoopInfo> {
        let mut info = LoopInfo::EMPTY;
        // SAFETY: `info` has the layout of struct loop_info64, valid for any bytes, and outlives the call.
        check(unsafe { libc::ioctl(self.node.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) })?;
        Ok(info)
    }
}

/// The path of the file under loop device `index`, as the kernel knows it; `None` where it has no file.
#[must_use]
pub fn backing_file(index: u32) -> Option<PathBuf> {
    let text = std::fs::read_to_string(format!("/sys/block/loop{index}/loop/backing_file")).ok()?;
    let path = text.trim_end_matches('\n');
    (!path.is_empty()).then(|| Path::new(path).to_owned())
}

/// The size in bytes of loop device `index`, by sysfs: without a wait for whoever opens or scans the device.
#[must_use]
pub fn size(index: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/sys/block/loop{index}/size")).ok()?;
    text.trim().parse::<u64>().ok()?.checked_mul(512)
}

fn open_control() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(CONTROL)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_forms_have_the_kernels_sizes() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
