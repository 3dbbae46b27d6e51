//! The trash: whatever is cut off, and whoever is slow, a volume in it is kept, restored or gone, and nothing between.

use super::log::{log_volume, objects_of, open, record_of};
use super::{claim, repository, repository_on};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_engine::{EngineError, NewVolume, Repository, Takeover, TrashState};
use restblk_format::{LifeState, Trash};
use restblk_store::{
    MemoryStore,
    faulty::{Fault, Faulty, Rate},
};
use restblk_types::{ErrorKind, TrashId, VolumeId, VolumeName};
use std::sync::Arc;
use std::time::Duration;

/// What each request to a slow store takes.
const EACH: Duration = Duration::from_millis(2);

fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn stay() -> Trash {
    Trash {
        id: TrashId::random(),
        since: "2026-01-03T00:00:00Z".into(),
        until: "2026-01-10T00:00:00Z".into(),
    }
}

/// The same repository through a store each of whose requests takes a moment before it is done.
async fn slow(store: &Arc<MemoryStore>) -> Arc<Repository> {
    let delay = Rate::any(Fault::Delay(EACH), 1.0);
    repository_on(Arc::new(Faulty::new(store.clone(), 0, vec![delay]))).await
}

/// Runs an operation that ends, for whatever reason, after so many requests; none where it was cut off.
async fn cut<T>(requests: u32, operation: impl Future<Output = T>) -> Option<T> {
    let time = EACH * requests + EACH / 2;
    tokio::time::timeout(time, operation).await.ok()
}

/// A volume with something in it and a snapshot.
async fn written(repository: &Repository, store: &Arc<MemoryStore>, name: &str) -> VolumeId {
    let made = repository.create_volume(log_volume(name)).await.unwrap();
    let log = open(repository, store, name).await;
    log.write(4096, &[7; 4096], WriteFlags::default()).await.unwrap();
    log.snapshot("monday", "2026-01-02T03:04:05Z").await.unwrap();
    log.stop().await.unwrap();
    made.id
}

/// It is a volume like any other, and has what was written.
async fn is_whole(repository: &Repository, store: &Arc<MemoryStore>, name: &str, id: VolumeId) {
    let record = record_of(repository, name).await;
    assert_eq!(
        (record.id, record.state, record.trash),
        (id, LifeState::Ready, None)
    );
    let log = open(repository, store, name).await;
    let mut found = [0; 4096];
    log.read(4096, &mut found).await.unwrap();
    assert_eq!(found, [7; 4096]);
    assert_eq!(log.snapshots().len(), 1);
    log.stop().await.unwrap();
}

fn kind<T>(result: Result<T, EngineError>) -> ErrorKind {
    result.err().unwrap().kind()
}

