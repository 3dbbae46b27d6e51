//! The daemon dies, or makes room for the next.

use crate::{
    child::Server,
    rig::{Rig, beside, has, run, transport},
};
use restblk_device::{Recovery, Transport};
use std::{
    fs::File,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

fn volume(rig: &Rig, mib: u64) -> (PathBuf, PathBuf) {
    let (run_dir, volume) = (rig.folder.path().join("run"), rig.folder.path().join("volume"));
    std::fs::create_dir_all(&run_dir).unwrap();
    File::create(&volume).unwrap().set_len(mib << 20).unwrap();
    (run_dir, volume)
}

/// Processes that keep connections, of this test alone: they stand in its folder's socket.
fn holders_of(rig: &Rig) -> bool {
    rig.folder.path().join("run/holder.sock").exists()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_daemon_left_is_cleared() {
    let Some(rig) = Rig::new().await else { return };
    let (run_dir, volume) = volume(&rig, 64);
    for mounted in [false, true] {
        let mut server = beside({
            let (run_dir, volume) = (run_dir.clone(), volume.clone());
            move || Server::attach(&run_dir, &volume, false)
        })
        .await;
        let (path, at) = (server.path.display().to_string(), rig.mount_point());
        let at = at.display();
        run(format!("mkfs.ext4 -q {path}")).await;
        if mounted {
            run(format!("mount {path} {at} && echo x > {at}/file && sync -f {at}")).await;
        }
        server.kill();
        let left = Recovery::Loop {
            index: server.index,
            mount: run_dir.canonicalize().unwrap().join("mnt"),
        };
        let cleaned = transport().clean(left).await;
        if mounted {
            // It cannot be taken from under the mount, but goes with it.
            let error = cleaned.unwrap_err();
            assert!(error.to_string().contains(&at.to_string()), "{error}");
            run(format!("umount {at}")).await;
        } else {
            cleaned.unwrap();
        }
        rig.assert_no_loop_device();
    }
}

/// kill -9 again and again under a file system that is written to: every write succeeds and is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_device_survives_its_daemon() {
    let Some(rig) = Rig::new().await else { return };
    if !has("fio") || !kernel_resends() {
        return;
    }
    let (run_dir, volume) = volume(&rig, 512);
    let mut server = {
        let (run_dir, volume) = (run_dir.clone(), volume.clone());
        beside(move || Server::attach(&run_dir, &volume, true)).await
    };
    let (path, index, at) = (server.path.display().to_string(), server.index, rig.mount_point());
    let at = at.display();
    run(format!("mkfs.ext4 -q {path} && mount {path} {at}")).await;
    let fio = format!(
        "fio --name=x --directory={at} --size=64m --rw=randwrite --bs=4k --iodepth=32 --direct=1 --ioengine=libaio \
         --fsync=64 --verify=crc32c --verify_fatal=1 --do_verify=1 --loops=1000 --runtime=12 --time_based"
    );
    let mut writer = Command::new("sh")
        .arg("-c")
        .arg(fio)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(14);
    let mut kills = 0;
    while Instant::now() < end && writer.try_wait().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(100 + 37 * (kills % 7))).await;
        server.kill();
        let (run_dir, volume) = (run_dir.clone(), volume.clone());
        server = beside(move || Server::recover(&run_dir, &volume, index)).await;
        assert!(server.resumed, "after {kills} kills");
        assert_eq!(server.path.display().to_string(), path);
        kills += 1;
    }
    let done = beside(move || writer.wait().unwrap()).await;
    assert!(done.success(), "fio failed after {kills} kills");
    println!("{kills} kills");
    assert!(kills >= 10, "{kills} kills only");
    run(format!("umount {at} && fsck.ext4 -fn {path}")).await;
    beside(move || server.end("detach")).await;
    rig.assert_no_loop_device();
    assert!(!holders_of(&rig));
}

