//! Stores that change so many bytes at a time, and only objects that were made for it.

use crate::{claim, marker, repository_on, volume};
use bytes::Bytes;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_engine::direct::{DirectDevice, Tuning};
use restblk_engine::{Repository, Safety, Takeover};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::{BlockSize, ErrorKind, VolumeId};
use std::sync::Arc;

async fn with(write_align: u64) -> (Arc<Repository>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::of_two_kinds(write_align));
    (repository_on(store.clone()).await, store)
}

fn name() -> restblk_types::VolumeName {
    "v".parse().unwrap()
}

fn key() -> Key {
    Key::new("v").unwrap()
}

#[tokio::test]
async fn a_volume_lives_on_a_store_that_aligns_to_its_blocks() {
    let (repository, store) = with(512).await;
    assert_eq!(repository.block_size_min(), BlockSize::B512);
    let record = repository.create_volume(volume("v", 64 * 512)).await.unwrap();
    let (lease, record, _) = {
        let taken = repository.take(&record.name, claim("h"), Takeover::Refused);
        taken.await.unwrap()
    };
    let device = DirectDevice::open(&repository, store.clone(), &record, false, Tuning::default())
        .await
        .unwrap();
    let data: Vec<u8> = (0..5 * 512_u32).map(|i| (i % 251) as u8).collect();
    device.write(3 * 512, &data, WriteFlags::default()).await.unwrap();
    device.discard(4 * 512, 512).await.unwrap();
    device
        .write_zeroes(6 * 512, 512, WriteFlags::default())
        .await
        .unwrap();
    device.flush().await.unwrap();
    let mut found = vec![0xee; 5 * 512];
    device.read(3 * 512, &mut found).await.unwrap();
    let mut wanted = data;
    wanted[512..1024].fill(0);
    wanted[3 * 512..4 * 512].fill(0);
    assert_eq!(found, wanted);
    repository.extend_volume(&name(), 65 * 512).await.unwrap();
    lease.release().await.unwrap();
    repository.delete_volume(&name()).await.unwrap();
}

#[tokio::test]
async fn blocks_smaller_than_the_stores_alignment_are_refused() {
    let (repository, store) = with(4096).await;
    let refused = repository.create_volume(volume("v", 8192)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    for word in ["main/v", "512", "4096", "--block-size 4096", "memory"] {
        assert!(refused.to_string().contains(word), "{refused}");
    }
    assert!(repository.volume_names().await.unwrap().is_empty());
    assert_eq!(store.head(&key()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut new = volume("v", 8192);
    new.block_size = repository.block_size_min();
    assert_eq!(new.block_size, BlockSize::B4096);
    repository.create_volume(new).await.unwrap();
    // The store was proved anew meanwhile: what it aligns to has grown.
    let (small, store) = with(512).await;
    small.create_volume(volume("v", 8192)).await.unwrap();
    let mut can = store.capabilities();
    can.write_align = 4096;
    let open = |can| Repository::open("main", store.clone(), can, None, Safety::Proved, marker());
    let again = Arc::new(open(can.clone()).await.unwrap());
    let refused = again
        .take(&name(), claim("h"), Takeover::Refused)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    can.write_align = 8192;
    let refused = open(can).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(refused.to_string().contains("8192"), "{refused}");
}

#[tokio::test]
async fn an_object_that_was_made_whole_is_no_volume() {
    let (repository, store) = with(512).await;
    store
        .put(&key(), Bytes::new(), Precondition::Always)
        .await
        .unwrap();
    let taken = repository.create_volume(volume("v", 512)).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Exists, "{taken}");
    store
        .put(&key(), Bytes::from(vec![1; 512]), Precondition::Always)
        .await
        .unwrap();
    let adopt = || repository.adopt_volume(VolumeId::random(), name(), "2026-01-02T03:04:05Z".into());
    let refused = adopt().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("copy its bytes"), "{refused}");
    assert!(repository.volume_names().await.unwrap().is_empty());

    store.delete(&key(), Precondition::Always).await.unwrap();
    store.create(&key(), Precondition::Absent).await.unwrap();
    store.set_size(&key(), 1024).await.unwrap();
    let record = adopt().await.unwrap();
    assert_eq!((record.size, record.block_size), (1024, BlockSize::B512));
    // Somebody puts a file of their own in the volume's place.
    store.delete(&key(), Precondition::Always).await.unwrap();
    store
        .put(&key(), Bytes::from(vec![1; 1024]), Precondition::Always)
        .await
        .unwrap();
    let opened = DirectDevice::open(&repository, store.clone(), &record, false, Tuning::default()).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Unsupported);
}