#[tokio::test]
async fn a_name_is_free_once_its_volume_is_in_the_trash() {
    let (repository, store) = repository().await;
    let id = written(&repository, &store, "v").await;
    let entry = repository.trash_volume(&name("v"), stay()).await.unwrap();
    assert_eq!(kind(repository.volume(&name("v")).await), ErrorKind::NotFound);
    assert!(repository.volume_names().await.unwrap().is_empty());
    let listed = repository.trash().await.unwrap();
    assert_eq!((listed.len(), &listed[0].state), (1, &TrashState::Kept));
    assert_eq!(listed[0].record.id, id);

    repository.create_volume(log_volume("v")).await.unwrap();
    let error = repository.restore_volume(entry.trash.id, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().contains("--as"), "{error}");
    repository
        .restore_volume(entry.trash.id, Some(name("w")))
        .await
        .unwrap();
    is_whole(&repository, &store, "w", id).await;
    assert!(repository.trash().await.unwrap().is_empty());
    let gone = repository.restore_volume(entry.trash.id, Some(name("x"))).await;
    assert_eq!(kind(gone), ErrorKind::NotFound);

    // It may go there again, and for good.
    let entry = repository.trash_volume(&name("w"), stay()).await.unwrap();
    repository.purge_volume(entry.trash.id).await.unwrap();
    assert_eq!(objects_of(&store, id).await, 0);
    assert!(repository.trash().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let (repository, store) = repository().await;
    written(&repository, &store, "v").await;
    repository
        .take(&name("v"), claim("other"), Takeover::Refused)
        .await
        .unwrap();
    let held = repository.trash_volume(&name("v"), stay()).await;
    assert_eq!(kind(held), ErrorKind::Busy);
    written(&repository, &store, "w").await;
    let log = open(&repository, &store, "w").await;
    log.protect(log.snapshots()[0].id, true).await.unwrap();
    log.stop().await.unwrap();
    let protected = repository.trash_volume(&name("w"), stay()).await.unwrap_err();
    assert!(protected.to_string().contains("monday"), "{protected}");
    repository
        .create_volume(super::volume("direct", 4096))
        .await
        .unwrap();
    let direct = repository.trash_volume(&name("direct"), stay()).await;
    assert_eq!(kind(direct), ErrorKind::Unsupported);
    for volume in ["v", "w", "direct"] {
        assert_eq!(record_of(&repository, volume).await.state, LifeState::Ready);
    }
}

#[tokio::test]
async fn clones_go_on_reading_and_the_parent_goes_with_the_last() {
    let (repository, store) = repository().await;
    let parent_id = written(&repository, &store, "parent").await;
    let parent = open(&repository, &store, "parent").await;
    let child = NewVolume {
        size: parent.geometry().size,
        ..log_volume("child")
    };
    let snapshot = parent.snapshots()[0].id;
    repository.clone_volume(child, &parent, snapshot).await.unwrap();
    parent.stop().await.unwrap();
    let entry = repository.trash_volume(&name("parent"), stay()).await.unwrap();
    assert_eq!(
        kind(repository.purge_volume(entry.trash.id).await),
        ErrorKind::Busy
    );
    assert_eq!(repository.trash().await.unwrap()[0].state, TrashState::Kept);
    let log = open(&repository, &store, "child").await;
    let mut found = [0; 4096];
    log.read(4096, &mut found).await.unwrap();
    assert_eq!(found, [7; 4096]);
    log.stop().await.unwrap();
    repository.delete_volume(&name("child")).await.unwrap();
    repository.purge_volume(entry.trash.id).await.unwrap();
    assert_eq!(objects_of(&store, parent_id).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_was_cut_off_is_gone_on_with() {
    for requests in 0.. {
        let (repository, store) = repository().await;
        let id = written(&repository, &store, "v").await;
        let slow = slow(&store).await;
        let done = cut(requests, slow.trash_volume(&name("v"), stay())).await;
        if let Ok(info) = repository.volume(&name("v")).await {
            assert!(done.is_none());
            let state = info.record.state;
            if state == LifeState::Trashing {
                assert_eq!(
                    kind(repository.delete_volume(&name("v")).await),
                    ErrorKind::Conflict
                );
                let taken = repository.take(&name("v"), claim("h"), Takeover::Refused).await;
                assert_eq!(kind(taken), ErrorKind::Conflict);
            }
            repository.trash_volume(&name("v"), stay()).await.unwrap();
        }
        let listed = repository.trash().await.unwrap();
        assert_eq!(listed.len(), 1, "after {requests} requests");
        repository.restore_volume(listed[0].trash.id, None).await.unwrap();
        is_whole(&repository, &store, "v", id).await;
        if done.is_some() {
            assert!(requests > 4, "{requests}");
            return;
        }
    }
}

/// What is in the trash after a move that died before it took the volume's record away is restored all the same.
#[tokio::test(start_paused = true)]
async fn a_restore_takes_a_move_back_that_was_cut_off() {
    for requests in 0.. {
        let (repository, store) = repository().await;
        let id = written(&repository, &store, "v").await;
        let slow = slow(&store).await;
        if cut(requests, slow.trash_volume(&name("v"), stay()))
            .await
            .is_some()
        {
            return;
        }
        if let [entry] = &repository.trash().await.unwrap()[..] {
            repository.restore_volume(entry.trash.id, None).await.unwrap();
            is_whole(&repository, &store, "v", id).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_was_cut_off_is_gone_on_with_and_not_purged() {
    for requests in 0.. {
        let (repository, store) = repository().await;
        let id = written(&repository, &store, "v").await;
        let entry = repository.trash_volume(&name("v"), stay()).await.unwrap();
        let slow = slow(&store).await;
        let restored = slow.restore_volume(entry.trash.id, Some(name("w")));
        let done = cut(requests, restored).await;
        let has_begun = repository
            .trash()
            .await
            .unwrap()
            .first()
            .is_none_or(|entry| entry.state == TrashState::Restoring(name("w")));
        if has_begun {
            assert!(repository.purge_volume(entry.trash.id).await.is_err());
            assert!(repository.restore_volume(entry.trash.id, None).await.is_err());
        }
        match repository.restore_volume(entry.trash.id, Some(name("w"))).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "after {requests}: {error}"),
        }
        is_whole(&repository, &store, "w", id).await;
        assert!(repository.trash().await.unwrap().is_empty());
        if done.is_some() {
            assert!(requests > 4, "{requests}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_was_cut_off_is_gone_on_with_and_not_restored() {
    for requests in 0.. {
        let (repository, store) = repository().await;
        let id = written(&repository, &store, "v").await;
        let entry = repository.trash_volume(&name("v"), stay()).await.unwrap();
        let slow = slow(&store).await;
        let done = cut(requests, slow.purge_volume(entry.trash.id)).await;
        match repository
            .trash()
            .await
            .unwrap()
            .first()
            .map(|entry| &entry.state)
        {
            Some(TrashState::Kept) => {
                repository.restore_volume(entry.trash.id, None).await.unwrap();
                is_whole(&repository, &store, "v", id).await;
                continue;
            }
            Some(_) => {
                let restored = repository.restore_volume(entry.trash.id, None).await;
                assert_eq!(kind(restored), ErrorKind::Conflict);
                repository.purge_volume(entry.trash.id).await.unwrap();
            }
            None => {}
        }
        assert_eq!(objects_of(&store, id).await, 0, "after {requests} requests");
        assert!(repository.trash().await.unwrap().is_empty());
        if done.is_some() {
            assert!(requests > 4, "{requests}");
            return;
        }
    }
}

/// A mover that stands still at any point, while others go on and restore, takes nothing away when it wakes.
#[tokio::test(start_paused = true)]
async fn a_slow_mover_harms_nobody() {
    for requests in 0.. {
        let (repository, store) = repository().await;
        let id = written(&repository, &store, "v").await;
        let slow = slow(&store).await;
        let volume = name("v");
        let mut moving = Box::pin(slow.trash_volume(&volume, stay()));
        if cut(requests, &mut moving).await.is_some() {
            return;
        }
        if repository.volume(&volume).await.is_ok() {
            repository.trash_volume(&volume, stay()).await.unwrap();
        }
        let entry = repository.trash().await.unwrap().remove(0);
        repository.restore_volume(entry.trash.id, None).await.unwrap();
        let _ = moving.await;
        let in_trash = repository.trash().await.unwrap();
        match repository.volume(&volume).await {
            Ok(_) => assert!(
                in_trash.is_empty(),
                "after {requests}: both there and in the trash"
            ),
            // It had not begun, and moved what was restored: a move as good as any.
            Err(_) => drop(
                repository
                    .restore_volume(in_trash[0].trash.id, None)
                    .await
                    .unwrap(),
            ),
        }
        is_whole(&repository, &store, "v", id).await;
    }
}

/// Of a restore and a purge that race, one wins, and the volume is whole or gone.
#[tokio::test(start_paused = true)]
async fn a_restore_and_a_purge_have_one_winner() {
    let (mut restores, mut purges) = (0, 0);
    for head_start in 0..24 {
        let (repository, store) = repository().await;
        let id = written(&repository, &store, "v").await;
        let entry = repository.trash_volume(&name("v"), stay()).await.unwrap();
        let (one, other) = (slow(&store).await, slow(&store).await);
        let late = async {
            tokio::time::sleep(EACH * head_start).await;
            one.restore_volume(entry.trash.id, None).await
        };
        let early = async {
            tokio::time::sleep(EACH * 8).await;
            other.purge_volume(entry.trash.id).await
        };
        let (restored, purged) = tokio::join!(late, early);
        assert!(restored.is_ok() != purged.is_ok(), "{restored:?} {purged:?}");
        if restored.is_ok() {
            restores += 1;
            is_whole(&repository, &store, "v", id).await;
        } else {
            purges += 1;
            assert_eq!(objects_of(&store, id).await, 0);
        }
    }
    assert!(restores > 2 && purges > 2, "{restores} {purges}");
}
