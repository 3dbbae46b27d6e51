//! Each object, one after the other, damaged in each way.

use super::*;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Removed,
    Truncated,
    Stub,
    HeaderFlipped,
    MiddleFlipped,
    EndFlipped,
    /// With the object of the same name of another volume.
    Swapped,
    /// With the one beside it.
    Shifted,
}

impl Harm {
    const ALL: [Self; 8] = [
        Self::Removed,
        Self::Truncated,
        Self::Stub,
        Self::HeaderFlipped,
        Self::MiddleFlipped,
        Self::EndFlipped,
        Self::Swapped,
        Self::Shifted,
    ];

    async fn put(self, store: &Arc<dyn Store>, key: &Key, other: Option<&Key>) -> bool {
        let mut bytes = bytes_of(store, key).await;
        let len = bytes.len();
        match self {
            Self::Removed => {
                store.delete(key, Precondition::Always).await.unwrap();
                return true;
            }
            Self::Truncated => bytes.truncate(len - len / 4),
            Self::Stub => bytes.truncate(10),
            Self::HeaderFlipped => bytes[60] ^= 4,
            // What is between frames are zeros.
            Self::MiddleFlipped => {
                let middle = 96 + (len - 96) / 2;
                let at = bytes[middle..].iter().position(|byte| *byte != 0).unwrap();
                bytes[middle + at] ^= 1;
            }
            // The last byte that is no padding, and no newline after a JSON.
            Self::EndFlipped => {
                let last = bytes
                    .iter()
                    .rposition(|byte| *byte != 0 && *byte != b'\n')
                    .unwrap();
                bytes[last] ^= 1;
            }
            Self::Swapped | Self::Shifted => match other {
                Some(other) => bytes = bytes_of(store, other).await,
                None => return false,
            },
        }
        put(store, key, bytes).await;
        true
    }
}

/// A volume with a snapshot, what it has overwritten since, moved frames, a former epoch, and a log after its head; and another volume of the same
/// makings.
async fn grounds() -> Grounds {
    let (mut model, volume) = Model::new(3000, None).await;
    for first in (0..2400).step_by(300) {
        model.write(&volume, first..first + 300).await;
        volume.flush().await.unwrap();
    }
    volume.checkpoint().await.unwrap();
    model.snapshot(&volume).await;
    for first in (0..1200).step_by(3) {
        model.write(&volume, first..first + 2).await;
    }
    volume.flush().await.unwrap();
    for first in (600..1200).step_by(2) {
        model.write(&volume, first..first + 2).await;
    }
    for first in (0..600).step_by(3) {
        model.write(&volume, first..first + 1).await;
    }
    volume.checkpoint().await.unwrap();
    while volume.collect().await.unwrap() > 0 {}
    volume.stop().await.unwrap();
    drop(volume);
    let volume = open(&model.store, model.id, None).await;
    model.write(&volume, 2500..2600).await;
    model.discard(&volume, 1500..1600).await;
    volume.checkpoint().await.unwrap();
    let without_tail = model.blocks.clone();
    model.write(&volume, 2550..2650).await;
    volume.flush().await.unwrap();
    // The host ends: the last segment is in no head.
    volume.cut_off();
    let kept = keys(&model.store, model.id).await;
    // The same names of another volume.
    for key in &kept {
        let mut bytes = bytes_of(&model.store, key).await;
        let other = key.to_string().replace(&model.id.to_string(), &id(2).to_string());
        // Its header says so, and its CRC is right: made by the format itself where that is easy, else by patching.
        patch_volume(&mut bytes, id(2));
        put(&model.store, &Key::new(other).unwrap(), bytes).await;
    }
    Grounds {
        model,
        kept,
        without_tail,
    }
}

struct Grounds {
    model: Model,
    kept: Vec<Key>,
    /// What the volume has where the last segment of its log is not there.
    without_tail: Vec<u32>,
}

