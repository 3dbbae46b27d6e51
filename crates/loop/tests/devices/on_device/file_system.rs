//! A file system on the device: contents, trim, flush, resize, and who holds it.

use crate::{
    probe_device::ProbeDevice,
    rig::{Rig, beside, has, run},
};
use restblk_device::holders;
use restblk_types::{BlockSize, ErrorKind};
use std::{
    path::Path,
    process::Command,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ext4_lives_through_all_of_it() {
    let Some(rig) = Rig::new().await else { return };
    let device = Arc::new(ProbeDevice::new(256 * MIB, BlockSize::B4096));
    let attached = rig.attach(device.clone()).await;
    let (path, mounted) = (attached.path().display().to_string(), rig.mount_point());
    let mounted = mounted.display();
    run(format!("mkfs.ext4 -q {path} && mount {path} {mounted}")).await;
    if has("fio") {
        run(format!(
            "fio --name=x --directory={mounted} --size=96m --rw=randrw --bs=4k --iodepth=32 --direct=1 \
             --ioengine=libaio --verify=crc32c --verify_fatal=1"
        ))
        .await;
    }
    run(format!("cp -a /usr/share/zoneinfo {mounted}/ && sync -f {mounted} && diff -r --no-dereference /usr/share/zoneinfo {mounted}/zoneinfo"))
        .await;
    let holes = device.holes.load(SeqCst);
    run(format!(
        "rm -rf {mounted}/x* && sync -f {mounted} && fstrim {mounted}"
    ))
    .await;
    assert!(device.holes.load(SeqCst) > holes, "fstrim punched no hole");

    let flushes = device.flushes.load(SeqCst);
    run(format!(
        "dd if=/dev/urandom of={mounted}/small bs=4k count=1 conv=fsync status=none"
    ))
    .await;
    assert!(
        device.flushes.load(SeqCst) > flushes,
        "fsync of a file did not flush the volume"
    );

    // The device grows under the mounted file system (whose own growth needs CAP_SYS_RESOURCE), in the middle of writes.
    let script = format!(
        "for i in $(seq 40); do dd if=/dev/zero of={mounted}/w$i bs=64k count=8 oflag=direct status=none || exit 1; done"
    );
    let writer = tokio::spawn(run(script));
    for size in [300, 320, 384] {
        device.memory.resize(size * MIB);
        let deadline = Instant::now() + Duration::from_secs(10);
        while run(format!("blockdev --getsize64 {path}")).await != (size * MIB).to_string() {
            assert!(Instant::now() < deadline, "the kernel does not see {size} MiB");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Not zeros because FUSE still knew the old size.
        let last = (size - 1).to_string();
        run(format!(
            "head -c 1M /dev/urandom > {mounted}/.r; dd if={mounted}/.r of={path} bs=1M seek={last} oflag=direct status=none; \
             dd if={path} bs=1M skip={last} iflag=direct status=none | cmp - {mounted}/.r"
        ))
        .await;
    }
    writer.await.unwrap();
    run(format!("umount {mounted} && fsck.ext4 -fn {path} && mount {path} {mounted} && diff -r --no-dereference /usr/share/zoneinfo {mounted}/zoneinfo && umount {mounted}"))
        .await;
    attached.detach().await.unwrap();
    rig.assert_no_loop_device();
}

/// Waits until exactly these hold the device: other programs of the host look at block devices now and then.
async fn until_held(node: &Path, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let asked = node.to_owned();
        let held = beside(move || holders::holders(&asked).unwrap()).await;
        let words: Vec<_> = held.iter().map(ToString::to_string).collect();
        if words == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{words:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_are_named_and_a_held_device_stays() {
    let Some(rig) = Rig::new().await else { return };
    let device = Arc::new(ProbeDevice::new(64 * MIB, BlockSize::B4096));
    let attached = rig.attach(device).await;
    let (node, mounted) = (attached.path().to_owned(), rig.mount_point());
    let (path, at) = (node.display().to_string(), mounted.display().to_string());
    until_held(&node, &[]).await;

    run(format!("mkfs.ext4 -q {path} && mount {path} {at}")).await;
    until_held(&node, &[&format!("mounted on {at}")]).await;
    let error = attached.detach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&at), "{error}");
    // It goes on as before.
    run(format!(
        "echo still here > {at}/file && sync -f {at} && cat {at}/file && umount {at}"
    ))
    .await;

    let mut reader = Command::new("sleep")
        .arg("60")
        .stdin(std::fs::File::open(&node).unwrap())
        .spawn()
        .unwrap();
    until_held(&node, &[&format!("open by sleep (pid {})", reader.id())]).await;
    let error = attached.detach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("open by sleep"), "{error}");
    run(format!(
        "dd if={path} of=/dev/null bs=1M iflag=direct status=none"
    ))
    .await;
    reader.kill().unwrap();
    reader.wait().unwrap();

    // Mounted in another namespace alone.
    let script = format!("mount --make-rprivate / && mount {path} {at} && exec sleep 60");
    let mut other = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .spawn()
        .unwrap();
    let words = format!(
        "mounted on {at} inside the container or sandbox of sleep (pid {pid}) (nsenter -t {pid} -m umount {at})",
        pid = other.id()
    );
    until_held(&node, &[&words]).await;
    other.kill().unwrap();
    other.wait().unwrap();

    run(format!("mkswap {path}")).await;
    if run(format!("swapon {path} && echo on || echo no")).await == "on" {
        until_held(&node, &["used as swap"]).await;
        run(format!("swapoff {path}")).await;
    }
    // A second loop device on top, and a partition.
    let above = run(format!("losetup -f --show {path}")).await;
    until_held(
        &node,
        &[&format!("held by {}", above.trim_start_matches("/dev/"))],
    )
    .await;
    run(format!("losetup -d {above}")).await;
    if has("addpart") {
        // In 512-byte sectors; the kernel here need not read any kind of partition table.
        run(format!(
            "addpart {path} 1 2048 65536 && mkfs.ext4 -q {path}p1 && mount {path}p1 {at}"
        ))
        .await;
        until_held(&node, &[&format!("mounted on {at}")]).await;
        let held = holders::holders(&node).unwrap();
        assert_eq!(
            held[0].device,
            format!("{}p1", path.trim_start_matches("/dev/")),
            "{held:?}"
        );
        assert_eq!(attached.detach().await.unwrap_err().kind(), ErrorKind::Busy);
        run(format!("umount {at}")).await;
    }

    let begun = Instant::now();
    for _ in 0..10 {
        let node = node.clone();
        beside(move || holders::holders(&node).unwrap()).await;
    }
    let each = begun.elapsed() / 10;
    println!("holders: {} µs", each.as_micros());
    assert!(each < Duration::from_millis(100), "{each:?}");
    attached.detach().await.unwrap();
    rig.assert_no_loop_device();
}
