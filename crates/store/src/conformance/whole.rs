//! Whole objects: put, get, head, delete, names.

use super::{Bench, Check, Failure, ensure, extent, fails};
use crate::Precondition;
use bytes::Bytes;
use restblk_types::ErrorKind;

pub(super) async fn objects_are_kept_whole(bench: &Bench) -> Check {
    for len in [1_usize, 511, 4096, 65_537, (1 << 20) + 3] {
        let body: Vec<u8> = (0..len).map(|i| u8::try_from(i * 7 % 251).unwrap_or(0)).collect();
        let key = bench.put(&format!("of-{len}"), &body).await?;
        bench
            .holds(&key, &body, &format!("an object of {len} bytes"))
            .await?;
    }
    Ok(())
}

pub(super) async fn a_put_replaces(bench: &Bench) -> Check {
    let key = bench.put("x", &[1; 10_000]).await?;
    for body in [&b"short"[..], &[3; 20_000], b"", b"z"] {
        bench.put("x", body).await?;
        bench.holds(&key, body, "after a replacement").await?;
    }
    Ok(())
}

pub(super) async fn empty_objects_exist(bench: &Bench) -> Check {
    let key = bench.put("empty", b"").await?;
    bench.holds(&key, b"", "an empty object").await?;
    fails(
        bench.store.get(&key, Some(extent(0, 1))).await,
        ErrorKind::Invalid,
        "a read of an empty object",
    )
}

pub(super) async fn what_is_missing_is_not_found(bench: &Bench) -> Check {
    let (store, can) = (&bench.store, bench.store.capabilities());
    bench.put("there", b"x").await?;
    for name in ["missing", "no/such/folder", "there-not"] {
        let key = bench.key(name);
        fails(store.get(&key, None).await, ErrorKind::NotFound, "get")?;
        fails(
            store.get(&key, Some(extent(0, 4))).await,
            ErrorKind::NotFound,
            "ranged get",
        )?;
        fails(store.head(&key).await, ErrorKind::NotFound, "head")?;
        fails(
            store.delete(&key, Precondition::Always).await,
            ErrorKind::NotFound,
            "delete",
        )?;
        fails(store.flush(&key, &[]).await, ErrorKind::NotFound, "flush")?;
        if can.write_at {
            let written = store
                .write_at(&key, 0, Bytes::from(bench.units(b"w")), false)
                .await;
            fails(written, ErrorKind::NotFound, "write")?;
        }
        if can.resize != crate::Resize::None {
            fails(
                store.set_size(&key, 10 * bench.unit()).await,
                ErrorKind::NotFound,
                "set size",
            )?;
        }
        if can.punch {
            fails(
                store.punch(&key, extent(0, bench.unit())).await,
                ErrorKind::NotFound,
                "punch",
            )?;
        }
        fails(
            store.head(&key).await,
            ErrorKind::NotFound,
            "head after refused changes",
        )?;
    }
    Ok(())
}

pub(super) async fn ranges_are_exact(bench: &Bench) -> Check {
    let body: Vec<u8> = (0..=255).collect();
    let key = bench.put("x", &body).await?;
    for (offset, len) in [(0, 1), (0, 256), (255, 1), (100, 56), (1, 254)] {
        let found = bench
            .store
            .get(&key, Some(extent(offset, len)))
            .await?
            .payload
            .into_bytes();
        let from = usize::try_from(offset).unwrap_or(0);
        let wanted = &body[from..from + usize::try_from(len).unwrap_or(0)];
        ensure(found == wanted, || {
            format!("the range {offset}+{len} has other bytes")
        })?;
    }
    for (offset, len) in [(0, 257), (256, 1), (255, 2), (1 << 40, 8), (0, 0), (256, 0)] {
        let found = bench.store.get(&key, Some(extent(offset, len))).await;
        fails(
            found,
            ErrorKind::Invalid,
            &format!("the range {offset}+{len} of 256 bytes"),
        )?;
    }
    bench.holds(&key, &body, "after reads").await
}

