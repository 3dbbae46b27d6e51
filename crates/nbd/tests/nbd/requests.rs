//! Requests and their answers.

use crate::{
    devices::{DATA_LEN, FAILS_AT, PANICS_AT, PANICS_AT_ONCE_AT, Probe, WAITS_AT},
    raw::{ACK, DISC, ERR, FLUSH, READ, Reply, TRIM, WRITE, ZERO, contexts_bytes, request_bytes},
    serve::{Served, soon, until},
};
use restblk_block::{BlockDevice, Features, Geometry};
use std::sync::{Arc, atomic::Ordering::SeqCst};

const FUA: u16 = 1;
const DF: u16 = 4;
const FAST: u16 = 16;

#[tokio::test]
async fn data_come_back_and_bad_requests_are_refused() {
    let served = Served::plain(Probe::plain(8 << 20)).await;
    let mut raw = served.client(false).await;
    let data: Vec<u8> = (0..70_000u32 / 512 * 512).map(|at| (at % 251) as u8).collect();
    assert_eq!(raw.write(0, 512, &data).await, 0);
    raw.request(READ, 0, 1, 512, u32::try_from(data.len()).unwrap())
        .await;
    assert_eq!(raw.simple(data.len()).await.data, data);
    assert_eq!(raw.errno(READ, 0, 1, 512).await, 22);
    assert_eq!(raw.errno(READ, 0, 0, 100).await, 22);
    assert_eq!(
        raw.errno(READ, DF, 0, 512).await,
        22,
        "fragments are no matter without structured replies"
    );
    assert_eq!(raw.errno(READ, 0, 8 << 20, 512).await, 22);
    assert_eq!(raw.errno(READ, 0, 0, 64 << 20).await, 22);
    assert_eq!(
        raw.write(0, (8 << 20) - 512, &[1; 1024]).await,
        28,
        "and its data are read over"
    );
    assert_eq!(raw.write(0, 3, &[1; 3]).await, 22);
    assert_eq!(raw.errno(5, 0, 0, 512).await, 22, "caching is not offered");
    assert_eq!(raw.errno(READ, 0, FAILS_AT, 512).await, 28);
    for at in [PANICS_AT, PANICS_AT_ONCE_AT] {
        for len in [512, 1 << 20] {
            assert_eq!(raw.errno(READ, 0, at, len).await, 5);
        }
    }
    assert_eq!(raw.errno(READ, 0, 0, 0).await, 0);
    assert_eq!(raw.errno(ZERO, 0, 0, 1 << 20).await, 0);
    assert_eq!(
        raw.errno(READ, 0, 0, 512).await,
        0,
        "the connection is as good as before"
    );
}

#[tokio::test]
async fn structured_replies_carry_offsets_and_reasons() {
    let served = Served::plain(Probe::plain(8 << 20)).await;
    let mut raw = served.client(true).await;
    raw.request(READ, DF, 1, 4096, 1024).await;
    assert_eq!(
        raw.structured(4096).await,
        (
            1,
            Reply {
                cookie: 1,
                error: 0,
                data: vec![0; 1024]
            }
        )
    );
    raw.request(READ, 0, 2, FAILS_AT, 512).await;
    let (kind, reply) = raw.structured(0).await;
    assert_eq!((kind, reply.error, reply.cookie), (0x8001, 28, 2));
    assert_eq!(reply.data, b"there is no room on this probe");
    raw.request(READ, 0, 3, 0, 0).await;
    assert_eq!(raw.structured(0).await.0, 0);
    assert_eq!(
        raw.errno(FLUSH, 0, 0, 0).await,
        0,
        "a simple reply will do where there are no data"
    );
    raw.request(READ, 0, 4, PANICS_AT, 512).await;
    assert_eq!(raw.structured(0).await.1.error, 5);
}

