//! What is told against a model: any history of writes, discards, sizes, rollbacks, collections and clones.

use super::*;
use crate::stream_tests::{History, Step, memory, steps};
use proptest::prelude::*;
use restblk_block::BlockDevice;
use std::collections::BTreeMap;

/// What changed, block by block: none is zeros.
async fn told(mut changes: Changes) -> BTreeMap<u64, bool> {
    let (mut blocks, mut last) = (BTreeMap::new(), None::<Change>);
    while let Some(some) = changes.step().await.unwrap() {
        for change in some {
            if let Some(last) = last.replace(change.clone()) {
                let apart = last.bytes.end < change.bytes.start;
                let unlike = last.bytes.end == change.bytes.start && last.zeros != change.zeros;
                assert!(apart || unlike, "{last:?}, then {change:?}");
            }
            let block = BLOCK as u64;
            blocks
                .extend((change.bytes.start / block..change.bytes.end / block).map(|at| (at, change.zeros)));
        }
    }
    blocks
}

/// What must be told.
fn wanted(before: &[u32], after: &[u32]) -> BTreeMap<u64, bool> {
    let changed = (0..).zip(after).filter_map(|(at, tag)| {
        let was = before.get(usize::try_from(at).unwrap()).copied().unwrap_or(0);
        (was != *tag).then_some((at, *tag == 0))
    });
    changed.collect()
}

/// What a device says that it holds, without reading it, is what it holds.
async fn spans_are(device: &dyn BlockDevice, content: &[u32]) {
    let (mut at, len) = (0, (content.len() * BLOCK) as u64);
    let mut found = Vec::new();
    while at < len {
        for span in device.spans(at, len - at).await.unwrap() {
            at += span.len;
            found.resize(usize::try_from(at).unwrap() / BLOCK, span.is_hole);
        }
    }
    let wanted: Vec<bool> = content.iter().map(|tag| *tag == 0).collect();
    assert_eq!(found, wanted);
}

async fn check(history: &History) {
    spans_are(&history.volume, &history.now).await;
    for (id, content) in &history.snapshots {
        spans_are(&history.volume.view(*id).unwrap(), content).await;
    }
    let nothing = (None, Vec::new());
    let snapshots = || {
        let all = history.snapshots.iter();
        all.map(|(id, content)| (Some(*id), content.clone()))
    };
    for (from, before) in std::iter::once(nothing).chain(snapshots()) {
        let now = (None, history.now.clone());
        for (to, after) in snapshots().chain([now]) {
            let changes = history.volume.changes(from, to).await.unwrap();
            assert_eq!(changes.size(), (after.len() * BLOCK) as u64);
            assert_eq!(told(changes).await, wanted(&before, &after), "{from:?} to {to:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn all_that_changed_is_told_and_nothing_else(steps in steps(40), more in steps(20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = memory();
            let mut history = History::new(&store, 1).await;
            history.go(&steps).await;
            check(&history).await;
            // A clone tells what it has from its parent, too.
            history.go(&[Step::Snapshot]).await;
            let mut clone = history.clone(&store, 2).await;
            clone.go(&more).await;
            check(&clone).await;
            // And so does a volume that was recovered.
            let again = clone.reopened(&store).await;
            check(&again).await;
        });
    }
}

#[tokio::test]
async fn a_small_change_of_a_large_volume_costs_a_few_pages() {
    let store = memory();
    let mut history = History::sized(&store, 1, 1 << 16).await;
    history
        .go(&[
            Step::Write(0, 60_000),
            Step::Snapshot,
            Step::Write(31_337, 3),
            Step::Snapshot,
        ])
        .await;
    let volume = history.reopened(&store).await.volume;
    let ids: Vec<u64> = volume.snapshots().iter().map(|snapshot| snapshot.id).collect();
    let mut changes = volume.changes(Some(ids[0]), Some(ids[1])).await.unwrap();
    let found = changes.blocks().await.unwrap().unwrap();
    assert_eq!(
        found.iter().map(|(block, _)| *block).collect::<Vec<_>>(),
        [31_337, 31_338, 31_339]
    );
    let loaded = changes.before.loaded() + changes.after.as_ref().unwrap().loaded();
    assert!(loaded <= 2 * 4, "{loaded} pages of {}", 60_000 / 128);
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_ends_it() {
    let store = memory();
    let mut history = History::new(&store, 1).await;
    history
        .go(&[
            Step::Write(0, 9),
            Step::Snapshot,
            Step::Write(3, 9),
            Step::Snapshot,
        ])
        .await;
    let ids: Vec<u64> = history.snapshots.keys().copied().collect();
    let mut changes = history.volume.changes(Some(ids[0]), Some(ids[1])).await.unwrap();
    history.volume.delete_snapshot(ids[0]).await.unwrap();
    assert_eq!(changes.step().await.unwrap_err().kind(), ErrorKind::NotFound);
    let gone = history.volume.changes(Some(ids[0]), None).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
}
