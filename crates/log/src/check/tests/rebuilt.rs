//! Rebuilds from segments alone, by seed: the volume must be what it was, byte for byte, and go on as any other.

use super::*;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// All heads, and all segments of pages.
    HeadsAndMaps,
    /// All segments of pages.
    Maps,
    /// One of them.
    AMap,
    /// The newest heads.
    NewestHeads,
}

/// A life of a volume, encrypted for every other seed. Where nothing but segments is to be left, what only heads and maps tell is left out: discards and rollbacks.
async fn live(seed: u64, with_all: bool) -> Model {
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut model, volume) = Model::new(1500, (seed % 2 == 1).then(a_key)).await;
    let mut volume = volume;
    for _ in 0..chance.random_range(40..160) {
        let first = chance.random_range(0..1400);
        let blocks = first..(first + chance.random_range(1..100)).min(1500);
        match chance.random_range(0..100) {
            0..60 => model.write(&volume, blocks).await,
            60..66 if with_all => model.discard(&volume, blocks).await,
            66..80 => volume.flush().await.unwrap(),
            80..84 => drop(model.snapshot(&volume).await),
            84..87 => {
                let at = chance.random_range(0..model.snapshots.len().max(1));
                if let Some(id) = model.snapshots.keys().nth(at).copied() {
                    volume.delete_snapshot(id).await.unwrap();
                    model.snapshots.remove(&id);
                }
            }
            87..93 => drop(volume.collect().await.unwrap()),
            93..96 => volume.checkpoint().await.unwrap(),
            96..98 => {
                volume.stop().await.unwrap();
                volume = open(&model.store, model.id, model.key.as_ref()).await;
            }
            98 if with_all => {
                if let Some((id, blocks)) = model.snapshots.last_key_value() {
                    volume.rollback(*id).await.unwrap();
                    model.blocks = blocks.clone();
                }
            }
            _ => {}
        }
    }
    if chance.random_bool(0.5) {
        volume.stop().await.unwrap();
    } else {
        volume.flush().await.unwrap();
    }
    volume.cut_off();
    model
}

async fn lose(model: &Model, loss: Loss, chance: &mut StdRng) {
    let all = keys(&model.store, model.id).await;
    let of = |part: &str| -> Vec<Key> {
        all.iter()
            .filter(|key| key.to_string().contains(part))
            .cloned()
            .collect()
    };
    let mut gone = Vec::new();
    match loss {
        Loss::HeadsAndMaps => {
            gone.extend(of("/map/"));
            gone.extend(of("/head/"));
        }
        Loss::Maps => gone.extend(of("/map/")),
        Loss::AMap => {
            let maps = of("/map/");
            if !maps.is_empty() {
                gone.push(maps[chance.random_range(0..maps.len())].clone());
            }
        }
        Loss::NewestHeads => {
            let head = look(&model.store, model.id, model.key.as_ref(), false)
                .await
                .head
                .unwrap();
            let shelf = Shelf::new(model.store.clone(), model.id);
            let key = shelf.key(Series::Heads(head.0), head.1);
            let mut bytes = bytes_of(&model.store, &key).await;
            bytes[100] ^= 1;
            put(&model.store, &key, bytes).await;
        }
    }
    for key in gone {
        model.store.delete(&key, Precondition::Always).await.unwrap();
    }
}

/// Rebuilds it, and has it go on.
async fn rebuilt(seed: u64, loss: Loss) {
    let with_all = loss == Loss::NewestHeads;
    let mut model = live(seed, with_all).await;
    lose(&model, loss, &mut StdRng::seed_from_u64(seed)).await;
    let size = (model.blocks.len() * BLOCK) as u64;
    let what = Repair {
        how: How {
            deep: true,
            garbage: true,
        },
        size,
        remove_garbage: seed % 4 < 2,
        ..Repair::default()
    };
    let done = mend(&model.store, model.id, model.key.as_ref(), what).await;
    let after = done.after.as_ref().unwrap_or(&done.before);
    assert!(
        after.is_clean(),
        "seed {seed}, {loss:?}: {:?}; {:?}",
        after.findings,
        done.steps
    );
    let volume = open(&model.store, model.id, model.key.as_ref()).await;
    let there: Vec<u64> = volume.snapshots().iter().map(|snapshot| snapshot.id).collect();
    if loss == Loss::HeadsAndMaps {
        assert!(there.is_empty());
        model.snapshots.clear();
    }
    if loss == Loss::NewestHeads {
        // What the newest head alone told: one snapshot made or deleted.
        model.snapshots.retain(|id, _| there.contains(id));
    } else {
        assert_eq!(
            there,
            model.snapshots.keys().copied().collect::<Vec<_>>(),
            "seed {seed}, {loss:?}"
        );
    }
    let context = format!("seed {seed}, {loss:?}");
    let lost = async |volume: &LogVolume, model: &Model| {
        assert_eq!(
            unreadable(volume, &model.blocks).await,
            Vec::<usize>::new(),
            "{context}"
        );
        for (id, blocks) in &model.snapshots {
            let view = volume.view(*id).unwrap();
            assert_eq!(
                unreadable(&view, blocks).await,
                Vec::<usize>::new(),
                "{context}: snapshot {id}"
            );
        }
    };
    lost(&volume, &model).await;
    // It goes on: accounts are right if collecting takes nothing that is needed, and a deletion of snapshots leaves no garbage.
    for first in [0, 500, 900] {
        model.write(&volume, first..first + 300).await;
        volume.collect().await.unwrap();
    }
    lost(&volume, &model).await;
    for id in std::mem::take(&mut model.snapshots).into_keys() {
        volume.delete_snapshot(id).await.unwrap();
        volume.collect().await.unwrap();
    }
    lost(&volume, &model).await;
    volume.stop().await.unwrap();
    let report = look(&model.store, model.id, model.key.as_ref(), true).await;
    assert!(report.is_clean(), "{context}: {:?}", report.findings);
}

async fn seeds(loss: Loss) {
    let from = std::env::var("SEED").ok().map_or(0, |seed| seed.parse().unwrap());
    let count = std::env::var("SEEDS")
        .ok()
        .map_or(12, |seeds| seeds.parse().unwrap());
    for seed in from..from + count {
        rebuilt(seed, loss).await;
    }
}

#[tokio::test]
async fn from_segments_alone() {
    seeds(Loss::HeadsAndMaps).await;
}

#[tokio::test]
async fn without_maps_the_snapshots_come_back_as_well() {
    seeds(Loss::Maps).await;
}

#[tokio::test]
async fn without_one_segment_of_pages() {
    seeds(Loss::AMap).await;
}

#[tokio::test]
async fn without_the_newest_head_all_else_is_as_it_was() {
    seeds(Loss::NewestHeads).await;
}
