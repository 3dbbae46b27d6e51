//! Changes in place: ranges, sizes, holes, durability.

use super::{Bench, Check, ensure, extent, fails};
use crate::{Durability, Resize};
use bytes::Bytes;
use futures_util::future::join_all;
use restblk_types::ErrorKind;

pub(super) async fn writes_change_their_range_alone(bench: &Bench) -> Check {
    let key = bench.put("x", b"0123456789").await?;
    if !bench.store.capabilities().write_at {
        let refused = bench
            .store
            .write_at(&key, 2, Bytes::from_static(b"ab"), false)
            .await;
        fails(refused, ErrorKind::Unsupported, "write")?;
        return bench.holds(&key, b"0123456789", "after a refused write").await;
    }
    bench.write(&key, 2, b"abc").await?;
    bench.holds(&key, b"01abc56789", "a write inside").await?;
    bench.write(&key, 2, b"abc").await?;
    bench.holds(&key, b"01abc56789", "the same again").await?;
    bench.write(&key, 0, b"X").await?;
    bench.write(&key, 9, b"YZ").await?;
    bench.holds(&key, b"X1abc5678YZ", "writes at both ends").await?;
    bench.write(&key, 4, b"").await?;
    bench.holds(&key, b"X1abc5678YZ", "an empty write").await?;
    let wrapped = bench
        .store
        .write_at(&key, u64::MAX, Bytes::from_static(b"ab"), false)
        .await;
    fails(wrapped, ErrorKind::Invalid, "a write past 2^64")?;
    bench.holds(&key, b"X1abc5678YZ", "a refused write").await
}

pub(super) async fn gaps_are_zeros(bench: &Bench) -> Check {
    if !bench.store.capabilities().write_at {
        return Ok(());
    }
    let key = bench.put("x", b"ab").await?;
    bench.write(&key, 100_000, b"cd").await?;
    let mut wanted = b"ab".to_vec();
    wanted.resize(100_000, 0);
    wanted.extend_from_slice(b"cd");
    bench.holds(&key, &wanted, "a write past the end").await?;
    let empty = bench.put("empty", b"").await?;
    bench.write(&empty, 3, b"x").await?;
    bench
        .holds(&empty, b"\0\0\0x", "a write into an empty object")
        .await
}

pub(super) async fn writes_reach_beyond_4_gib(bench: &Bench) -> Check {
    if !bench.store.capabilities().write_at {
        return Ok(());
    }
    let key = bench.put("x", b"start").await?;
    let far = (5 << 30) + 1;
    bench.write(&key, far, b"far").await?;
    let size = bench.store.head(&key).await?.size;
    ensure(size == far + 3, || format!("the size is {size}"))?;
    let found = bench
        .store
        .get(&key, Some(extent(far - 2, 5)))
        .await?
        .payload
        .into_bytes();
    ensure(found == b"\0\0far"[..], || format!("{found:?} lies there"))?;
    let found = bench
        .store
        .get(&key, Some(extent(0, 8)))
        .await?
        .payload
        .into_bytes();
    ensure(found == b"start\0\0\0"[..], || {
        format!("{found:?} is at the start")
    })
}

pub(super) async fn parallel_writes_all_land(bench: &Bench) -> Check {
    if !bench.store.capabilities().write_at {
        return Ok(());
    }
    const PIECE: usize = 3000;
    let key = bench.put("x", &[0xff; 64 * PIECE]).await?;
    let writes = (0..64_u8).map(|n| {
        let data = Bytes::from(vec![n; PIECE]);
        bench
            .store
            .write_at(&key, u64::from(n) * PIECE as u64, data, false)
    });
    for written in join_all(writes).await {
        written?;
    }
    let wanted: Vec<u8> = (0..64_u8).flat_map(|n| [n; PIECE]).collect();
    bench.holds(&key, &wanted, "after 64 writes at once").await?;
    let reads = (0..64_u64).map(|n| {
        bench
            .store
            .get(&key, Some(extent(n * PIECE as u64, PIECE as u64)))
    });
    for (n, read) in join_all(reads).await.into_iter().enumerate() {
        let bytes = read?.payload.into_bytes();
        ensure(bytes.iter().all(|&b| usize::from(b) == n), || {
            format!("read {n} of 64 at once has other bytes")
        })?;
    }
    Ok(())
}

