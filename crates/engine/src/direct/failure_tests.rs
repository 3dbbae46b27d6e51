//! What a flush that fails does to the device.

use super::*;
use crate::{NewVolume, Repository, Safety, test_store::Gated};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_format::PoolRecord;
use restblk_store::{Instance, MemoryStore, Store};
use restblk_types::{BlockSize, ErrorKind, VolumeId};
use std::sync::{Arc, atomic::Ordering};

async fn device(gated: &Arc<Gated>) -> DirectDevice {
    gated.open();
    let fresh = PoolRecord {
        id: "p".into(),
        created_at: "t".into(),
        created_by: "v".into(),
        incompat: vec![],
        ro_compat: vec![],
        proved: None,
        other: Default::default(),
    };
    let repository = Repository::open(
        "main",
        gated.clone(),
        gated.capabilities(),
        None,
        Safety::Proved,
        fresh,
    )
    .await
    .unwrap();
    let new = NewVolume {
        layout: restblk_format::LayoutKind::Direct,
        durability: restblk_types::Durability::Local,
        compression: restblk_types::Compression::default(),
        encryption: None,
        id: VolumeId::random(),
        name: "v".parse().unwrap(),
        size: 4096,
        block_size: BlockSize::B512,
        created_at: "t".into(),
    };
    let record = repository.create_volume(new).await.unwrap();
    DirectDevice::open(&repository, gated.clone(), &record, false, Tuning::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_flush_that_fails_for_good_ends_the_device() {
    let gated = Gated::new(MemoryStore::default());
    let device = device(&gated).await;
    device.write(0, &[1; 512], WriteFlags::default()).await.unwrap();
    gated.broken.store(true, Ordering::SeqCst);
    assert_eq!(device.flush().await.unwrap_err().kind(), ErrorKind::NoSpace);
    gated.broken.store(false, Ordering::SeqCst);
    // Which writes were lost is unknown, so a later flush must not pretend.
    let error = device.flush().await.unwrap_err();
    assert!(error.to_string().contains("fsck"), "{error}");
    assert!(device.write(0, &[1; 512], WriteFlags::default()).await.is_err());
}

#[tokio::test]
async fn a_flush_reaches_the_store_once_for_what_was_written() {
    let gated = Gated::new(MemoryStore::default());
    let device = device(&gated).await;
    let before = gated.flushes.load(Ordering::SeqCst);
    // The first one always: what an earlier daemon wrote for this device is not known.
    device.flush().await.unwrap();
    device.flush().await.unwrap();
    assert_eq!(gated.flushes.load(Ordering::SeqCst), before + 1);
    device.write(0, &[1; 512], WriteFlags::default()).await.unwrap();
    device.flush().await.unwrap();
    device.flush().await.unwrap();
    assert_eq!(gated.flushes.load(Ordering::SeqCst), before + 2);
}

fn power_returns(gated: &Gated, instance: u128) {
    *gated.instance.lock().unwrap() = Some(Instance::new(instance));
}

#[tokio::test]
async fn a_loss_of_power_between_a_write_and_its_flush_ends_the_device() {
    let gated = Gated::new(MemoryStore::default());
    power_returns(&gated, 1);
    let device = device(&gated).await;
    let write = || device.write(0, &[1; 512], WriteFlags::default());
    write().await.unwrap();
    device.flush().await.unwrap();
    power_returns(&gated, 2);
    write().await.unwrap();
    device.flush().await.unwrap();
    device.discard(0, 512).await.unwrap();
    write().await.unwrap();
    power_returns(&gated, 3);
    write().await.unwrap();
    let error = device.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("lost its power"), "{error}");
    let error = write().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a flush failed, so written data may be lost"),
        "{error}"
    );
}

#[tokio::test]
async fn what_was_durable_when_answered_is_not_missed() {
    let gated = Gated::new(MemoryStore::default());
    power_returns(&gated, 1);
    let device = device(&gated).await;
    let durable = WriteFlags {
        fua: true,
        ..WriteFlags::default()
    };
    device.write(0, &[1; 512], durable).await.unwrap();
    power_returns(&gated, 2);
    device.flush().await.unwrap();
}

#[tokio::test]
async fn a_flush_of_an_unreachable_store_forgets_no_write() {
    let gated = Gated::new(MemoryStore::default());
    power_returns(&gated, 1);
    let device = device(&gated).await;
    device.write(0, &[1; 512], WriteFlags::default()).await.unwrap();
    gated.away.store(true, Ordering::SeqCst);
    assert_eq!(device.flush().await.unwrap_err().kind(), ErrorKind::Unavailable);
    power_returns(&gated, 2);
    gated.away.store(false, Ordering::SeqCst);
    assert_eq!(device.flush().await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(device.failure().is_some());
}
