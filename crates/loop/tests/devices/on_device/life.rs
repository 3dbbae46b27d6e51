//! Attach, detach, what remains, and an end that comes from outside.

use crate::rig::{Rig, checked, run, transport};
use restblk_block::MemoryDevice;
use restblk_device::{Recovery, Transport};
use restblk_types::BlockSize;
use std::{fs, sync::Arc, time::Duration};

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn threads_of_ours() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("restblk")).collect()
}

fn fuse_descriptors() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open = open.filter_map(|fd| fs::read_link(fd.path()).ok());
    open.filter(|target| target.starts_with("/dev/fuse")).count()
}

/// A thread that has said that it ends still has to, and holds its descriptor until then.
async fn nothing_serves() {
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while (fuse_descriptors(), threads_of_ours()) != (0, Vec::new()) {
        let left = (fuse_descriptors(), threads_of_ours());
        assert!(tokio::time::Instant::now() < until, "left: {left:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rounds_leave_nothing() {
    let Some(rig) = Rig::new().await else { return };
    let device = Arc::new(MemoryDevice::new(4 << 20, BlockSize::B4096));
    let transport = transport();
    let round = async || {
        let attached = transport.attach(rig.spec(checked(device.clone()))).await.unwrap();
        run(format!(
            "dd if={} of=/dev/null bs=4k count=1 iflag=direct status=none",
            attached.path().display()
        ))
        .await;
        attached.detach().await.unwrap();
    };
    // What the runtime starts once is no leak; other tests' runtimes may end meanwhile, but none begins.
    round().await;
    nothing_serves().await;
    let before = count("/proc/self/fd");
    for _ in 0..200 {
        round().await;
    }
    rig.assert_no_loop_device();
    nothing_serves().await;
    let after = count("/proc/self/fd");
    assert!(after <= before, "{before} descriptors became {after}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(rig.folder.path().to_str().unwrap()), "{mounts}");
    assert_eq!(count(rig.spec(checked(device)).run_dir.to_str().unwrap()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_at_once_have_a_device_each() {
    let Some(rig) = Rig::new().await else { return };
    let transport = transport();
    let attach = |number: usize| {
        let run_dir = rig.folder.path().join(number.to_string());
        fs::create_dir(&run_dir).unwrap();
        let device = checked(Arc::new(MemoryDevice::new((4 + number) << 20, BlockSize::B4096)));
        let spec = restblk_device::AttachSpec {
            run_dir,
            ..rig.spec(device)
        };
        let transport = transport.clone();
        tokio::spawn(async move { transport.attach(spec).await.unwrap() })
    };
    let begun: Vec<_> = (0..12).map(attach).collect();
    let mut attached = Vec::new();
    for one in begun {
        attached.push(one.await.unwrap());
    }
    for (number, one) in attached.iter().enumerate() {
        let size = run(format!("blockdev --getsize64 {}", one.path().display())).await;
        assert_eq!(size, ((4 + number) << 20).to_string());
    }
    for one in &attached {
        one.detach().await.unwrap();
    }
    rig.assert_no_loop_device();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_attach_leaves_nothing() {
    let Some(rig) = Rig::new().await else { return };
    let device = checked(Arc::new(MemoryDevice::new(4 << 20, BlockSize::B4096)));
    let spec = rig.spec(device);
    // No folder: the file system is not even begun. A name that no path can hold: it is, and ends.
    let nowhere = restblk_device::AttachSpec {
        run_dir: "/nowhere".into(),
        ..spec.clone()
    };
    let endless = restblk_device::AttachSpec {
        label: "x".repeat(5000),
        ..spec
    };
    for spec in [nowhere, endless] {
        let error = transport().attach(spec).await.unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    rig.assert_no_loop_device();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(threads_of_ours(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attach_that_is_given_up_leaves_nothing() {
    let Some(rig) = Rig::new().await else { return };
    let device = checked(Arc::new(MemoryDevice::new(4 << 20, BlockSize::B4096)));
    let transport = transport();
    let mut given_up = 0;
    for round in 0..60 {
        let attach = transport.attach(rig.spec(device.clone()));
        match tokio::time::timeout(Duration::from_micros(round * 150), attach).await {
            Ok(attached) => attached.unwrap().detach().await.unwrap(),
            Err(_) => given_up += 1,
        }
    }
    assert!(given_up > 0);
    tokio::time::sleep(Duration::from_millis(500)).await;
    rig.assert_no_loop_device();
    assert_eq!(threads_of_ours(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_end_from_outside_is_noticed() {
    let Some(rig) = Rig::new().await else { return };
    let attached = rig
        .attach(Arc::new(MemoryDevice::new(4 << 20, BlockSize::B4096)))
        .await;
    assert!(
        tokio::time::timeout(Duration::from_millis(200), attached.gone())
            .await
            .is_err()
    );
    run(format!("losetup -d {}", attached.path().display())).await;
    let why = tokio::time::timeout(Duration::from_secs(10), attached.gone())
        .await
        .unwrap();
    assert!(why.contains("losetup -d"), "{why}");
    attached.detach().await.unwrap();
    rig.assert_no_loop_device();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_peoples_loop_devices_are_left_alone() {
    let Some(rig) = Rig::new().await else { return };
    let file = rig.folder.path().join("theirs");
    let theirs = run(format!(
        "truncate -s 1M {0} && losetup -f --show {0}",
        file.display()
    ))
    .await;
    let index = theirs.trim_start_matches("/dev/loop").parse().unwrap();
    let left = Recovery::Loop {
        index,
        mount: rig.folder.path().join("run/mnt"),
    };
    transport().clean(left).await.unwrap();
    assert_eq!(
        run(format!("losetup -n -O BACK-FILE {theirs}")).await,
        file.display().to_string()
    );
    run(format!("losetup -d {theirs}")).await;
}