pub(super) async fn names_are_any_text(bench: &Bench) -> Check {
    let long = "n".repeat(200);
    let names = [
        "plain",
        "with space",
        "a%20b",
        "a b",
        "per%cent",
        "que?stion",
        "ha#sh",
        "semi;colon",
        "col:on",
        "am&persand",
        "plus+",
        "eq=ual",
        "co,mma",
        "at@",
        "quo\"te",
        "apo'strophe",
        "back\\slash",
        "br[ack]et",
        "ti~lde",
        "ünïcödé",
        "日本語",
        "😀",
        "...",
        ".hidden",
        "-dash",
        "a/b/c/d/e/f",
        "UPPER",
        "upper",
        "trailing.",
        &long,
    ];
    // Azure Blob would keep them under other names; a store that cannot keep a name says so.
    let may_be_refused = |name: &str| name.ends_with('.') || name.contains('\\');
    let mut kept = Vec::new();
    for name in names {
        let body = Bytes::copy_from_slice(name.as_bytes());
        match bench
            .store
            .put(&bench.key(name), body, Precondition::Always)
            .await
        {
            Ok(_) => kept.push(name),
            Err(error) if may_be_refused(name) && error.kind() == ErrorKind::Invalid => {}
            Err(error) => return Err(Failure(format!("{name:?}: {error}"))),
        }
    }
    for name in &kept {
        bench.holds(&bench.key(name), name.as_bytes(), name).await?;
    }
    for name in kept {
        bench.store.delete(&bench.key(name), Precondition::Always).await?;
    }
    Ok(())
}

pub(super) async fn deletion_is_final(bench: &Bench) -> Check {
    let key = bench.put("x", b"first").await?;
    let other = bench.put("y", b"other").await?;
    fails(
        bench.store.delete(&key, Precondition::Absent).await,
        ErrorKind::Conflict,
        "delete if absent",
    )?;
    bench.store.delete(&key, Precondition::Always).await?;
    fails(
        bench.store.head(&key).await,
        ErrorKind::NotFound,
        "head after deletion",
    )?;
    fails(
        bench.store.delete(&key, Precondition::Always).await,
        ErrorKind::NotFound,
        "a second deletion",
    )?;
    bench.holds(&other, b"other", "the neighbour").await?;
    bench.put("x", b"2").await?;
    bench.holds(&key, b"2", "made again").await?;
    if bench.store.capabilities().write_at {
        // Whatever was remembered of the first one must not be used for the second.
        let units = |letters: &[u8]| bench.units(letters);
        let written = bench.create("z", &units(b"1")).await?;
        bench.store.delete(&written, Precondition::Always).await?;
        bench.create("z", &units(b"2")).await?;
        bench
            .holds(&written, &units(b"2"), "made again and written")
            .await?;
    }
    Ok(())
}

pub(super) async fn puts_are_atomic(bench: &Bench) -> Check {
    if !bench.store.capabilities().atomic_put {
        return Ok(());
    }
    let bodies = [vec![b'a'; 150_000], vec![b'b'; 90_000]];
    let key = bench.put("x", &bodies[0]).await?;
    let write = async {
        for round in 0..20 {
            bench.put("x", &bodies[round % 2]).await?;
        }
        Ok::<(), Failure>(())
    };
    let read = async {
        for _ in 0..40 {
            let found = bench.whole(&key).await?;
            ensure(bodies.iter().any(|body| found == body), || {
                "a reader saw neither the old nor the new".to_owned()
            })?;
        }
        Ok::<(), Failure>(())
    };
    let (written, seen) = futures_util::future::join(write, read).await;
    written.and(seen)
}

pub(super) async fn errors_name_operation_object_and_place(bench: &Bench) -> Check {
    let key = bench.key("nowhere");
    let Err(error) = bench.store.get(&key, None).await else {
        return Err(Failure("a missing object was read".to_owned()));
    };
    let text = error.to_string();
    // That of the mirror that answered.
    let places = bench.store.location();
    ensure(
        text.starts_with("read ")
            && text.contains(key.as_str())
            && places.split(',').any(|place| text.contains(place)),
        || format!("the error says too little: {text}"),
    )
}
