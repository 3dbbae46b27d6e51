//! Options and their answers.

use crate::{
    devices::Probe,
    raw::{ACK, ERR, Raw, info_bytes, option_bytes},
    serve::Served,
};
use restblk_block::{Features, Geometry};
use restblk_types::BlockSize;

#[tokio::test]
async fn every_option_has_its_answer() {
    let served = Served::plain(Probe::plain(1 << 20)).await;
    let mut raw = served.raw().await;
    // extended headers, one from the future
    for option in [11, 0x1234_5678] {
        assert_eq!(raw.option_ends(option, b"any").await, ERR | 1, "{option}");
    }
    assert_eq!(raw.option_ends(5, &[]).await, ERR | 1, "no TLS here");
    let list = raw.option(3, &[]).await;
    assert_eq!(
        list,
        [(2, b"\0\0\0\x04diska disk of a test".to_vec()), (ACK, vec![])]
    );
    assert_eq!(raw.option_ends(3, b"x").await, ERR | 3);
    assert_eq!(raw.option_ends(8, b"x").await, ERR | 3);
    assert_eq!(raw.option_ends(6, &info_bytes("other", &[])).await, ERR | 6);
    assert_eq!(raw.option_ends(6, b"\0\0\0\xffdisk\0\0").await, ERR | 3);
    assert_eq!(raw.option_ends(6, &vec![0; 20_000]).await, ERR | 9);
    assert_eq!(raw.option_ends(6, &info_bytes("disk", &[])).await, ACK);
    assert_eq!(raw.option_ends(2, &[]).await, ACK);
    assert!(raw.is_over().await);
}

#[tokio::test]
async fn information_is_the_devices() {
    let large = |geometry: Geometry| Geometry {
        block_size: BlockSize::B4096,
        io_size_optimal: 65536,
        ..geometry
    };
    let frozen = |geometry: Geometry| Geometry {
        features: Features {
            read_only: true,
            ..geometry.features
        },
        ..geometry
    };
    let served = Served::plain(Probe::new(3 << 20, large)).await;
    served
        .exports
        .add("frozen", "", Probe::new(4096, frozen))
        .unwrap();
    let mut raw = served.raw().await;
    assert_eq!(
        raw.option_ends(6, &info_bytes("", &[])).await,
        ERR | 6,
        "two exports: none is the default"
    );
    assert_eq!(raw.option_ends(8, &[]).await, ACK);
    let facts = raw.option(6, &info_bytes("disk", &[1, 2, 3])).await;
    let of = |kind: u16| {
        let found = facts
            .iter()
            .find(|(reply, data)| *reply == 3 && data[..2] == kind.to_be_bytes());
        found.map(|(_, data)| data[2..].to_vec())
    };
    let export = of(0).unwrap();
    assert_eq!(export[..8], (3u64 << 20).to_be_bytes());
    // flags, flush, FUA, trim, zeroes, no fragments, several connections, fast zeroes
    assert_eq!(u16::from_be_bytes([export[8], export[9]]), 0b1001_1110_1101);
    assert_eq!(of(1).unwrap(), b"disk");
    assert_eq!(of(2).unwrap(), b"a disk of a test");
    assert_eq!(of(3).unwrap(), [0, 0, 0x10, 0, 0, 1, 0, 0, 2, 0, 0, 0]);
    let frozen = raw.option(6, &info_bytes("frozen", &[])).await;
    let flags = u16::from_be_bytes(frozen[0].1[10..12].try_into().unwrap());
    assert_eq!(
        flags & 0b1101_1010,
        0b1000_0010,
        "read-only and nothing that writes"
    );
}

#[tokio::test]
async fn the_old_way_to_choose_an_export_works() {
    let served = Served::plain(Probe::plain(1 << 20)).await;
    for (flags, zeroes) in [(1, 124), (3, 0)] {
        let mut raw = Raw::greeted(&served.socket, flags).await;
        raw.send(&option_bytes(1, b"disk")).await;
        assert_eq!(u64::from_be_bytes(raw.take().await), 1 << 20);
        let _flags: [u8; 2] = raw.take().await;
        assert!(raw.take_vec(zeroes).await.iter().all(|byte| *byte == 0));
        assert_eq!(raw.errno(0, 0, 0, 512).await, 0);
    }
    let mut raw = served.raw().await;
    raw.send(&option_bytes(1, b"other")).await;
    assert!(raw.is_over().await);
}

#[tokio::test]
async fn what_cannot_be_followed_ends_the_connection() {
    let served = Served::plain(Probe::plain(1 << 20)).await;
    assert!(
        Raw::greeted(&served.socket, 0x8000_0003).await.is_over().await,
        "unknown flags"
    );
    let mut raw = served.raw().await;
    raw.send(b"IHAVENOTHING----").await;
    assert!(raw.is_over().await);
    let mut raw = served.raw().await;
    raw.send(b"IHAVEOPT\0\0\0\x06\xff\xff\xff\xff").await;
    assert!(raw.is_over().await, "four gigabytes of option");
    let mut raw = served.raw().await;
    for _ in 0..128 {
        raw.send(&option_bytes(3, &[])).await;
    }
    raw.send(&option_bytes(2, &[])).await;
    let mut all = Vec::new();
    // The server may hang up before it has read all of that, which resets the connection.
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut raw.stream, &mut all).await;
    assert!(
        all.len() < 128 * 70 + 20,
        "the option after too many is not answered"
    );
}
