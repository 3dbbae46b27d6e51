//! Random operations on a few objects, each compared with a model in memory.

use super::{Bench, Check, Failure, ensure, extent};
use crate::{Key, Precondition, Resize, StoreError};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use restblk_types::ErrorKind;
use std::collections::HashMap;

const KEYS: [&str; 3] = ["one", "folder/two", "folder/th ree"];
const LEN_MAX: u64 = 20_000;

/// What the store should hold.
#[derive(Default)]
struct Model(HashMap<&'static str, Vec<u8>>);

pub(super) async fn random_operations_agree_with_a_model(bench: &Bench) -> Check {
    for seed in 0..2 {
        compare(bench, seed, 150)
            .await
            .map_err(|Failure(why)| Failure(format!("seed {seed}: {why}")))?;
        for name in KEYS {
            drop(bench.store.delete(&bench.key(name), Precondition::Always).await);
        }
    }
    Ok(())
}

/// Checks how an operation ended against what the model says.
fn same<T>(
    result: Result<T, StoreError>,
    wanted: Result<(), ErrorKind>,
    what: &str,
) -> Result<Option<T>, Failure> {
    match (result, wanted) {
        (Ok(done), Ok(())) => Ok(Some(done)),
        (Err(error), Err(kind)) if error.kind() == kind => Ok(None),
        (Ok(_), Err(kind)) => Err(Failure(format!(
            "{what} succeeded instead of failing with {kind}"
        ))),
        (Err(error), wanted) => Err(Failure(format!(
            "{what}: {error} ({}) instead of {wanted:?}",
            error.kind()
        ))),
    }
}

pub(super) async fn compare(bench: &Bench, seed: u64, steps: usize) -> Check {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    for step in 0..steps {
        let name = KEYS[chance.random_range(0..KEYS.len())];
        one_step(bench, &mut chance, &mut model, name)
            .await
            .map_err(|Failure(why)| Failure(format!("step {step} on {name}: {why}")))?;
    }
    for name in KEYS {
        if let Some(wanted) = model.0.get(name) {
            bench
                .holds(&bench.key(name), wanted, &format!("{name} at the end"))
                .await?;
        }
    }
    Ok(())
}

async fn one_step(bench: &Bench, chance: &mut StdRng, model: &mut Model, name: &'static str) -> Check {
    let (key, can) = (bench.key(name), bench.store.capabilities());
    let there = if model.0.contains_key(name) {
        Ok(())
    } else {
        Err(ErrorKind::NotFound)
    };
    match chance.random_range(0..100) {
        0..10 => put(bench, chance, model, name, &key).await,
        10..14 => {
            same(
                bench.store.delete(&key, Precondition::Always).await,
                there,
                "delete",
            )?;
            model.0.remove(name);
            Ok(())
        }
        14..45 if can.write_at => {
            let offset = chance.random_range(0..LEN_MAX);
            let data = bytes(chance, 3000);
            let end = usize::try_from(offset).unwrap_or(0) + data.len();
            let durable = can.durable_write && chance.random_bool(0.2);
            let written = bench
                .store
                .write_at(&key, offset, Bytes::from(data.clone()), durable)
                .await;
            // An empty write asks nobody, so it may not notice that there is no object.
            if data.is_empty() && there.is_err() {
                return Ok(());
            }
            same(written, there, "write")?;
            if let Some(object) = model.0.get_mut(name).filter(|_| !data.is_empty()) {
                if object.len() < end {
                    object.resize(end, 0);
                }
                object[end - data.len()..end].copy_from_slice(&data);
            }
            Ok(())
        }
        45..55 if can.resize != Resize::None => {
            let now = model.0.get(name).map_or(0, Vec::len) as u64;
            let least = if can.resize == Resize::Native { 0 } else { now };
            let size = chance.random_range(least..LEN_MAX.max(least) + 1);
            same(bench.store.set_size(&key, size).await, there, "set size")?;
            if let Some(object) = model.0.get_mut(name) {
                object.resize(usize::try_from(size).unwrap_or(0), 0);
            }
            Ok(())
        }
        55..62 if can.punch => {
            let Some(object) = model.0.get_mut(name).filter(|object| !object.is_empty()) else {
                return Ok(());
            };
            let from = chance.random_range(0..object.len());
            let to = chance.random_range(from..=object.len());
            bench
                .store
                .punch(&key, extent(from as u64, (to - from) as u64))
                .await?;
            object[from..to].fill(0);
            Ok(())
        }
        62..66 => same(bench.store.flush(&key).await, there, "flush").map(drop),
        _ => read(bench, chance, model, name, &key).await,
    }
}

fn bytes(chance: &mut StdRng, len_max: usize) -> Vec<u8> {
    let len = chance.random_range(0..=len_max);
    let fill: u8 = chance.random();
    (0..len)
        .map(|i| fill.wrapping_add(u8::try_from(i % 7).unwrap_or(0)))
        .collect()
}

async fn put(bench: &Bench, chance: &mut StdRng, model: &mut Model, name: &'static str, key: &Key) -> Check {
    let body = bytes(chance, 8000);
    let exclusive = bench.store.capabilities().exclusive_create && chance.random_bool(0.5);
    let (when, wanted) = match (exclusive, model.0.contains_key(name)) {
        (true, true) => (Precondition::Absent, Err(ErrorKind::Conflict)),
        (true, false) => (Precondition::Absent, Ok(())),
        (false, _) => (Precondition::Always, Ok(())),
    };
    if same(
        bench.store.put(key, Bytes::from(body.clone()), when).await,
        wanted,
        "put",
    )?
    .is_some()
    {
        model.0.insert(name, body);
    }
    Ok(())
}

async fn read(bench: &Bench, chance: &mut StdRng, model: &Model, name: &'static str, key: &Key) -> Check {
    let Some(object) = model.0.get(name) else {
        return same(bench.store.get(key, None).await, Err(ErrorKind::NotFound), "get").map(drop);
    };
    if chance.random_bool(0.3) {
        return bench.holds(key, object, "a whole read").await;
    }
    let (offset, len) = (chance.random_range(0..LEN_MAX), chance.random_range(1..4000));
    let inside = offset + len <= object.len() as u64;
    let wanted = if inside { Ok(()) } else { Err(ErrorKind::Invalid) };
    if let Some(found) = same(
        bench.store.get(key, Some(extent(offset, len))).await,
        wanted,
        "ranged get",
    )? {
        let from = usize::try_from(offset).unwrap_or(0);
        let found = found.payload.into_bytes();
        ensure(found == object[from..from + found.len()], || {
            format!("the range {offset}+{len} has other bytes")
        })?;
        ensure(found.len() as u64 == len, || {
            format!("{} bytes instead of {len}", found.len())
        })?;
    }
    Ok(())
}
