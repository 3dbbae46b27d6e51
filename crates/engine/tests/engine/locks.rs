//! On a store with locks the store itself refuses what a former holder still sends.

use crate::{claim, repository_on, volume};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_engine::direct::{DirectDevice, Tuning};
use restblk_engine::{Repository, Takeover};
use restblk_store::{Key, MemoryStore, Store};
use restblk_types::{ErrorKind, VolumeName};
use std::sync::Arc;

fn name() -> VolumeName {
    "v".parse().unwrap()
}

/// A host: a client of the store of its own, and the repository through it.
async fn host(memory: &MemoryStore) -> (Arc<Repository>, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(memory.another_client());
    (repository_on(Arc::clone(&store)).await, store)
}

async fn device(
    repository: &Arc<Repository>,
    store: &Arc<dyn Store>,
    takeover: Takeover,
) -> (restblk_engine::Lease, DirectDevice) {
    let (lease, record, _) = repository.take(&name(), claim("h"), takeover).await.unwrap();
    lease.guard(store);
    let device = DirectDevice::open(repository, Arc::clone(store), &record, false, Tuning::default())
        .await
        .unwrap();
    (lease, device)
}

fn block(fill: u8) -> bytes::Bytes {
    bytes::Bytes::from(vec![fill; 4096])
}

#[tokio::test]
async fn a_takeover_fences_the_former_holder_at_once() {
    let memory = MemoryStore::new();
    let (a, store_of_a) = host(&memory).await;
    a.create_volume(volume("v", 8192)).await.unwrap();
    let (lease_of_a, device_of_a) = device(&a, &store_of_a, Takeover::Refused).await;
    device_of_a
        .write(0, &block(1), WriteFlags::default())
        .await
        .unwrap();
    lease_of_a.check().await.unwrap();

    let (b, store_of_b) = host(&memory).await;
    let refused = b.take(&name(), claim("b"), Takeover::Refused).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    let (lease_of_b, device_of_b) = device(&b, &store_of_b, Takeover::Forced).await;
    device_of_b
        .write(0, &block(2), WriteFlags::default())
        .await
        .unwrap();

    let late = device_of_a
        .write(0, &block(3), WriteFlags::default())
        .await
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    assert!(device_of_a.failure().is_some());
    assert_eq!(lease_of_a.check().await.unwrap_err().kind(), ErrorKind::Fenced);
    let mut found = [0; 4096];
    device_of_b.read(0, &mut found).await.unwrap();
    assert_eq!(found[..], block(2)[..]);

    // Its own release takes nothing from the new holder.
    lease_of_a.release().await.unwrap();
    device_of_b
        .write(0, &block(4), WriteFlags::default())
        .await
        .unwrap();
    lease_of_b.check().await.unwrap();
    b.extend_volume(&name(), 16384).await.unwrap();
    lease_of_b.release().await.unwrap();
    a.extend_volume(&name(), 32768).await.unwrap();
    a.delete_volume(&name()).await.unwrap();
}

#[tokio::test]
async fn what_a_dead_daemon_held_can_be_let_go_and_taken_again() {
    let memory = MemoryStore::new();
    let (a, store) = host(&memory).await;
    a.create_volume(volume("v", 4096)).await.unwrap();
    let (lease, _) = device(&a, &store, Takeover::Refused).await;
    let id = lease.id();
    // The daemon dies, and with it the token.
    let (again, store) = host(&memory).await;
    let (_, device) = device(&again, &store, Takeover::Own(id)).await;
    device.write(0, &block(1), WriteFlags::default()).await.unwrap();
    let (third, _) = host(&memory).await;
    third
        .release(
            &name(),
            third.volume(&name()).await.unwrap().attachment.unwrap().id,
        )
        .await
        .unwrap();
    let (_, store) = host(&memory).await;
    third.take(&name(), claim("h"), Takeover::Refused).await.unwrap();
    let key = Key::new("v").unwrap();
    assert_eq!(
        store.write_at(&key, 0, block(9), false).await.unwrap_err().kind(),
        ErrorKind::Busy
    );
}

#[tokio::test]
async fn another_programs_lock_is_broken_by_force_alone() {
    let memory = MemoryStore::new();
    let (a, _) = host(&memory).await;
    a.create_volume(volume("v", 4096)).await.unwrap();
    let foreign = memory.another_client();
    foreign
        .lock(&Key::new("v").unwrap(), "an editor", false)
        .await
        .unwrap();
    let refused = a.take(&name(), claim("h"), Takeover::Refused).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(refused.to_string().contains("an editor"), "{refused}");
    assert!(
        a.volume(&name()).await.unwrap().attachment.is_none(),
        "no record stays"
    );
    a.take(&name(), claim("h"), Takeover::Forced).await.unwrap();
}

/// The lock ends by itself, as one of a store with time-outs does while the store is away.
async fn let_it_run_out(memory: &MemoryStore) {
    let (other, key) = (memory.another_client(), Key::new("v").unwrap());
    let lock = other.lock(&key, "time", true).await.unwrap();
    other.unlock(&key, &lock.token).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_ran_out_is_taken_again_by_whom_the_record_names() {
    let memory = MemoryStore::new();
    let (a, store) = host(&memory).await;
    a.create_volume(volume("v", 8192)).await.unwrap();
    let (lease, device) = device(&a, &store, Takeover::Refused).await;
    let_it_run_out(&memory).await;
    lease.check().await.unwrap();
    // By both ways, and with a lock that is really held.
    device.write(0, &block(1), WriteFlags::default()).await.unwrap();
    a.extend_volume(&name(), 16384).await.unwrap();
    let stranger = memory.another_client();
    let key = Key::new("v").unwrap();
    let refused = stranger.write_at(&key, 0, block(9), false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    lease.release().await.unwrap();
    stranger.write_at(&key, 0, block(9), false).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_ran_out_is_not_taken_again_after_another_host_had_the_volume() {
    let memory = MemoryStore::new();
    let (a, store_of_a) = host(&memory).await;
    a.create_volume(volume("v", 8192)).await.unwrap();
    let (lease_of_a, device_of_a) = device(&a, &store_of_a, Takeover::Refused).await;
    let (b, store_of_b) = host(&memory).await;
    let (lease_of_b, device_of_b) = device(&b, &store_of_b, Takeover::Forced).await;
    device_of_b
        .write(0, &block(2), WriteFlags::default())
        .await
        .unwrap();
    lease_of_b.release().await.unwrap();
    // Nobody holds it now: neither lock nor record.
    assert_eq!(lease_of_a.check().await.unwrap_err().kind(), ErrorKind::Fenced);
    let late = device_of_a
        .write(0, &block(3), WriteFlags::default())
        .await
        .unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    assert_eq!(
        store_of_b
            .get(&Key::new("v").unwrap(), None)
            .await
            .unwrap()
            .payload
            .into_bytes()[..4096],
        block(2)[..]
    );
}
