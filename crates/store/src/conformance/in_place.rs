//! Changes in place: ranges, sizes, holes, durability. On objects made by `create`, in units of the store's alignment.

use super::{Bench, Check, ensure, extent, fails};
use crate::{Durability, Precondition, Resize};
use bytes::Bytes;
use futures_util::future::join_all;
use restblk_types::ErrorKind;

pub(super) async fn writes_change_their_range_alone(bench: &Bench) -> Check {
    let unit = bench.unit();
    if !bench.store.capabilities().write_at {
        let key = bench.put("x", b"0123456789").await?;
        let refused = bench
            .store
            .write_at(&key, 2, Bytes::from_static(b"ab"), false)
            .await;
        fails(refused, ErrorKind::Unsupported, "write")?;
        return bench.holds(&key, b"0123456789", "after a refused write").await;
    }
    let units = |letters: &[u8]| bench.units(letters);
    let key = bench.create("x", &units(b"0123456789")).await?;
    bench.write(&key, 2 * unit, &units(b"abc")).await?;
    bench.holds(&key, &units(b"01abc56789"), "a write inside").await?;
    bench.write(&key, 2 * unit, &units(b"abc")).await?;
    bench.holds(&key, &units(b"01abc56789"), "the same again").await?;
    bench.write(&key, 0, &units(b"X")).await?;
    bench.write(&key, 9 * unit, &units(b"YZ")).await?;
    bench
        .holds(&key, &units(b"X1abc5678YZ"), "writes at both ends")
        .await?;
    bench.write(&key, 4 * unit, b"").await?;
    bench
        .holds(&key, &units(b"X1abc5678YZ"), "an empty write")
        .await?;
    let last = u64::MAX - (unit - 1);
    let wrapped = bench
        .store
        .write_at(&key, last, Bytes::from(units(b"ab")), false)
        .await;
    fails(wrapped, ErrorKind::Invalid, "a write past 2^64")?;
    bench.holds(&key, &units(b"X1abc5678YZ"), "a refused write").await
}

pub(super) async fn gaps_are_zeros(bench: &Bench) -> Check {
    if !bench.store.capabilities().write_at {
        return Ok(());
    }
    let unit = bench.unit();
    let key = bench.create("x", &bench.units(b"ab")).await?;
    let far = 100_000_u64.next_multiple_of(unit);
    bench.write(&key, far, &bench.units(b"cd")).await?;
    let mut wanted = bench.units(b"ab");
    wanted.resize(usize::try_from(far).unwrap_or(0), 0);
    wanted.extend(bench.units(b"cd"));
    bench.holds(&key, &wanted, "a write past the end").await?;
    let empty = bench.create("empty", b"").await?;
    bench.write(&empty, 3 * unit, &bench.units(b"x")).await?;
    bench
        .holds(&empty, &bench.units(b"\0\0\0x"), "a write into an empty object")
        .await
}

pub(super) async fn writes_reach_beyond_4_gib(bench: &Bench) -> Check {
    if !bench.store.capabilities().write_at {
        return Ok(());
    }
    let unit = bench.unit();
    let key = bench.create("x", &bench.units(b"start")).await?;
    let far = (5 << 30) + unit;
    bench.write(&key, far, &bench.units(b"far")).await?;
    let size = bench.store.head(&key).await?.size;
    ensure(size == far + 3 * unit, || format!("the size is {size}"))?;
    for (offset, letters) in [(far - 2 * unit, b"\0\0far".as_slice()), (0, b"start\0\0\0")] {
        let range = extent(offset, letters.len() as u64 * unit);
        let found = bench.store.get(&key, Some(range)).await?;
        ensure(found.payload.into_bytes() == bench.units(letters), || {
            format!("other bytes lie at {range}")
        })?;
    }
    Ok(())
}

pub(super) async fn parallel_writes_all_land(bench: &Bench) -> Check {
    if !bench.store.capabilities().write_at {
        return Ok(());
    }
    let len = 3000_u64.next_multiple_of(bench.unit());
    let piece = |n: u8| vec![n; usize::try_from(len).unwrap_or(0)];
    let key = bench
        .create("x", &(0..64).flat_map(|_| piece(0xff)).collect::<Vec<u8>>())
        .await?;
    let writes = (0..64_u8).map(|n| {
        bench
            .store
            .write_at(&key, u64::from(n) * len, Bytes::from(piece(n)), false)
    });
    for written in join_all(writes).await {
        written?;
    }
    let wanted: Vec<u8> = (0..64_u8).flat_map(piece).collect();
    bench.holds(&key, &wanted, "after 64 writes at once").await?;
    let reads = (0..64_u64).map(|n| bench.store.get(&key, Some(extent(n * len, len))));
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
    let (key, at) = (bench.create("x", b"").await?, bench.unit());
    bench.write(&key, at, &body).await?;
    let found = bench
        .store
        .get(&key, Some(extent(at, len as u64)))
        .await?
        .payload
        .into_bytes();
    ensure(found == body, || {
        format!("a range of {len} bytes came back changed")
    })
}

