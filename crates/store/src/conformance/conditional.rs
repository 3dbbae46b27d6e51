//! What decides races: exclusive create, compare and set.

use super::{Bench, Check, Failure, ensure, fails};
use crate::{ETag, Key, Precondition};
use bytes::Bytes;
use futures_util::future::join_all;
use restblk_types::ErrorKind;

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) async fn creates_are_exclusive(bench: &Bench) -> Check {
    let key = bench.key("x");
    let created = bench.store.put(&key, body("first"), Precondition::Absent).await;
    if !bench.store.capabilities().exclusive_create {
        fails(created, ErrorKind::Unsupported, "exclusive create")?;
        return fails(
            bench.store.head(&key).await,
            ErrorKind::NotFound,
            "head after a refused create",
        );
    }
    created?;
    let again = bench.store.put(&key, body("second"), Precondition::Absent).await;
    fails(again, ErrorKind::Conflict, "a second create")?;
    bench.holds(&key, b"first", "after a refused create").await?;
    bench.store.delete(&key, Precondition::Always).await?;
    bench.store.put(&key, body("third"), Precondition::Absent).await?;
    bench.holds(&key, b"third", "created again").await
}

pub(super) async fn racing_creates_have_one_winner(bench: &Bench) -> Check {
    if !bench.store.capabilities().exclusive_create {
        return Ok(());
    }
    for round in 0..10 {
        let key = bench.key(&format!("deep/er/{round}"));
        let puts = (0..12).map(|n| {
            bench
                .store
                .put(&key, body(&format!("racer {n:04}")), Precondition::Absent)
        });
        let results = join_all(puts).await;
        let winners: Vec<usize> = results
            .iter()
            .enumerate()
            .filter(|(_, result)| result.is_ok())
            .map(|(n, _)| n)
            .collect();
        ensure(winners.len() == 1, || {
            format!("round {round} has the winners {winners:?}")
        })?;
        bench
            .holds(
                &key,
                format!("racer {:04}", winners[0]).as_bytes(),
                "after a race",
            )
            .await?;
        for result in results {
            if let Err(error) = result {
                ensure(error.kind() == ErrorKind::Conflict, || {
                    format!("a loser was told {error}")
                })?;
            }
        }
    }
    Ok(())
}

pub(super) async fn stale_states_are_refused(bench: &Bench) -> Check {
    let key = bench.put("x", b"one").await?;
    let store = &bench.store;
    if !store.capabilities().compare_and_set {
        let foreign = Precondition::Matches(ETag("\"none\"".to_owned()));
        fails(
            store.put(&key, body("two"), foreign.clone()).await,
            ErrorKind::Unsupported,
            "put if",
        )?;
        fails(
            store.delete(&key, foreign).await,
            ErrorKind::Unsupported,
            "delete if",
        )?;
        return bench.holds(&key, b"one", "after refused changes").await;
    }
    let first = bench.etag(&key).await?;
    ensure(store.get(&key, None).await?.etag.as_ref() == Some(&first), || {
        "get and head tell two states".to_owned()
    })?;
    let written = store
        .put(&key, body("two"), Precondition::Matches(first.clone()))
        .await?;
    let second = bench.etag(&key).await?;
    ensure(first != second, || "a put left the state as it was".to_owned())?;
    ensure(written.etag.is_none_or(|tag| tag == second), || {
        "a put told another state than it left".to_owned()
    })?;
    let stale = Precondition::Matches(first);
    fails(
        store.put(&key, body("three"), stale.clone()).await,
        ErrorKind::Conflict,
        "put if stale",
    )?;
    fails(
        store.delete(&key, stale).await,
        ErrorKind::Conflict,
        "delete if stale",
    )?;
    bench.holds(&key, b"two", "after refused changes").await?;
    if store.capabilities().write_at {
        let written = bench.create("written", &bench.units(b"ab")).await?;
        let before = bench.etag(&written).await?;
        bench.write(&written, 0, &bench.units(b"A")).await?;
        let after = bench.etag(&written).await?;
        ensure(before != after, || "a write left the state as it was".to_owned())?;
        fails(
            store.delete(&written, Precondition::Matches(before)).await,
            ErrorKind::Conflict,
            "delete if the state before a write",
        )?;
        bench
            .holds(&written, &bench.units(b"Ab"), "after a refused deletion")
            .await?;
        store.delete(&written, Precondition::Matches(after)).await?;
    }
    let current = bench.etag(&key).await?;
    store.delete(&key, Precondition::Matches(current.clone())).await?;
    fails(
        store
            .put(&key, body("five"), Precondition::Matches(current))
            .await,
        ErrorKind::Conflict,
        "put if gone",
    )?;
    fails(store.head(&key).await, ErrorKind::NotFound, "head after deletion")
}

pub(super) async fn racing_updates_lose_nothing(bench: &Bench) -> Check {
    if !bench.store.capabilities().compare_and_set {
        return Ok(());
    }
    let key = bench.put("counter", b"0").await?;
    for done in join_all((0..6).map(|_| increment(bench, &key, 10))).await {
        done?;
    }
    bench.holds(&key, b"60", "after 6 times 10 increments").await
}

async fn increment(bench: &Bench, key: &Key, times: u32) -> Check {
    let mut added = 0;
    while added < times {
        let found = bench.store.get(key, None).await?;
        let tag = found
            .etag
            .ok_or_else(|| Failure("no ETag with the bytes".to_owned()))?;
        let bytes = found.payload.into_bytes();
        let now = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.parse::<u32>().ok());
        let next = now.ok_or_else(|| Failure("no number".to_owned()))? + 1;
        match bench
            .store
            .put(key, body(&next.to_string()), Precondition::Matches(tag))
            .await
        {
            Ok(_) => added += 1,
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
