//! What a process must do about itself before it serves block devices.
//!
//! The kernel may need a device in order to free memory, and the device's server may need memory in order to
//! answer. These calls break that circle; each concerns the threads that start afterwards, so `main` makes them
//! first. They serve no device themselves.
#![expect(
    unsafe_code,
    reason = "unshare, which rustix marks unsafe for the sake of descriptors; glibc's heap, which no crate wraps"
)]

use crate::DeviceError;
use restblk_types::ErrorKind;
use rustix::{
    io::Errno,
    mm::MlockAllFlags,
    mount::{MountPropagationFlags, UnmountFlags},
    thread::UnshareFlags,
};
use std::{io, time::Duration};

/// Tells the kernel that this process completes I/O: its allocations then never wait for I/O of its own devices.
///
/// `Denied` without CAP_SYS_RESOURCE: the devices work, but can lock up when memory is short; warn and go on.
/// `Unsupported` before Linux 5.6.
pub fn be_io_flusher() -> Result<(), DeviceError> {
    rustix::process::configure_io_flusher_behavior(true).map_err(|error| match error {
        Errno::PERM => DeviceError::new(
            ErrorKind::Denied,
            "cannot mark this process as one that completes I/O, which keeps its devices from locking up \
             when memory is short: give it CAP_SYS_RESOURCE (in a container: --cap-add SYS_RESOURCE)",
        ),
        Errno::INVAL => DeviceError::new(
            ErrorKind::Unsupported,
            "this kernel has no PR_SET_IO_FLUSHER (Linux 5.6), which keeps devices from locking up when memory is short",
        ),
        other => DeviceError::io("mark this process as one that completes I/O", &io::Error::from(other)),
    })
}

/// Keeps every page that this process touches, now and later, in memory.
///
/// `Denied` or `NoSpace` where RLIMIT_MEMLOCK is too small and CAP_IPC_LOCK is missing.
pub fn lock_all() -> Result<(), DeviceError> {
    // ONFAULT: only what is touched, so that large sparse buffers and stacks cost nothing.
    rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).map_err(|error| {
        let kind = match error {
            Errno::PERM => ErrorKind::Denied,
            Errno::NOMEM => ErrorKind::NoSpace,
            _ => ErrorKind::Unavailable,
        };
        let what = "cannot lock this process' memory: give it CAP_IPC_LOCK or raise its limit (LimitMEMLOCK=infinity)";
        DeviceError::new(kind, format!("{what}: {}", io::Error::from(error)))
    })
}

/// Memory that is free at the end of a heap and stays with this process all the same, in bytes a heap.
const FREE_MEMORY_KEPT: i32 = 32 << 20;
/// Allocations from this many bytes on get a mapping of their own, which their end takes away.
const MAPPED_FROM: i32 = 4 << 20;

/// Heaps. As glibc is set there are eight a processor, each with gaps of its own: of one volume under full load 370 MiB were in use and 520
/// resident with 16 heaps, 450 with four. Small pieces come from what each thread keeps, so threads seldom meet at a heap.
const HEAPS: i32 = 4;

/// Keeps freed memory for the next requests, up to a bound, instead of giving it back at once.
///
/// Buffers of some 100 KiB come and go with every request. As glibc is set, the kernel gets their pages back each time
/// and must find and zero new ones: a quarter of the time of a long read, and allocations in the kernel while it may be short
/// of memory because of this very device. Nothing is done with another C library.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    for (what, bytes) in [
        (libc::M_ARENA_MAX, HEAPS),
        (libc::M_TRIM_THRESHOLD, FREE_MEMORY_KEPT),
        (libc::M_MMAP_THRESHOLD, MAPPED_FROM),
    ] {
        // SAFETY: sets a number; glibc takes its own lock for it.
        if unsafe { libc::mallopt(what, bytes) } == 0 {
            tracing::debug!(what, bytes, "malloc did not take a setting");
        }
    }
}

/// Memory that is free and resident in all heaps together, in bytes, from which on it is given back.
const FREE_MEMORY_MAX: usize = 64 << 20;
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts a thread that gives freed memory back where all heaps together keep too much of it.
///
/// [`keep_freed_memory`] bounds what is free at the end of each heap. What is free between blocks that live has no bound:
/// of a volume that was written at full speed 20 MiB were in use afterwards and 340 MiB resident, with eight heaps a processor.
pub fn bound_freed_memory() -> Result<(), DeviceError> {
    let look = || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            give_back_freed_memory();
        }
    };
    let started = std::thread::Builder::new().name("memory".to_owned()).spawn(look);
    started
        .map(drop)
        .map_err(|error| DeviceError::io("start the thread that gives memory back", &error))
}

