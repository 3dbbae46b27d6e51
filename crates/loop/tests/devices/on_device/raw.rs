//! The device without a file system: bytes, sizes, zeros, flushes, many requests at once.

use crate::{
    probe_device::ProbeDevice,
    rig::{Direct, Rig, beside, has, run, shell},
};
use restblk_block::{BlockDevice, Features, MemoryDevice};
use restblk_types::BlockSize;
use std::sync::{Arc, atomic::Ordering::SeqCst};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_where_they_belong() {
    let Some(rig) = Rig::new().await else { return };
    for (block_size, bytes) in [(BlockSize::B512, "512"), (BlockSize::B4096, "4096")] {
        let device = Arc::new(MemoryDevice::new(8 * MIB, block_size));
        let attached = rig.attach(device.clone()).await;
        let path = attached.path().to_owned();
        assert_eq!(run(format!("blockdev --getss {}", path.display())).await, bytes);
        assert_eq!(
            run(format!("blockdev --getsize64 {}", path.display())).await,
            (8 * MIB).to_string()
        );
        beside(move || {
            let direct = Direct::open(&path);
            for page in 0..64 {
                direct
                    .write(page * 4096 * 32, u8::try_from(page + 1).unwrap())
                    .unwrap();
            }
            for page in 0..64 {
                assert_eq!(direct.read(page * 4096 * 32), u8::try_from(page + 1).unwrap());
            }
        })
        .await;
        let mut page = vec![0; 4096];
        device.read(63 * 4096 * 32, &mut page).await.unwrap();
        assert_eq!(page, [64; 4096]);
        attached.detach().await.unwrap();
    }
    rig.assert_no_loop_device();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fio_finds_every_block_as_written() {
    let Some(rig) = Rig::new().await else { return };
    if !has("fio") {
        return;
    }
    let device = Arc::new(ProbeDevice::new(64 * MIB, BlockSize::B4096));
    let attached = rig.attach(device.clone()).await;
    let path = attached.path().display().to_string();
    // Futures that finish at once, and futures that do not.
    for delay in [0, 300] {
        device.delay_us.store(delay, SeqCst);
        for (kind, sizes) in [
            ("randwrite", "4k-64k"),
            ("write", "256k-1m"),
            ("randwrite", "4k-4k"),
        ] {
            run(format!(
                "fio --name=x --filename={path} --rw={kind} --bsrange={sizes} --size=64m --iodepth=32 --direct=1 \
                 --ioengine=libaio --verify=crc32c --verify_fatal=1 --do_verify=1"
            ))
            .await;
        }
    }
    let at_once = device.running_max.load(SeqCst);
    assert!(at_once >= 16, "at most {at_once} requests ran at once");
    attached.detach().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_and_zeros_read_as_zeros() {
    let Some(rig) = Rig::new().await else { return };
    let device = Arc::new(ProbeDevice::new(8 * MIB, BlockSize::B512));
    let attached = rig.attach(device.clone()).await;
    let path = attached.path().display().to_string();
    let written = format!("dd if=/dev/urandom of={path} bs=1M count=8 oflag=direct status=none");
    let zero = format!("dd if={path} bs=1M count=4 iflag=direct status=none | cmp -n 4194304 - /dev/zero");

    run(&written).await;
    run(format!("blkdiscard -l 4MiB {path} && {zero}")).await;
    assert!(device.holes.load(SeqCst) > 0, "discard");
    run(&written).await;
    run(format!("blkdiscard -z -l 4MiB {path} && {zero}")).await;
    assert!(
        device.zeroes.load(SeqCst) + device.holes.load(SeqCst) > 1,
        "zeroing"
    );
    // Keeps the space: no hole.
    if has("fallocate") {
        run(&written).await;
        let zeroes = device.zeroes.load(SeqCst);
        run(format!("fallocate -z -l 4MiB {path} && {zero}")).await;
        assert!(device.zeroes.load(SeqCst) > zeroes, "zero range");
    }
    attached.detach().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_volume_cannot_do_is_not_announced() {
    let Some(rig) = Rig::new().await else { return };
    let mut device = ProbeDevice::new(8 * MIB, BlockSize::B4096);
    device.features = Features {
        discard: false,
        write_zeroes: false,
        ..device.features
    };
    let device = Arc::new(device);
    let attached = rig.attach(device.clone()).await;
    let path = attached.path().display().to_string();
    assert!(!shell(format!("blkdiscard {path}")).await.status.success());
    // The kernel writes the zeros itself.
    run(format!(
        "dd if=/dev/urandom of={path} bs=1M count=8 oflag=direct status=none"
    ))
    .await;
    run(format!(
        "blkdiscard -z {path} && dd if={path} bs=1M iflag=direct status=none | cmp -n 8388608 - /dev/zero"
    ))
    .await;
    assert_eq!(device.holes.load(SeqCst) + device.zeroes.load(SeqCst), 0);
    attached.detach().await.unwrap();

    let mut device = ProbeDevice::new(8 * MIB, BlockSize::B4096);
    device.features.read_only = true;
    let attached = rig.attach(Arc::new(device)).await;
    let path = attached.path().display().to_string();
    assert_eq!(run(format!("blockdev --getro {path}")).await, "1");
    assert!(
        !shell(format!("dd if=/dev/zero of={path} bs=4k count=1 oflag=direct"))
            .await
            .status
            .success()
    );
    attached.detach().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_arrives_before_fsync_returns() {
    let Some(rig) = Rig::new().await else { return };
    let device = Arc::new(ProbeDevice::new(8 * MIB, BlockSize::B4096));
    device.delay_us.store(2000, SeqCst);
    let attached = rig.attach(device.clone()).await;
    let path = attached.path().display().to_string();
    for round in 0..10 {
        let before = device.flushes.load(SeqCst);
        run(format!(
            "dd if=/dev/urandom of={path} bs=4k count=4 seek={round} conv=fsync status=none"
        ))
        .await;
        assert!(device.flushes.load(SeqCst) > before, "round {round}");
    }
    attached.detach().await.unwrap();
}