#[tokio::test]
async fn forced_writes_are_durable_with_and_without_the_devices_help() {
    let without = |geometry: Geometry| Geometry {
        features: Features {
            fua: false,
            write_zeroes: false,
            discard: true,
            ..geometry.features
        },
        ..geometry
    };
    let device = Probe::new(1 << 20, without);
    let served = Served::plain(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
    let mut raw = served.client(false).await;
    assert_eq!(raw.write(FUA, 0, &[1; 512]).await, 0);
    assert_eq!(raw.errno(ZERO, FUA, 0, 512).await, 0);
    assert_eq!(raw.errno(TRIM, FUA, 0, 512).await, 0);
    assert_eq!((device.flushes.load(SeqCst), device.fua.load(SeqCst)), (3, 0));
    assert_eq!(raw.write(0, 0, &[1; 512]).await, 0);
    assert_eq!(device.flushes.load(SeqCst), 3);
    assert_eq!(
        raw.errno(ZERO, FAST, 0, 512).await,
        95,
        "zeroes are not fast here"
    );

    let device = Probe::plain(1 << 20);
    let served = Served::plain(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
    let mut raw = served.client(false).await;
    assert_eq!(raw.write(FUA, 0, &[1; 512]).await, 0);
    assert_eq!(raw.errno(ZERO, FUA | FAST, 0, 512).await, 0);
    assert_eq!((device.flushes.load(SeqCst), device.fua.load(SeqCst)), (0, 2));
}

#[tokio::test]
async fn a_slow_request_holds_up_no_other_and_a_good_bye_waits_for_it() {
    let device = Probe::plain(8 << 20);
    let served = Served::plain(Arc::clone(&device) as Arc<dyn BlockDevice>).await;
    let mut raw = served.client(false).await;
    raw.request(READ, 0, 1, WAITS_AT, 512).await;
    raw.request(READ, 0, 2, 0, 512).await;
    assert_eq!(raw.simple(512).await.cookie, 2);
    let mut bytes = request_bytes(WRITE, 0, 3, WAITS_AT + 512, 512);
    bytes.extend([9; 512]);
    bytes.extend(request_bytes(DISC, 0, 4, 0, 0));
    raw.send(&bytes).await;
    until("both to begin", || device.begun.load(SeqCst) == 3).await;
    device.permits.add_permits(1);
    assert_eq!(raw.simple(512).await.cookie, 1);
    device.permits.add_permits(1);
    assert_eq!(raw.simple(0).await.cookie, 3);
    assert!(raw.is_over().await);
    let mut written = [0; 512];
    device.memory.read(WAITS_AT + 512, &mut written).await.unwrap();
    assert_eq!(written, [9; 512]);
    soon(served.server.close()).await;
}

#[tokio::test]
async fn a_read_only_export_refuses_changes() {
    let frozen = |geometry: Geometry| Geometry {
        features: Features {
            read_only: true,
            ..geometry.features
        },
        ..geometry
    };
    let served = Served::plain(Probe::new(1 << 20, frozen)).await;
    let mut raw = served.client(false).await;
    assert_eq!(raw.write(0, 0, &[1; 512]).await, 1);
    assert_eq!(raw.errno(TRIM, 0, 0, 512).await, 1);
    assert_eq!(raw.errno(ZERO, 0, 0, 512).await, 1);
    assert_eq!(raw.errno(FLUSH, 0, 0, 0).await, 0);
    assert_eq!(raw.errno(READ, 0, 0, 512).await, 0);
}

#[tokio::test]
async fn connections_that_break_the_protocol_are_closed() {
    let served = Served::plain(Probe::plain(1 << 20)).await;
    let mut raw = served.client(false).await;
    raw.send(&[0; 28]).await;
    assert!(raw.is_over().await, "no magic");
    let mut raw = served.client(false).await;
    raw.request(WRITE, 0, 1, 0, (32 << 20) + 512).await;
    assert!(raw.is_over().await, "a write over the maximum");
    assert_eq!(served.client(false).await.errno(READ, 0, 0, 512).await, 0);
}

#[tokio::test]
async fn who_asked_for_it_learns_what_holds_data() {
    const STATUS: u16 = 7;
    const ONE: u16 = 8;
    let served = Served::plain(Probe::plain(8 << 20)).await;
    let mut raw = served.raw().await;
    raw.go_with_allocation("disk").await;
    let descriptors = |list: &[u32]| {
        list.iter()
            .flat_map(|word| word.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    let data = u32::try_from(DATA_LEN).unwrap();
    for (flags, offset, len, wanted) in [
        (0, 0, 4 << 20, &[data, 0, (4 << 20) - data, 3][..]),
        (ONE, 0, 4 << 20, &[data, 0]),
        (0, DATA_LEN - 512, 1024, &[512, 0, 512, 3]),
        (0, 1 << 20, 512, &[512, 3]),
    ] {
        raw.request(STATUS, flags, 9, offset, len).await;
        let (kind, reply) = raw.structured(0).await;
        assert_eq!((kind, reply.data), (5, descriptors(wanted)), "{len} at {offset}");
    }
    raw.request(STATUS, 0, 9, 8 << 20, 512).await;
    assert_eq!(raw.structured(0).await.1.error, 22, "outside");
    // Who did not ask for it, or for another export, has no such command.
    let mut other = served.client(true).await;
    other.request(STATUS, 0, 9, 0, 512).await;
    assert_eq!(other.structured(0).await.1.error, 22);
}

#[tokio::test]
async fn contexts_want_structured_replies_and_an_export() {
    let served = Served::plain(Probe::plain(8 << 20)).await;
    let mut raw = served.raw().await;
    let set = contexts_bytes("disk", &["base:allocation"]);
    assert_eq!(raw.option_ends(10, &set).await, ERR | 3);
    assert_eq!(raw.option_ends(8, &[]).await, ACK);
    assert_eq!(raw.option_ends(10, &contexts_bytes("none", &[])).await, ERR | 6);
    assert_eq!(raw.option_ends(10, &set[..set.len() - 1]).await, ERR | 3);
    let listed = raw.option(9, &contexts_bytes("disk", &[])).await;
    assert_eq!(listed[0], (4, b"\0\0\0\0base:allocation".to_vec()));
    // A later one takes the place of an earlier one.
    assert_eq!(raw.option(10, &set).await.len(), 2);
    assert_eq!(raw.option(10, &contexts_bytes("disk", &["x:y"])).await.len(), 1);
    raw.go("disk", false).await;
    raw.request(7, 0, 9, 0, 512).await;
    assert_eq!(raw.structured(0).await.1.error, 22);
}