#[cfg(target_env = "gnu")]
fn give_back_freed_memory() {
    let Some(resident) = resident_memory() else { return };
    // a heap's totals cost a walk over its free blocks
    if resident <= FREE_MEMORY_MAX {
        return;
    }
    // SAFETY: reads numbers; glibc takes its own locks for it.
    let heaps = unsafe { libc::mallinfo2() };
    if resident.saturating_sub(heaps.uordblks + heaps.hblkhd) > FREE_MEMORY_MAX {
        // SAFETY: touches only what is free; glibc takes its own locks for it.
        unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(not(target_env = "gnu"))]
fn give_back_freed_memory() {}

/// Bytes of this process' own memory that are resident; `None` where the kernel does not tell.
#[cfg(target_env = "gnu")]
fn resident_memory() -> Option<usize> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let anonymous = told.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib = anonymous.trim_end_matches("kB").trim().parse::<usize>().ok()?;
    Some(kib << 10)
}

/// Moves this process into a mount namespace of its own: mounts made outside still appear inside, those made
/// inside appear nowhere else. /dev stays the same file system, so that links made there are seen by all.
///
/// Why: when the process dies, the kernel takes its namespace apart; a mount of its own there must not be what
/// others wait for, nor others' mounts of its devices what the dying process waits for.
///
/// `Bug` where other threads run already (they would stay behind); `Denied` without CAP_SYS_ADMIN.
pub fn own_mount_namespace() -> Result<(), DeviceError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|e| DeviceError::io("count this process' threads", &e))?
        .count();
    if threads != 1 {
        return Err(DeviceError::new(
            ErrorKind::Bug,
            format!(
                "{threads} threads run already: the mount namespace must be left before the second starts"
            ),
        ));
    }
    // Slave: events come in and none goes out.
    leave_namespace(MountPropagationFlags::DOWNSTREAM)
}

/// Takes this process' only thread off every mount there is: for a process that lives long and opens no file any more.
///
/// Else it would keep copies of all mounts that its parent had, and where the host's mounts are not shared, no
/// unmount reaches them: file systems would stay in use, unseen. `Denied` without CAP_SYS_ADMIN.
pub fn leave_all_mounts() -> Result<(), DeviceError> {
    leave_namespace(MountPropagationFlags::PRIVATE)?;
    rustix::mount::unmount("/", UnmountFlags::DETACH)
        .map_err(|error| DeviceError::io("leave all mounts", &error.into()))
}

/// Moves the calling thread into a copy of its mount namespace with this propagation.
fn leave_namespace(propagation: MountPropagationFlags) -> Result<(), DeviceError> {
    // SAFETY: only the mount namespace is left; descriptors stay shared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|error| {
        DeviceError::io(
            "leave the shared mount namespace (needs CAP_SYS_ADMIN)",
            &error.into(),
        )
    })?;
    rustix::mount::mount_change("/", propagation | MountPropagationFlags::REC)
        .map_err(|error| DeviceError::io("keep this process' mounts to itself", &error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flusher_is_set_or_says_what_is_missing() {
        match be_io_flusher() {
            Ok(()) => assert!(rustix::process::is_io_flusher().unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Denied);
                assert!(error.to_string().contains("CAP_SYS_RESOURCE"), "{error}");
            }
        }
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn freed_memory_goes_back() {
        // What lives between what is freed keeps the heap from shrinking at its end.
        let blocks: Vec<Vec<u8>> = (0..8192).map(|_| vec![1; 32 << 10]).collect();
        let full = resident_memory().unwrap();
        let kept: Vec<Vec<u8>> = blocks.into_iter().step_by(16).collect();
        give_back_freed_memory();
        let freed = full.saturating_sub(resident_memory().unwrap());
        assert!(freed > 150 << 20, "{freed} bytes of 240 MiB went back");
        assert!(kept.iter().flatten().all(|byte| *byte == 1));
    }

    #[test]
    fn a_process_can_leave_all_mounts() {
        // A thread can as well: the namespace is its own from then on.
        let left =
            std::thread::spawn(|| leave_all_mounts().map(|()| std::path::Path::new("/proc/self").exists()));
        match left.join().unwrap() {
            Ok(sees_proc) => assert!(!sees_proc),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Denied, "{error}"),
        }
        assert!(std::path::Path::new("/proc/self").exists());
    }

    #[test]
    fn a_namespace_is_refused_once_threads_run() {
        let refused = std::thread::spawn(own_mount_namespace).join().unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Bug);
    }
}
