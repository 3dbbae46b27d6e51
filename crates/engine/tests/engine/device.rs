//! A direct volume against a volume in memory: the same requests, the same bytes.

use crate::{repository, volume};
use proptest::prelude::*;
use restblk_block::{BlockDevice, Checked, MemoryDevice, WriteFlags};
use restblk_engine::direct::{DirectDevice, Tuning};
use restblk_store::{Capabilities, Key, Store};
use restblk_types::{BlockSize, ErrorKind};
use std::sync::Arc;

const SIZE: u64 = 64 * 512;

async fn device(tuning: Tuning) -> (DirectDevice, Arc<restblk_store::MemoryStore>) {
    let (repository, store) = repository().await;
    let record = repository.create_volume(volume("v", SIZE)).await.unwrap();
    (
        DirectDevice::open(&repository, store.clone(), &record, false, tuning)
            .await
            .unwrap(),
        store,
    )
}

#[derive(Clone, Debug)]
enum Request {
    Read(u64, usize),
    ReadPieces(u64, usize),
    Write(u64, usize, u8, bool),
    WriteBytes(u64, usize, u8, bool),
    Zero(u64, u64, bool),
    Discard(u64, u64),
    Flush,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let range = (0..64u64).prop_flat_map(|at| (Just(at * 512), (1..=64 - at).prop_map(|n| n * 512)));
    let one = prop_oneof![
        range
            .clone()
            .prop_map(|(at, len)| Request::Read(at, len as usize)),
        range
            .clone()
            .prop_map(|(at, len)| Request::ReadPieces(at, len as usize)),
        (range.clone(), any::<u8>(), any::<bool>()).prop_map(|((at, len), b, fua)| Request::Write(
            at,
            len as usize,
            b,
            fua
        )),
        (range.clone(), any::<u8>(), any::<bool>()).prop_map(|((at, len), b, fua)| Request::WriteBytes(
            at,
            len as usize,
            b,
            fua
        )),
        (range.clone(), any::<bool>()).prop_map(|((at, len), keep)| Request::Zero(at, len, keep)),
        range.prop_map(|(at, len)| Request::Discard(at, len)),
        Just(Request::Flush),
    ];
    proptest::collection::vec(one, 1..40)
}

/// So that a part in the wrong place is seen.
fn pattern(len: usize, byte: u8) -> Vec<u8> {
    (0..len).map(|at| byte.wrapping_add((at / 512) as u8)).collect()
}

async fn apply(device: &dyn BlockDevice, request: &Request) -> Vec<u8> {
    match *request {
        Request::Read(at, len) => {
            let mut buf = vec![0xEE; len];
            device.read(at, &mut buf).await.unwrap();
            return buf;
        }
        Request::ReadPieces(at, len) => return device.read_pieces(at, len).await.unwrap().concat(),
        Request::Write(at, len, byte, fua) => {
            let flags = WriteFlags { fua, no_unmap: false };
            device.write(at, &pattern(len, byte), flags).await.unwrap();
        }
        Request::WriteBytes(at, len, byte, fua) => {
            let flags = WriteFlags { fua, no_unmap: false };
            device
                .write_bytes(at, pattern(len, byte).into(), flags)
                .await
                .unwrap();
        }
        Request::Zero(at, len, no_unmap) => device
            .write_zeroes(at, len, WriteFlags { fua: false, no_unmap })
            .await
            .unwrap(),
        Request::Discard(at, len) => device.discard(at, len).await.unwrap(),
        Request::Flush => device.flush().await.unwrap(),
    }
    Vec::new()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_reads_what_a_volume_in_memory_reads(requests in requests(), lanes in 1usize..5, shift in 9u32..14) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (direct, _) = device(Tuning { lanes, part_len: 1 << shift }).await;
            let (direct, reference) = (Checked(direct), Checked(MemoryDevice::new(SIZE as usize, BlockSize::B512)));
            for request in &requests {
                assert_eq!(apply(&direct, request).await, apply(&reference, request).await, "{request:?}");
            }
            let all = Request::Read(0, SIZE as usize);
            assert_eq!(apply(&direct, &all).await, apply(&reference, &all).await);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_to_different_places_all_land() {
    let (direct, store) = device(Tuning {
        lanes: 2,
        part_len: 4096,
    })
    .await;
    let direct = Arc::new(direct);
    let tasks: Vec<_> = (0..64u64)
        .map(|block| {
            let direct = direct.clone();
            tokio::spawn(async move {
                direct
                    .write(block * 512, &[block as u8; 512], WriteFlags::default())
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let bytes = store
        .get(&Key::new("v").unwrap(), None)
        .await
        .unwrap()
        .payload
        .into_bytes();
    assert!(
        bytes
            .chunks(512)
            .enumerate()
            .all(|(i, block)| block.iter().all(|b| *b == i as u8))
    );
}

#[tokio::test]
async fn an_ended_device_answers_nothing_and_keeps_its_first_reason() {
    let (direct, _) = device(Tuning::default()).await;
    direct.fail(ErrorKind::Fenced, "another host took it");
    direct.fail(ErrorKind::NoSpace, "later");
    let error = direct.read(0, &mut [0; 512]).await.unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Fenced, libc::ESTALE));
    assert!(direct.write(0, &[0; 512], WriteFlags::default()).await.is_err());
    assert!(direct.flush().await.is_err());
}

#[tokio::test]
async fn a_volume_grows_and_tells_its_watchers() {
    let (direct, _) = device(Tuning::default()).await;
    let mut size = direct.watch_size();
    direct.grown(SIZE * 2);
    assert!(size.has_changed().unwrap());
    assert_eq!(*size.borrow_and_update(), SIZE * 2);
    direct.grown(SIZE);
    assert!(!size.has_changed().unwrap());
    assert_eq!(direct.geometry().size, SIZE * 2);
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused() {
    let (repository, store) = repository().await;
    let record = repository.create_volume(volume("v", SIZE)).await.unwrap();
    store.set_size(&Key::new("v").unwrap(), SIZE - 512).await.unwrap();
    let error = DirectDevice::open(&repository, store, &record, false, Tuning::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn the_device_announces_what_the_store_was_proved_to_do() {
    let (repository, store) = repository().await;
    let record = repository.create_volume(volume("v", SIZE)).await.unwrap();
    let can: &Capabilities = repository.capabilities();
    let device = DirectDevice::open(&repository, store, &record, true, Tuning::default())
        .await
        .unwrap();
    let features = device.geometry().features;
    assert_eq!(features.discard, can.punch);
    assert!(features.read_only);
    assert_eq!(
        Checked(device)
            .write(0, &[0; 512], WriteFlags::default())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Denied
    );
}
