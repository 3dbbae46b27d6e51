//! Mounting, unmounting, and what a killed daemon leaves.

use crate::mounted::{Mounted, errno};
use nix::errno::Errno;
use restblk_controlfs::MountError;
use std::time::{Duration, Instant};

fn is_mounted(tree: &Mounted) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.contains(tree.path("").to_str().unwrap().trim_end_matches('/'))
}

#[test]
fn unmounting_leaves_nothing() {
    let Some(mut tree) = Mounted::new() else { return };
    assert!(is_mounted(&tree));
    let handle = tree.handle.take().unwrap();
    tree.runtime.block_on(handle.unmount()).unwrap();
    assert!(!is_mounted(&tree));
    tree.handle = Some(tree.mount().unwrap());
    drop(tree.handle.take());
    assert!(!is_mounted(&tree), "dropping does the same");
}

#[test]
fn a_reader_does_not_hold_the_unmount_up() {
    let Some(mut tree) = Mounted::with(&["vol"]) else {
        return;
    };
    let open = std::fs::File::open(tree.path("volumes")).unwrap();
    let begun = Instant::now();
    tree.runtime
        .block_on(tree.handle.take().unwrap().unmount())
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5) && !is_mounted(&tree));
    assert_eq!(
        std::io::read_to_string(&open).unwrap(),
        "vol\n",
        "the reader reads on"
    );
}

#[test]
fn a_second_mount_is_refused() {
    let Some(tree) = Mounted::new() else { return };
    assert!(matches!(tree.mount(), Err(MountError::Taken { .. })));
}

/// The kernel ends a mount whose daemon was killed; the folder then answers nothing but ENOTCONN. A forced unmount of a
/// tree in use does the same to it.
#[test]
fn what_a_killed_daemon_left_is_taken_away() {
    let Some(mut tree) = Mounted::new() else { return };
    let in_use = std::fs::File::open(tree.path("create")).unwrap();
    let forced = nix::mount::umount2(&tree.path(""), nix::mount::MntFlags::MNT_FORCE);
    assert_eq!(forced, Err(Errno::EBUSY));
    assert_eq!(
        std::fs::metadata(tree.path("")).map(drop).map_err(errno),
        Err(Errno::ENOTCONN)
    );
    let old = tree.handle.replace(tree.mount().unwrap());
    assert!(tree.cat("create").unwrap().starts_with("Usage"));
    drop((in_use, old));
    assert!(
        tree.cat("create").unwrap().starts_with("Usage"),
        "the old one's end leaves the new one alone"
    );
}