/// Has an object's header say that it is of another volume.
fn patch_volume(bytes: &mut [u8], volume: VolumeId) {
    bytes[24..40].copy_from_slice(volume.as_bytes());
    bytes[12..16].fill(0);
    let crc = crc32c(&bytes[..96]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x82F6_3B78
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

fn folder(key: &Key) -> &str {
    key.as_str().rsplit_once('/').unwrap().0
}

/// What part an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Epoch,
    OldHead,
    NewestHead,
    HeadTombstone,
    LogTombstone,
    Log,
    Tail,
    Map,
    Gc,
    /// Nothing reaches it.
    Garbage,
}

async fn part(model: &Model, key: &Key, report: &Report) -> Part {
    let name = key.to_string();
    let head = report.head.unwrap();
    let newest = Shelf::new(model.store.clone(), model.id).key(Series::Heads(head.0), head.1);
    let told = crate::look::look(model.store.clone(), model.id).await.unwrap();
    let waits = told.deletions.iter().any(|segment| {
        let (span, sequence) = told.place(*segment).unwrap();
        let series = Series::Segments(segment.kind(), span.epoch);
        Shelf::new(model.store.clone(), model.id).key(series, sequence) == *key
    });
    if waits || report.garbage.as_ref().unwrap().keys.contains(&name) {
        return Part::Garbage;
    }
    let is_tombstone = object(&model.store, model.id, key).await == ObjectType::Tombstone;
    let is_of_last = name.contains(&format!("/log/{:010}/", head.0));
    if name.contains("/epoch/") {
        Part::Epoch
    } else if name.contains("/head/") {
        match (is_tombstone, *key == newest) {
            (true, _) => Part::HeadTombstone,
            (_, true) => Part::NewestHead,
            _ => Part::OldHead,
        }
    } else if name.contains("/map/") {
        Part::Map
    } else if name.contains("/gc/") {
        Part::Gc
    } else if is_tombstone {
        Part::LogTombstone
    } else if is_of_last && told.log_next <= super::super::garbage::number(key).unwrap() {
        Part::Tail
    } else {
        Part::Log
    }
}

#[tokio::test]
async fn each_object_that_is_damaged_is_told_and_what_can_be_is_put_right() {
    let Grounds {
        mut model,
        kept,
        without_tail,
    } = grounds().await;
    let both = [model.id, id(2)];
    let whole = model.blocks.clone();
    for deep in [false, true] {
        let healthy = look(&model.store, model.id, None, deep).await;
        assert!(
            healthy.is_clean() && healthy.lost.is_empty(),
            "{:?}",
            healthy.findings
        );
    }
    let healthy = look(&model.store, model.id, None, true).await;
    let mut told = BTreeMap::<Part, usize>::new();
    for key in &kept {
        let part = part(&model, key, &healthy).await;
        *told.entry(part).or_default() += 1;
        let name = key.to_string();
        for harm in Harm::ALL {
            let store = copy(&model.store, &both).await;
            let other = match harm {
                Harm::Swapped => {
                    Some(Key::new(name.replace(&model.id.to_string(), &id(2).to_string())).unwrap())
                }
                // Another one of its folder.
                Harm::Shifted => kept
                    .iter()
                    .find(|other| *other != key && folder(other) == folder(key))
                    .cloned(),
                _ => None,
            };
            if !harm.put(&store, key, other.as_ref()).await {
                continue;
            }
            let context = format!("{part:?} {harm:?} {key}");
            let before = look(&store, model.id, None, true).await;
            let names_it = before.findings.iter().any(|finding| finding.object == name);
            match part {
                Part::Garbage => {
                    assert!(before.is_clean(), "{context}: {:?}", before.findings);
                    continue;
                }
                // Nothing is lost with them, unless the end of their series is looked for in the hole.
                Part::OldHead if before.is_clean() => continue,
                // The one before it takes its place, and nothing tells that it was there: what is lost is what a crash before it would lose.
                Part::NewestHead if harm == Harm::Removed => {}
                // The log is shorter by it.
                Part::Tail if harm == Harm::Removed => continue,
                _ => {
                    assert!(!before.is_clean(), "{context}: nothing was found");
                    assert!(names_it, "{context}: {:?}", before.findings);
                }
            }
            let light = look(&store, model.id, None, false).await;
            let is_segment = matches!(part, Part::Log | Part::Map | Part::Gc | Part::Tail);
            let is_inside = matches!(harm, Harm::MiddleFlipped | Harm::EndFlipped) && is_segment;
            if !before.is_clean() && !is_inside {
                assert!(!light.is_clean(), "{context}: a light check finds nothing");
            }
            let what = Repair {
                how: How {
                    deep: true,
                    garbage: true,
                },
                ..Repair::default()
            };
            let done = mend(&store, model.id, None, what).await;
            let after = done.after.as_ref().unwrap_or(&done.before);
            // A frame does not tell its volume: what is read of another volume's object is not known to be.
            if harm == Harm::Swapped && matches!(part, Part::Log | Part::Gc) {
                assert!(!after.lost.is_empty(), "{context}: nothing is lost");
                continue;
            }
            let ends_before = part == Part::Tail && done.after.is_some();
            model.blocks = if ends_before {
                without_tail.clone()
            } else {
                whole.clone()
            };
            let lost = model.verify(&copy(&store, &both).await).await;
            for (whose, blocks) in &lost {
                let of = |lost: &&super::super::Lost| lost.snapshot.as_ref().map(|(id, _)| *id) == *whose;
                let told = after.lost.iter().find(of).map_or_else(Vec::new, |told| {
                    let block = |byte: u64| usize::try_from(byte).unwrap() / BLOCK;
                    let blocks = told
                        .ranges
                        .iter()
                        .flat_map(|range| block(range.start)..block(range.end));
                    blocks.collect::<Vec<_>>()
                });
                assert_eq!(
                    *blocks, told,
                    "{context}: what cannot be read of {whose:?}, and what was told; {:?}; {:?}",
                    after.findings, done.steps
                );
            }
            match part {
                Part::Log | Part::Gc | Part::Tail => {
                    let is_lost = lost.values().any(|blocks| !blocks.is_empty());
                    assert!(
                        is_lost || part != Part::Log || harm != Harm::Removed,
                        "{context}: nothing was lost"
                    );
                }
                _ => {
                    assert!(
                        after.is_clean(),
                        "{context}: after the repair: {:?}; {:?}",
                        after.findings,
                        done.steps
                    );
                    assert!(lost.values().all(Vec::is_empty), "{context}: {lost:?}");
                }
            }
        }
    }
    for part in [
        Part::Epoch,
        Part::OldHead,
        Part::NewestHead,
        Part::HeadTombstone,
        Part::LogTombstone,
        Part::Log,
        Part::Tail,
        Part::Map,
        Part::Gc,
    ] {
        assert!(told.contains_key(&part), "{part:?} was not among them: {told:?}");
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_garbage_goes_when_it_is_asked_for() {
    let Grounds { model, kept, .. } = grounds().await;
    let head = look(&model.store, model.id, None, false).await.head.unwrap();
    let newest = Shelf::new(model.store.clone(), model.id).key(Series::Heads(head.0), head.1);
    assert!(Harm::HeaderFlipped.put(&model.store, &newest, None).await);
    let done = mend(
        &model.store,
        model.id,
        None,
        Repair {
            dry_run: true,
            ..Repair::default()
        },
    )
    .await;
    assert!(!done.steps.is_empty() && done.after.is_none());
    assert_eq!(keys(&model.store, model.id).await, kept);
    let done = mend(
        &model.store,
        model.id,
        None,
        Repair {
            remove_garbage: true,
            ..Repair::default()
        },
    )
    .await;
    let after = done.after.unwrap();
    assert!(after.is_clean(), "{:?}", after.findings);
    let garbage = after.garbage.unwrap();
    assert!(garbage.removed > 0, "the maps of before");
    let again = look(&model.store, model.id, None, true).await;
    assert!(again.is_clean(), "{:?}", again.findings);
    assert_eq!(again.garbage.unwrap().objects, 0);
    assert!(model.verify(&model.store).await.values().all(Vec::is_empty));
}

#[tokio::test]
async fn a_clone_and_its_parent_agree_or_it_is_told() {
    let (mut model, volume) = Model::new(1000, Some(a_key())).await;
    model.write(&volume, 0..1000).await;
    let snapshot = model.snapshot(&volume).await;
    volume
        .clone_snapshot(snapshot, id(3), &writer(model.key.as_ref()))
        .await
        .unwrap();
    model.write(&volume, 0..700).await;
    while volume.collect().await.unwrap() > 0 {}
    volume.stop().await.unwrap();
    let child = open(&model.store, id(3), model.key.as_ref()).await;
    child.write(0, &data(99, 0), WriteFlags::default()).await.unwrap();
    child.stop().await.unwrap();
    for volume in [model.id, id(3)] {
        let report = look(&model.store, volume, model.key.as_ref(), true).await;
        assert!(report.is_clean(), "{:?}", report.findings);
    }
    // What the clone reads is gone from its parent.
    let store = copy(&model.store, &[model.id, id(3)]).await;
    for key in keys(&store, model.id).await {
        let holds_blocks = ["/log/", "/gc/"].iter().any(|part| key.as_str().contains(part));
        if holds_blocks && bytes_of(&store, &key).await.len() > 1000 {
            store.delete(&key, Precondition::Always).await.unwrap();
        }
    }
    let report = look(&store, id(3), model.key.as_ref(), true).await;
    assert!(
        !report.lost.is_empty() && !report.is_clean(),
        "{:?}",
        report.findings
    );
    // The parent knows the clone no more.
    let store = copy(&model.store, &[model.id, id(3)]).await;
    let volume = open(&store, model.id, model.key.as_ref()).await;
    volume.core.state().head.snapshots[0].children.clear();
    volume.stop().await.unwrap();
    let report = look(&store, id(3), model.key.as_ref(), false).await;
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.problem == Problem::Unpinned),
        "{:?}",
        report.findings
    );
    // The clone's own map is rebuilt, on what its parent has.
    let store = copy(&model.store, &[model.id, id(3)]).await;
    for key in keys(&store, id(3)).await {
        if key.to_string().contains("/map/") {
            store.delete(&key, Precondition::Always).await.unwrap();
        }
    }
    let done = mend(
        &store,
        id(3),
        model.key.as_ref(),
        Repair {
            how: How {
                deep: true,
                garbage: true,
            },
            ..Repair::default()
        },
    )
    .await;
    assert!(done.after.as_ref().unwrap().is_clean(), "{:?}", done.after);
    let child = open(&store, id(3), model.key.as_ref()).await;
    let mut wanted = model.snapshots[&snapshot].clone();
    wanted[0] = 99;
    assert_eq!(unreadable(&child, &wanted).await, Vec::<usize>::new());
}