pub(super) async fn sizes_are_set(bench: &Bench) -> Check {
    let resize = bench.store.capabilities().resize;
    if resize == Resize::None {
        let key = bench.put("x", b"0123456789").await?;
        fails(
            bench.store.set_size(&key, 20).await,
            ErrorKind::Unsupported,
            "set size",
        )?;
        return bench.holds(&key, b"0123456789", "after a refused size").await;
    }
    let (unit, units) = (bench.unit(), |letters: &[u8]| bench.units(letters));
    let key = bench.create("x", &units(b"0123456789")).await?;
    bench.store.set_size(&key, 10 * unit).await?;
    bench.holds(&key, &units(b"0123456789"), "the same size").await?;
    let large = 5000_u64.next_multiple_of(unit).max(11 * unit);
    bench.store.set_size(&key, large).await?;
    let mut wanted = units(b"0123456789");
    wanted.resize(usize::try_from(large).unwrap_or(0), 0);
    bench.holds(&key, &wanted, "grown").await?;
    if resize == Resize::ByWriting {
        fails(
            bench.store.set_size(&key, 4 * unit).await,
            ErrorKind::Unsupported,
            "make smaller",
        )?;
        return bench.holds(&key, &wanted, "after a refused size").await;
    }
    bench.store.set_size(&key, 4 * unit).await?;
    bench.holds(&key, &units(b"0123"), "shrunk").await?;
    bench.store.set_size(&key, 12 * unit).await?;
    bench
        .holds(&key, &units(b"0123\0\0\0\0\0\0\0\0"), "shrunk and grown")
        .await?;
    bench.store.set_size(&key, 0).await?;
    bench.holds(&key, b"", "empty").await?;
    bench.store.set_size(&key, 1 << 42).await?;
    let size = bench.store.head(&key).await?.size;
    ensure(size == 1 << 42, || format!("4 TiB became {size}"))
}

pub(super) async fn holes_are_zeros(bench: &Bench) -> Check {
    if !bench.store.capabilities().punch {
        let key = bench.put("x", &[7; 40_000]).await?;
        fails(
            bench.store.punch(&key, extent(0, 4096)).await,
            ErrorKind::Unsupported,
            "punch",
        )?;
        return bench.holds(&key, &[7; 40_000], "after a refused punch").await;
    }
    let aligned = |bytes: u64| bytes.next_multiple_of(bench.unit());
    let size = aligned(40_000);
    let mut wanted = vec![7; usize::try_from(size).unwrap_or(0)];
    let key = bench.create("x", &wanted).await?;
    for (offset, len) in [
        (aligned(4096), aligned(8192)),
        (aligned(1), aligned(10)),
        (size - aligned(1), aligned(1)),
        (aligned(20_000), 0),
    ] {
        bench.store.punch(&key, extent(offset, len)).await?;
        let from = usize::try_from(offset).unwrap_or(0);
        wanted[from..from + usize::try_from(len).unwrap_or(0)].fill(0);
        bench
            .holds(&key, &wanted, &format!("a hole at {offset}+{len}"))
            .await?;
    }
    bench.store.punch(&key, extent(0, size)).await?;
    wanted.fill(0);
    bench.holds(&key, &wanted, "a hole over all").await
}

/// What is no multiple of the alignment is refused and changes nothing.
pub(super) async fn misaligned_changes_are_refused(bench: &Bench) -> Check {
    let (can, unit) = (bench.store.capabilities(), bench.unit());
    if !can.write_at || unit == 1 {
        return Ok(());
    }
    let (body, store) = (bench.units(b"ab"), &bench.store);
    let key = bench.create("x", &body).await?;
    for (offset, len) in [(1, unit), (0, unit - 1), (unit, 1)] {
        let data = Bytes::from(vec![b'!'; usize::try_from(len).unwrap_or(0)]);
        fails(
            store.write_at(&key, offset, data, false).await,
            ErrorKind::Invalid,
            &format!("a write at {offset}+{len}"),
        )?;
        if can.punch {
            fails(
                store.punch(&key, extent(offset, len)).await,
                ErrorKind::Invalid,
                &format!("a hole at {offset}+{len}"),
            )?;
        }
    }
    for size in [1, unit + 1] {
        if can.resize != Resize::None {
            fails(
                store.set_size(&key, size).await,
                ErrorKind::Invalid,
                &format!("a size of {size}"),
            )?;
        }
    }
    bench.holds(&key, &body, "after refused changes").await
}