pub(super) async fn large_ranges_go_through(bench: &Bench) -> Check {
    let can = bench.store.capabilities();
    if !can.write_at {
        return Ok(());
    }
    let len = usize::try_from(can.range_len_max.min(16 << 20)).unwrap_or(1 << 20);
    let body: Vec<u8> = (0..len)
        .map(|i| u8::try_from((i >> 9) % 253).unwrap_or(0))
        .collect();
    let key = bench.put("x", b"").await?;
    bench.write(&key, 1, &body).await?;
    let found = bench
        .store
        .get(&key, Some(extent(1, len as u64)))
        .await?
        .payload
        .into_bytes();
    ensure(found == body, || {
        format!("a range of {len} bytes came back changed")
    })
}

pub(super) async fn sizes_are_set(bench: &Bench) -> Check {
    let resize = bench.store.capabilities().resize;
    let key = bench.put("x", b"0123456789").await?;
    if resize == Resize::None {
        fails(
            bench.store.set_size(&key, 20).await,
            ErrorKind::Unsupported,
            "set size",
        )?;
        return bench.holds(&key, b"0123456789", "after a refused size").await;
    }
    bench.store.set_size(&key, 10).await?;
    bench.holds(&key, b"0123456789", "the same size").await?;
    bench.store.set_size(&key, 5000).await?;
    let mut wanted = b"0123456789".to_vec();
    wanted.resize(5000, 0);
    bench.holds(&key, &wanted, "grown").await?;
    if resize == Resize::ByWriting {
        fails(
            bench.store.set_size(&key, 4).await,
            ErrorKind::Unsupported,
            "make smaller",
        )?;
        return bench.holds(&key, &wanted, "after a refused size").await;
    }
    bench.store.set_size(&key, 4).await?;
    bench.holds(&key, b"0123", "shrunk").await?;
    bench.store.set_size(&key, 12).await?;
    bench
        .holds(&key, b"0123\0\0\0\0\0\0\0\0", "shrunk and grown")
        .await?;
    bench.store.set_size(&key, 0).await?;
    bench.holds(&key, b"", "empty").await?;
    bench.store.set_size(&key, 1 << 42).await?;
    let size = bench.store.head(&key).await?.size;
    ensure(size == 1 << 42, || format!("4 TiB became {size}"))
}

pub(super) async fn holes_are_zeros(bench: &Bench) -> Check {
    let mut wanted = vec![7; 40_000];
    let key = bench.put("x", &wanted).await?;
    if !bench.store.capabilities().punch {
        fails(
            bench.store.punch(&key, extent(0, 4096)).await,
            ErrorKind::Unsupported,
            "punch",
        )?;
        return bench.holds(&key, &wanted, "after a refused punch").await;
    }
    for (offset, len) in [(4096, 8192), (1, 10), (39_999, 1), (20_000, 0)] {
        bench.store.punch(&key, extent(offset, len)).await?;
        let from = usize::try_from(offset).unwrap_or(0);
        wanted[from..from + usize::try_from(len).unwrap_or(0)].fill(0);
        bench
            .holds(&key, &wanted, &format!("a hole at {offset}+{len}"))
            .await?;
    }
    bench.store.punch(&key, extent(0, 40_000)).await?;
    bench.holds(&key, &[0; 40_000], "a hole over all").await
}

pub(super) async fn flushes_and_durable_writes_are_answered(bench: &Bench) -> Check {
    let can = bench.store.capabilities();
    let key = bench.put("x", b"0123").await?;
    bench.store.flush(&key).await?;
    if can.durable_write {
        ensure(can.durability != Durability::Unstated, || {
            "durable writes and no durability".to_owned()
        })?;
        bench
            .store
            .write_at(&key, 1, Bytes::from_static(b"ab"), true)
            .await?;
        bench.holds(&key, b"0ab3", "a durable write").await?;
    } else {
        let refused = bench
            .store
            .write_at(&key, 1, Bytes::from_static(b"ab"), true)
            .await;
        fails(refused, ErrorKind::Unsupported, "a durable write")?;
        bench
            .holds(&key, b"0123", "after a refused durable write")
            .await?;
    }
    if can.write_at {
        bench.write(&key, 0, b"z").await?;
    }
    Ok(bench.store.flush(&key).await?)
}
