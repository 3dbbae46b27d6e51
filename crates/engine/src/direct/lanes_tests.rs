use super::*;
use crate::test_store::Gated;
use restblk_store::MemoryStore;

async fn object(gated: &Gated, bytes: usize) -> Key {
    let key = Key::new("v").unwrap();
    gated
        .inner
        .put(
            &key,
            Bytes::from((0..=250).cycle().take(bytes).collect::<Vec<u8>>()),
            restblk_store::Precondition::Always,
        )
        .await
        .unwrap();
    key
}

fn read(offset: u64, len: u64) -> Part {
    Part::Read(Extent::new(offset, len).unwrap())
}

#[tokio::test]
async fn what_waits_is_merged_with_its_neighbours_and_answered_each_with_its_own() {
    let gated = Gated::new(MemoryStore::default());
    let key = object(&gated, 8192).await;
    let lanes = Lanes::new(gated.clone(), key, 1, 4096, Arc::default());
    let spawn = |offset: u64, len: u64| {
        let lanes = lanes.clone();
        tokio::spawn(async move {
            (
                offset,
                len,
                lanes.run(read(offset, len)).await.unwrap().into_bytes(),
            )
        })
    };
    let mut tasks = vec![spawn(8000, 10)];
    gated.arrivals(1).await;
    // While the one lane is taken: a run in disorder, one of its end too long to join, and one apart from it.
    for (offset, len) in [(512, 512), (0, 512), (1024, 512), (1536, 4096), (6000, 100)] {
        tasks.push(spawn(offset, len));
        tokio::task::yield_now().await;
    }
    gated.open();
    for task in tasks {
        let (offset, len, bytes) = task.await.unwrap();
        let expected: Vec<u8> = (offset..offset + len).map(|i| (i % 251) as u8).collect();
        assert_eq!(bytes, expected, "{offset}+{len}");
    }
    assert_eq!(gated.reads(), [(8000, 10), (0, 1536), (1536, 4096), (6000, 100)]);
}

#[tokio::test]
async fn reads_and_writes_are_not_mixed_and_writes_land_whole() {
    let gated = Gated::new(MemoryStore::default());
    let key = object(&gated, 4096).await;
    let lanes = Lanes::new(gated.clone(), key.clone(), 1, 4096, Arc::default());
    let first = tokio::spawn({
        let lanes = lanes.clone();
        async move { lanes.run(read(4000, 1)).await.map(|_| ()) }
    });
    gated.arrivals(1).await;
    let mut tasks = vec![first];
    for (offset, byte) in [(0u64, 1u8), (512, 2), (1024, 3)] {
        let lanes = lanes.clone();
        tasks.push(tokio::spawn(async move {
            let part = if byte == 2 {
                read(offset, 512)
            } else {
                Part::Write {
                    offset,
                    data: Bytes::from(vec![byte; 512]),
                    durable: false,
                }
            };
            lanes.run(part).await.map(|_| ())
        }));
        tokio::task::yield_now().await;
    }
    gated.open();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(gated.writes(), [(0, 512), (1024, 512)]);
    let bytes = gated.inner.get(&key, None).await.unwrap().payload.into_bytes();
    assert!(bytes[..512].iter().all(|b| *b == 1) && bytes[1024..1536].iter().all(|b| *b == 3));
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_its_lane_to_the_next() {
    let gated = Gated::new(MemoryStore::default());
    let key = object(&gated, 4096).await;
    let lanes = Lanes::new(gated.clone(), key, 1, 4096, Arc::default());
    let given_up = tokio::spawn({
        let lanes = lanes.clone();
        async move { lanes.run(read(0, 1)).await.map(|_| ()) }
    });
    gated.arrivals(1).await;
    let waits = tokio::spawn({
        let lanes = lanes.clone();
        async move { lanes.run(read(8, 8)).await }
    });
    tokio::task::yield_now().await;
    given_up.abort();
    gated.open();
    assert_eq!(waits.await.unwrap().unwrap().len(), 8);
    assert_eq!(lanes.run(read(0, 1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn never_more_than_so_many_in_flight() {
    let gated = Gated::new(MemoryStore::default());
    let key = object(&gated, 65536).await;
    gated.open();
    let lanes = Lanes::new(gated.clone(), key, 4, 1, Arc::default());
    let tasks: Vec<_> = (0..200)
        .map(|i| {
            let lanes = lanes.clone();
            tokio::spawn(async move { lanes.run(read(i * 100, 10)).await.map(|_| ()) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(gated.in_flight_most() <= 4, "{}", gated.in_flight_most());
}