/// A killed daemon ends at once, also while the kernel wants to hear of its volume's new size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_killed_in_a_resize_ends() {
    let Some(rig) = Rig::new().await else { return };
    if !kernel_resends() {
        return;
    }
    let (run_dir, volume) = volume(&rig, 64);
    let mut server = {
        let (run_dir, volume) = (run_dir.clone(), volume.clone());
        beside(move || Server::attach(&run_dir, &volume, true)).await
    };
    let index = server.index;
    for round in 0..60_u64 {
        let ended = beside(move || server.kill());
        let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
        assert!(ended.is_ok(), "killed in round {round}, the daemon does not end");
        File::options()
            .write(true)
            .open(&volume)
            .unwrap()
            .set_len((65 + round) << 20)
            .unwrap();
        let (run_dir, volume) = (run_dir.clone(), volume.clone());
        server = beside(move || Server::recover(&run_dir, &volume, index)).await;
        assert!(server.resumed, "in round {round}");
        tokio::time::sleep(Duration::from_micros(500 * (round % 12))).await;
    }
    let path = server.path.display().to_string();
    let until = Instant::now() + Duration::from_secs(10);
    while run(format!("blockdev --getsize64 {path}")).await != (124_u64 << 20).to_string() {
        assert!(Instant::now() < until, "the device did not grow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    beside(move || server.end("detach")).await;
    rig.assert_no_loop_device();
}

/// A program waits while no daemon lives; growth meanwhile is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_loses_nothing() {
    let Some(rig) = Rig::new().await else { return };
    if !kernel_resends() {
        return;
    }
    let (run_dir, volume) = volume(&rig, 64);
    let start = |index: Option<u32>| {
        let (run_dir, volume) = (run_dir.clone(), volume.clone());
        beside(move || match index {
            None => Server::attach(&run_dir, &volume, true),
            Some(index) => Server::recover(&run_dir, &volume, index),
        })
    };
    let mut server = start(None).await;
    let (path, index) = (server.path.display().to_string(), server.index);
    for round in 0..5 {
        run(format!(
            "dd if=/dev/urandom of={path} bs=1M count=8 seek={round} oflag=direct status=none"
        ))
        .await;
        let sum = run(format!(
            "dd if={path} bs=1M count=16 iflag=direct status=none | sha256sum"
        ))
        .await;
        // Seen while it is somebody's child; without a mount of its own.
        if let Some(holder) = server.holder() {
            let mounts = std::fs::read_to_string(format!("/proc/{holder}/mountinfo")).unwrap();
            assert!(mounts.lines().count() <= 1, "{mounts}");
        }
        beside(move || server.end("handover")).await;
        // Nothing that looks at loop devices has to wait.
        run(format!("timeout 5 losetup {path}")).await;
        let waiting = tokio::spawn(run(format!(
            "dd if={path} bs=1M count=16 iflag=direct status=none | sha256sum"
        )));
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "a read was answered by nobody");
        File::options()
            .write(true)
            .open(&volume)
            .unwrap()
            .set_len((65 + round) << 20)
            .unwrap();
        server = start(Some(index)).await;
        assert!(server.resumed);
        assert_eq!(waiting.await.unwrap(), sum);
        let deadline = Instant::now() + Duration::from_secs(10);
        while run(format!("blockdev --getsize64 {path}")).await != ((65 + round) << 20).to_string() {
            assert!(Instant::now() < deadline, "the new size is not seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // Nobody takes it over: the one who waits gets an error, and all goes.
    server.kill();
    let waiting = tokio::spawn(run(format!(
        "! dd if={path} of=/dev/null bs=1M iflag=direct 2>/dev/null"
    )));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    let left = || Recovery::Loop {
        index,
        mount: run_dir.canonicalize().unwrap().join("mnt"),
    };
    let cleaned = transport().clean(left()).await;
    waiting.await.unwrap();
    // The reader may have had it open a moment longer.
    if cleaned.is_err() {
        transport().clean(left()).await.unwrap();
    }
    rig.assert_no_loop_device();
    assert!(!holders_of(&rig));
}

/// Without a holder the device begins anew, under the same number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_holder_the_device_begins_anew() {
    let Some(rig) = Rig::new().await else { return };
    let (run_dir, volume) = volume(&rig, 64);
    let (path, index) = {
        let (run_dir, volume) = (run_dir.clone(), volume.clone());
        let mut server = beside(move || Server::attach(&run_dir, &volume, false)).await;
        run(format!(
            "echo kept | dd of={} conv=sync,fsync bs=4k status=none",
            server.path.display()
        ))
        .await;
        server.kill();
        (server.path.clone(), server.index)
    };
    let server = beside(move || Server::recover(&run_dir, &volume, index)).await;
    assert_eq!((server.resumed, &server.path), (false, &path));
    assert_eq!(run(format!("head -c 4 {}", path.display())).await, "kept");
    beside(move || server.end("detach")).await;
    rig.assert_no_loop_device();
}

fn kernel_resends() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 9) {
        eprintln!("SKIPPED: Linux {release} cannot send requests again (6.9)");
    }
    version >= (6, 9)
}
