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
struct Model {
    objects: HashMap<&'static str, Object>,
    /// Objects made by `put` and by `create` differ, and do not replace each other.
    two_kinds: bool,
}

struct Object {
    bytes: Vec<u8>,
    /// Changes in place work on it; else they are refused.
    in_place: bool,
}

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
    let probe = bench.put("kinds", b"").await?;
    let mut model = Model {
        objects: HashMap::new(),
        two_kinds: !bench.store.head(&probe).await?.in_place,
    };
    for step in 0..steps {
        let name = KEYS[chance.random_range(0..KEYS.len())];
        one_step(bench, &mut chance, &mut model, name)
            .await
            .map_err(|Failure(why)| Failure(format!("step {step} on {name}: {why}")))?;
    }
    for name in KEYS {
        if let Some(wanted) = model.objects.get(name) {
            bench
                .holds(&bench.key(name), &wanted.bytes, &format!("{name} at the end"))
                .await?;
        }
    }
    Ok(())
}

async fn one_step(bench: &Bench, chance: &mut StdRng, model: &mut Model, name: &'static str) -> Check {
    let (key, can) = (bench.key(name), bench.store.capabilities());
    let there = model.objects.get(name).map(|_| ()).ok_or(ErrorKind::NotFound);
    match chance.random_range(0..100) {
        0..8 => put(bench, chance, model, name, &key).await,
        8..10 if can.write_at => create(bench, chance, model, name, &key).await,
        10..14 => {
            let mut deleted = bench.store.delete(&key, Precondition::Always).await;
            if deleted.is_ok() && there.is_err() {
                // One that was sent again after a lost answer does not tell who removed the object; the next one does.
                deleted = bench.store.delete(&key, Precondition::Always).await;
            }
            same(deleted, there, "delete")?;
            model.objects.remove(name);
            Ok(())
        }
        14..45 if can.write_at => write(bench, chance, model, name, &key).await,
        45..55 if can.resize != Resize::None => {
            let now = model.objects.get(name).map_or(0, |object| object.bytes.len()) as u64;
            let least = if can.resize == Resize::Native { 0 } else { now };
            let size = chance
                .random_range(least..LEN_MAX.max(least) + 1)
                .next_multiple_of(bench.unit());
            let wanted = model.change(name);
            let done = same(bench.store.set_size(&key, size).await, wanted, "set size")?;
            if let Some(object) = model.objects.get_mut(name).filter(|_| done.is_some()) {
                object.bytes.resize(usize::try_from(size).unwrap_or(0), 0);
            }
            Ok(())
        }
        55..62 if can.punch => punch(bench, chance, model, name, &key).await,
        62..66 => same(bench.store.flush(&key, &[]).await, there, "flush").map(drop),
        _ => read(bench, chance, model, name, &key).await,
    }
}

impl Model {
    /// How a change of the object in place ends.
    fn change(&self, name: &str) -> Result<(), ErrorKind> {
        match self.objects.get(name) {
            None => Err(ErrorKind::NotFound),
            Some(object) if object.in_place => Ok(()),
            Some(_) => Err(ErrorKind::Unsupported),
        }
    }
}

async fn write(
    bench: &Bench,
    chance: &mut StdRng,
    model: &mut Model,
    name: &'static str,
    key: &Key,
) -> Check {
    let (can, unit) = (bench.store.capabilities(), bench.unit());
    let offset = chance.random_range(0..LEN_MAX).next_multiple_of(unit);
    let mut data = bytes(chance, 3000);
    data.resize(data.len().next_multiple_of(usize::try_from(unit).unwrap_or(1)), 0);
    let end = usize::try_from(offset).unwrap_or(0) + data.len();
    let durable = can.durable_write && chance.random_bool(0.2);
    let written = bench
        .store
        .write_at(key, offset, Bytes::from(data.clone()), durable)
        .await;
    // An empty write asks nobody, so it may not notice that there is no such object.
    if data.is_empty() && model.change(name).is_err() {
        return Ok(());
    }
    let done = same(written, model.change(name), "write")?;
    if let Some(object) = model
        .objects
        .get_mut(name)
        .filter(|_| done.is_some() && !data.is_empty())
    {
        if object.bytes.len() < end {
            object.bytes.resize(end, 0);
        }
        object.bytes[end - data.len()..end].copy_from_slice(&data);
    }
    Ok(())
}

async fn punch(
    bench: &Bench,
    chance: &mut StdRng,
    model: &mut Model,
    name: &'static str,
    key: &Key,
) -> Check {
    let wanted = model.change(name);
    let unit = usize::try_from(bench.unit()).unwrap_or(1);
    let Some(Object { bytes, .. }) = model
        .objects
        .get_mut(name)
        .filter(|object| object.bytes.len() >= unit)
    else {
        return Ok(());
    };
    let units = bytes.len() / unit;
    let from = chance.random_range(0..units) * unit;
    let to = chance.random_range(from / unit..=units) * unit;
    let punched = bench
        .store
        .punch(key, extent(from as u64, (to - from) as u64))
        .await;
    // An empty hole asks nobody.
    if from == to && wanted.is_err() {
        return Ok(());
    }
    if same(punched, wanted, "punch")?.is_some() {
        bytes[from..to].fill(0);
    }
    Ok(())
}

/// An empty object for changes in place. Over one that was made whole it is refused where there are two kinds.
async fn create(
    bench: &Bench,
    chance: &mut StdRng,
    model: &mut Model,
    name: &'static str,
    key: &Key,
) -> Check {
    let exclusive = bench.store.capabilities().exclusive_create && chance.random_bool(0.5);
    let (when, wanted) = match (exclusive, model.change(name)) {
        (true, Err(ErrorKind::NotFound)) => (Precondition::Absent, Ok(())),
        (true, _) => (Precondition::Absent, Err(ErrorKind::Conflict)),
        (false, Err(ErrorKind::NotFound)) => (Precondition::Always, Ok(())),
        (false, change) => (Precondition::Always, change),
    };
    if same(bench.store.create(key, when).await, wanted, "create")?.is_some() {
        let (bytes, in_place) = (Vec::new(), true);
        model.objects.insert(name, Object { bytes, in_place });
    }
    Ok(())
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
    let before = model.objects.get(name).map(|object| object.in_place);
    let (when, wanted) = match (exclusive, before) {
        (true, Some(_)) => (Precondition::Absent, Err(ErrorKind::Conflict)),
        (true, None) => (Precondition::Absent, Ok(())),
        (false, Some(true)) if model.two_kinds => (Precondition::Always, Err(ErrorKind::Unsupported)),
        (false, _) => (Precondition::Always, Ok(())),
    };
    if same(
        bench.store.put(key, Bytes::from(body.clone()), when).await,
        wanted,
        "put",
    )?
    .is_some()
    {
        let in_place = !model.two_kinds;
        model.objects.insert(
            name,
            Object {
                bytes: body,
                in_place,
            },
        );
    }
    Ok(())
}

async fn read(bench: &Bench, chance: &mut StdRng, model: &Model, name: &'static str, key: &Key) -> Check {
    let Some(object) = model.objects.get(name) else {
        return same(bench.store.get(key, None).await, Err(ErrorKind::NotFound), "get").map(drop);
    };
    let object = &object.bytes;
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