/// Where objects are of two kinds, one made by `put` refuses changes in place, and neither kind replaces the other.
pub(super) async fn objects_made_whole_say_whether_they_change_in_place(bench: &Bench) -> Check {
    let (can, store) = (bench.store.capabilities(), &bench.store);
    if !can.write_at {
        return Ok(());
    }
    let body = bench.units(b"ab");
    let whole = bench.put("whole", &body).await?;
    let created = bench.create("created", &body).await?;
    ensure(store.head(&created).await?.in_place, || {
        "an object that was created is said not to change in place".to_owned()
    })?;
    if store.head(&whole).await?.in_place {
        bench.write(&whole, 0, &bench.units(b"X")).await?;
        return bench.holds(&whole, &bench.units(b"Xb"), "put and written").await;
    }
    let unit = Bytes::from(bench.units(b"!"));
    fails(
        store.write_at(&whole, 0, unit.clone(), false).await,
        ErrorKind::Unsupported,
        "write to what was put",
    )?;
    if can.punch {
        fails(
            store.punch(&whole, extent(0, bench.unit())).await,
            ErrorKind::Unsupported,
            "punch what was put",
        )?;
    }
    if can.resize != Resize::None {
        fails(
            store.set_size(&whole, bench.unit()).await,
            ErrorKind::Unsupported,
            "resize what was put",
        )?;
    }
    fails(
        store.create(&whole, crate::Precondition::Always).await,
        ErrorKind::Unsupported,
        "create over what was put",
    )?;
    fails(
        store.put(&created, unit, crate::Precondition::Always).await,
        ErrorKind::Unsupported,
        "put over what was created",
    )?;
    bench.holds(&whole, &body, "made whole, after refusals").await?;
    bench.holds(&created, &body, "created, after refusals").await
}

pub(super) async fn flushes_and_durable_writes_are_answered(bench: &Bench) -> Check {
    let can = bench.store.capabilities();
    if !can.write_at {
        let key = bench.put("x", b"0123").await?;
        let refused = bench
            .store
            .write_at(&key, 1, Bytes::from_static(b"ab"), true)
            .await;
        fails(refused, ErrorKind::Unsupported, "a durable write")?;
        bench.store.flush(&key, &[]).await?;
        return Ok(());
    }
    let (unit, units) = (bench.unit(), |letters: &[u8]| bench.units(letters));
    let key = bench.create("x", &units(b"0123")).await?;
    bench.store.flush(&key, &[]).await?;
    let durable = bench
        .store
        .write_at(&key, unit, Bytes::from(units(b"ab")), true)
        .await;
    if can.durable_write {
        ensure(can.durability != Durability::Unstated, || {
            "durable writes and no durability".to_owned()
        })?;
        durable?;
        bench.holds(&key, &units(b"0ab3"), "a durable write").await?;
    } else {
        fails(durable, ErrorKind::Unsupported, "a durable write")?;
        bench
            .holds(&key, &units(b"0123"), "after a refused durable write")
            .await?;
    }
    bench.write(&key, 0, &units(b"z")).await?;
    bench.store.flush(&key, &[]).await?;
    Ok(())
}

/// A store that names the cache that it flushed names the same one with every change, and may be compared.
pub(super) async fn caches_are_named_alike(bench: &Bench) -> Check {
    let can = bench.store.capabilities();
    let (key, unit) = (bench.key("x"), bench.unit());
    let created = bench.store.create(&key, Precondition::Always).await?.instance;
    let Some(&instance) = bench.store.flush(&key, &[]).await?.instances.first() else {
        return Ok(());
    };
    let mut told = vec![("create", created)];
    if can.write_at {
        let data = Bytes::from(bench.units(b"ab"));
        told.push(("write", bench.store.write_at(&key, unit, data, false).await?));
    }
    if can.resize != Resize::None {
        told.push(("resize", bench.store.set_size(&key, 5 * unit).await?));
    }
    if can.punch && can.write_at {
        told.push(("punch", bench.store.punch(&key, extent(0, 2 * unit)).await?));
    }
    for (operation, by) in told {
        ensure(by == Some(instance), || {
            format!("{operation} was taken by {by:?}, and {instance} was flushed")
        })?;
    }
    let flushed = bench.store.flush(&key, &[instance]).await?;
    ensure(flushed.misses(&[instance]).is_none(), || {
        format!("{flushed:?} after changes by {instance}")
    })
}
