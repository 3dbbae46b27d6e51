//! A full disk, on a small tmpfs.

use crate::rig::Rig;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

struct Small(TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(dir.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small(dir));
        }
        println!("skipped: a tmpfs cannot be mounted here (needs root)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_is_507_and_nothing_is_half_made() {
    let Some(small) = Small::mount() else { return };
    let rig = Rig::with(|config| config.root = small.path().to_owned());
    let mut c = rig.client();
    c.put("o", b"before").is(201);
    c.put("sparse", b"").is(201);
    c.send("PATCH", "sparse?restblk_size=1073741824", &[], b"")
        .is(204);
    let tag = c.get("o").tag();

    let reply = c.put("o", &vec![1; 8 << 20]).is(507);
    assert!(
        reply.json()["error"].as_str().unwrap().contains("No space"),
        "{reply:?}"
    );
    let mut c = rig.client();
    let read = c.get("o").is(200);
    assert_eq!((read.body.as_slice(), read.tag()), (&b"before"[..], tag));
    c.put("new", &vec![1; 8 << 20]).is(507);
    let mut c = rig.client();
    c.get("new").is(404);
    assert_eq!(
        std::fs::read_dir(small.path().join(".cdmi-server/tmp"))
            .unwrap()
            .count(),
        0
    );

    // Fill all but a little, then write a range that needs more than is left: not one byte of it may land.
    c.put("fill", &vec![1; 3 << 20]).is(201);
    c.patch("sparse", 4096, &vec![2; 2 << 20]).is(507);
    c.patch("sparse", 1 << 20, &[3; 100]).is(204);
    let read = c
        .send("GET", "sparse", &["Range: bytes=0-1048575"], b"")
        .is(206)
        .body;
    assert!(read.iter().all(|b| *b == 0));
    c.cdmi("PUT", "copy", r#"{"copy":"fill"}"#).is(507);
    c.get("copy").is(404);
    c.cdmi("PATCH", "/cdmi/2.0.0/", r#"{"snapshot":"s"}"#).is(507);
    c.get("cdmi_snapshots/s/").is(404);
    // And it goes on when there is space again.
    c.send("DELETE", "fill", &[], b"").is(204);
    c.patch("sparse", 4096, &vec![2; 2 << 20]).is(204);
    drop(rig);
}
