//! Mounts of a recovered device that this process inherited: it lets go of them.
//!
//! A daemon that starts while file systems on its devices are mounted copies those mounts into its own mount
//! namespace. Where the host's mounts are not shared (no systemd, most containers), no unmount reaches the
//! copies: the file system would live on after its user unmounted it, and the device could not be detached.
//! Worse, when the process dies, the kernel takes its namespace apart: a last unmount there writes to a device that
//! nobody serves any more, and the process hangs in its exit. So after a recovery the copies are unmounted, in our namespace only, and only if that is not the parent's as well.
//! Best effort: what cannot be read or unmounted is logged, and shows itself later as a device in use.

use nix::mount::{MntFlags, umount2};
use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// Levels of devices on devices that are followed; real ones have three or four.
const LEVELS: u8 = 16;

/// Unmounts, in a namespace of our own, what rests on the disk `name` ("ublkb0").
/// Does I/O on the disk if these were the last mounts of a file system: the disk must be served by now.
pub fn let_go(name: &str) {
    if !namespace_is_own() {
        return;
    }
    let mounts = match fs::read_to_string("/proc/self/mountinfo") {
        Ok(mounts) => mounts,
        Err(error) => return tracing::warn!(%error, "cannot read which mounts this process inherited"),
    };
    // The last mounted lie on top.
    for (number, source, target) in mounts.lines().rev().filter_map(parse) {
        let on_disk = device(number, &source).is_some_and(|device| rests_on(&device, name, LEVELS));
        if !on_disk {
            continue;
        }
        match umount2(&target, MntFlags::MNT_DETACH) {
            Ok(()) => tracing::debug!(name, target = %target.display(), "let go of an inherited mount"),
            Err(error) => {
                tracing::warn!(name, target = %target.display(), %error, "an inherited mount stays")
            }
        }
    }
}

/// True where this process is not in its parent's mount namespace.
fn namespace_is_own() -> bool {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let parent = nix::unistd::getppid().to_string();
    matches!((of("self"), of(&parent)), (Some(own), Some(parents)) if own != parents)
}

/// Device number, source and mount point of a line of mountinfo.
fn parse(line: &str) -> Option<((u32, u32), PathBuf, PathBuf)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (major, minor) = left.next()?.split_once(':')?;
    let target = left.nth(1)?;
    let source = right.split(' ').nth(1)?;
    Some((
        (major.parse().ok()?, minor.parse().ok()?),
        plain(source),
        plain(target),
    ))
}

/// A path of mountinfo without its octal escapes.
fn plain(escaped: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The folder in /sys of the device that a file system is on; of its source where the number is not a disk's (btrfs).
fn device((major, minor): (u32, u32), source: &Path) -> Option<PathBuf> {
    let (major, minor) = if major == 0 {
        let metadata = fs::metadata(source)
            .ok()
            .filter(|m| m.file_type().is_block_device())?;
        (
            nix::sys::stat::major(metadata.rdev()),
            nix::sys::stat::minor(metadata.rdev()),
        )
    } else {
        (major.into(), minor.into())
    };
    fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()
}

/// True where the device is the disk, a partition of it, or built on one that is (LVM, MD).
fn rests_on(device: &Path, name: &str, levels: u8) -> bool {
    if device.iter().any(|part| part == name) {
        return true;
    }
    let Some(levels) = levels.checked_sub(1) else {
        return false;
    };
    fs::read_dir(device.join("slaves"))
        .into_iter()
        .flatten()
        .filter_map(|slave| fs::canonicalize(slave.ok()?.path()).ok())
        .any(|slave| rests_on(&slave, name, levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_understood() {
        let line = r"36 35 259:3 / /mnt/with\040space rw,noatime shared:1 master:2 - ext4 /dev/ublkb0 rw";
        let (number, source, target) = parse(line).unwrap();
        assert_eq!(number, (259, 3));
        assert_eq!((source, target), ("/dev/ublkb0".into(), "/mnt/with space".into()));
        assert!(parse("nonsense").is_none());
        assert_eq!(plain(r"a\134b\"), Path::new(r"a\b\"));
    }

    #[test]
    fn devices_are_followed_down_to_the_disk() {
        let sys = tempfile::tempdir().unwrap();
        let (disk, dm0, dm1) = (
            sys.path().join("ublkb7/ublkb7p1"),
            sys.path().join("dm-0"),
            sys.path().join("dm-1"),
        );
        for folder in [&disk, &dm0.join("slaves"), &dm1.join("slaves")] {
            fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(&disk, dm0.join("slaves/ublkb7p1")).unwrap();
        std::os::unix::fs::symlink(&dm0, dm1.join("slaves/dm-0")).unwrap();
        assert!(rests_on(&disk, "ublkb7", LEVELS) && rests_on(&dm1, "ublkb7", LEVELS));
        assert!(!rests_on(&dm1, "ublkb", LEVELS) && !rests_on(&dm1, "ublkb7", 1));
    }

    #[test]
    fn the_tests_share_their_parents_namespace() {
        // So `let_go` does nothing here, whatever is mounted.
        assert!(!namespace_is_own());
    }
}
