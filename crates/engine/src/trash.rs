//! The trash: volumes that were deleted and are still there, until their time is over and nobody reads from them.
//!
//! A volume in the trash has no name: its record lies under the id of its stay, and another volume may take the name. Its bytes lie under its
//! own id and stay where they are, so that clones of its snapshots go on reading. That is why only log volumes can be there.
//!
//! | operation | steps | a crash leaves |
//! |---|---|---|
//! | move | record `trashing`, with the stay's id → entry (exclusive) → record away, if it is still that | `trashing`: moved again, it goes on |
//! | restore | end `restore NAME` (exclusive) → record (exclusive) → end `done` → entry away | an end: restored again under that name, it goes on |
//! | purge | end `purge` (exclusive) → bytes away → end `done` → entry away | an end: purged again, it goes on |
//!
//! The end decides between restore and purge, and is never removed: a slow mover may put an entry back whose stay has ended, and whoever
//! meets one clears it away by that. An entry is what it says only together with its end ([`TrashEntry::state`]).

use crate::{EngineError, Repository, names, repository::Found, volumes};
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::{LifeState, Trash, TrashEnd, TrashEndBy, VolumeRecord};
use restblk_store::ETag;
use restblk_types::{ErrorKind, TrashId, VolumeName};

/// Entries read at once for a listing.
const PARALLEL: usize = 16;

/// What is in the trash.
#[derive(Clone, Debug)]
pub struct TrashEntry {
    /// The volume's record as it was; its name may be another volume's now.
    pub record: VolumeRecord,
    /// The stay.
    pub trash: Trash,
    /// Where it is between deletion and end.
    pub state: TrashState,
}

/// Where a volume in the trash is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrashState {
    /// It can be restored.
    Kept,
    /// A restore under this name has begun and not finished.
    Restoring(VolumeName),
    /// Its bytes are being removed.
    Purging,
}

/// An entry as it was read.
struct Seen {
    entry: TrashEntry,
    etag: Option<ETag>,
    end: Option<Found<TrashEnd>>,
}

impl Repository {
    /// Moves a log volume and its snapshots into the trash, or goes on with a move that did not finish: then the stay is the one that
    /// was begun. `Busy` while anybody holds it or a snapshot is protected.
    pub async fn trash_volume(&self, name: &VolumeName, trash: Trash) -> Result<TrashEntry, EngineError> {
        let Found {
            mut record,
            etag,
            read_only_because,
        } = self.require(name).await?;
        let what = format!("move {} to the trash", self.full(name));
        volumes::refuse_unknown(&read_only_because)?;
        volumes::log_alone(
            &record,
            &what,
            "a direct volume is a file of its name on the store and cannot be kept beside a new one",
        )?;
        if record.state != LifeState::Trashing {
            self.check_ready(&record)?;
            self.require_free(&record).await?;
            self.require_settled("move to the trash", &record)?;
            self.require_unprotected(&what, &record).await?;
            let before = record.clone();
            record.state = LifeState::Trashing;
            record.trash = Some(trash);
            self.close_for_new(before, &record, etag).await?;
        }
        let Some(trash) = record.trash.clone() else {
            let message = format!("{what}: its record does not tell how long it is kept");
            return Err(EngineError::refused(ErrorKind::Corrupt, message));
        };
        let kept = VolumeRecord {
            state: LifeState::Ready,
            ..record
        };
        // One that is there is ours, of an earlier try.
        self.create(&names::trashed(trash.id), &kept).await?;
        self.forget_holder(name).await?;
        self.remove_moved(name, trash.id).await?;
        Ok(TrashEntry {
            record: kept,
            trash,
            state: TrashState::Kept,
        })
    }

    /// Removes a volume's record if it still says that it goes to the trash for this stay.
    async fn remove_moved(&self, name: &VolumeName, stay: TrashId) -> Result<(), EngineError> {
        let key = names::volume(name);
        match self.read::<VolumeRecord>(&key).await? {
            Some(found) if is_moving(&found.record, stay) => self.remove(&key, found.etag).await,
            _ => Ok(()),
        }
    }

    async fn require_unprotected(&self, what: &str, record: &VolumeRecord) -> Result<(), EngineError> {
        let head = self.log_head(record).await?;
        match head.snapshots.iter().find(|snapshot| snapshot.protected) {
            None => Ok(()),
            Some(snapshot) => Err(EngineError::refused(
                ErrorKind::Busy,
                format!(
                    "{what}: its snapshot {} is protected; end that first (restblk snapshot unprotect)",
                    snapshot.name.as_deref().unwrap_or("without a name")
                ),
            )),
        }
    }

    /// All that is in the trash, the earliest deleted first.
    pub async fn trash(&self) -> Result<Vec<TrashEntry>, EngineError> {
        let ids: Vec<TrashId> = self.names_in(&names::trash()).await?;
        let reads = stream::iter(ids).map(|id| self.seen_in_trash(id));
        let seen: Vec<Option<Seen>> = reads.buffer_unordered(PARALLEL).try_collect().await?;
        let mut entries: Vec<_> = seen.into_iter().flatten().map(|seen| seen.entry).collect();
        entries.sort_by(|a, b| (&a.trash.since, a.trash.id).cmp(&(&b.trash.since, b.trash.id)));
        Ok(entries)
    }

    /// One entry with its end; none where there is none, or its stay is over.
    async fn seen_in_trash(&self, id: TrashId) -> Result<Option<Seen>, EngineError> {
        let Some(found) = self.read::<VolumeRecord>(&names::trashed(id)).await? else {
            return Ok(None);
        };
        let end = self.read::<TrashEnd>(&names::trash_end(id)).await?;
        let state = match end.as_ref().map(|end| &end.record) {
            None => TrashState::Kept,
            Some(end) if end.done => {
                self.remove(&names::trashed(id), found.etag).await?;
                return Ok(None);
            }
            Some(end) => match &end.by {
                TrashEndBy::Restore(name) => TrashState::Restoring(name.clone()),
                TrashEndBy::Purge => TrashState::Purging,
            },
        };
        let Some(trash) = found.record.trash.clone().filter(|trash| trash.id == id) else {
            let message = format!(
                "read {} at {}: it is of another stay in the trash: it was moved or copied by hand",
                names::trashed(id),
                self.store.location()
            );
            return Err(EngineError::refused(ErrorKind::Corrupt, message));
        };
        Ok(Some(Seen {
            entry: TrashEntry {
                record: found.record,
                trash,
                state,
            },
            etag: found.etag,
            end,
        }))
    }

    async fn require_in_trash(&self, id: TrashId) -> Result<Seen, EngineError> {
        self.seen_in_trash(id).await?.ok_or_else(|| {
            let message = format!(
                "find {id} in the trash of {}: it is not there (any more)",
                self.label
            );
            EngineError::refused(ErrorKind::NotFound, message)
        })
    }

    /// Makes a volume of the trash a volume again, under its own name or another, or goes on with that. `Exists` where the name is taken.
    pub async fn restore_volume(
        &self,
        id: TrashId,
        name: Option<VolumeName>,
    ) -> Result<VolumeRecord, EngineError> {
        let seen = self.require_in_trash(id).await?;
        let name = name.unwrap_or_else(|| seen.entry.record.name.clone());
        let record = VolumeRecord {
            name: name.clone(),
            trash: None,
            ..seen.entry.record.clone()
        };
        self.require_name_for(&record, id).await?;
        let by = TrashEndBy::Restore(name.clone());
        let is_ours = self.claim_end(&seen, by.clone()).await?;
        let key = names::volume(&name);
        if self.create(&key, &record).await?.is_none() {
            let there = self.require(&name).await?;
            if is_moving(&there.record, id) {
                // The move did not get so far as to remove it.
                self.replace(&key, &record, there.etag).await?;
            } else if there.record.id != record.id {
                if is_ours {
                    self.remove(&names::trash_end(id), None).await?;
                }
                return Err(volumes::taken(&self.full(&name), &there.record));
            }
        }
        self.finish_end(&seen, by).await?;
        Ok(record)
    }

    /// `Exists` where the name is another volume's.
    async fn require_name_for(&self, record: &VolumeRecord, stay: TrashId) -> Result<(), EngineError> {
        let there = self.read::<VolumeRecord>(&names::volume(&record.name)).await?;
        match there.map(|there| there.record) {
            Some(there) if there.id != record.id && !is_moving(&there, stay) => {
                let taken = volumes::taken(&self.full(&record.name), &there);
                let message = format!("{taken}; restore it under another name (--as)");
                Err(EngineError::refused(taken.kind(), message))
            }
            _ => Ok(()),
        }
    }

    /// Removes a volume of the trash for good, or goes on with that. `Busy` while volumes that were cloned from it read from it.
    pub async fn purge_volume(&self, id: TrashId) -> Result<VolumeRecord, EngineError> {
        let seen = self.require_in_trash(id).await?;
        let record = seen.entry.record.clone();
        // Asked before anything is decided: until then it can be restored.
        let what = format!("delete the volume {}", record.log_id());
        restblk_log::check_no_clones(self.store.clone(), record.log_id(), &what).await?;
        self.claim_end(&seen, TrashEndBy::Purge).await?;
        self.remove_log(record.log_id()).await?;
        self.finish_end(&seen, TrashEndBy::Purge).await?;
        Ok(record)
    }

    /// Decides how a stay ends, if nobody has; whether that was this call. `Conflict` where it was decided otherwise.
    async fn claim_end(&self, seen: &Seen, by: TrashEndBy) -> Result<bool, EngineError> {
        let key = names::trash_end(seen.entry.trash.id);
        let fresh = TrashEnd {
            by,
            done: false,
            incompat: Vec::new(),
        };
        let decided = match &seen.end {
            Some(end) => end.record.clone(),
            None if self.create(&key, &fresh).await?.is_some() => return Ok(true),
            None => match self.read::<TrashEnd>(&key).await? {
                Some(end) => end.record,
                None => return Err(self.ended(seen, "somebody else is restoring it; look again")),
            },
        };
        match (&decided.by, decided.done) {
            (_, true) => Err(self.ended(seen, "somebody else did so meanwhile")),
            (by, false) if *by == fresh.by => Ok(false),
            (TrashEndBy::Purge, false) => Err(self.ended(seen, "its bytes are being removed")),
            (TrashEndBy::Restore(name), false) => {
                let next = format!("its restore as {name} did not finish: restore it under that name");
                Err(self.ended(seen, &next))
            }
        }
    }

    async fn finish_end(&self, seen: &Seen, by: TrashEndBy) -> Result<(), EngineError> {
        let id = seen.entry.trash.id;
        let done = TrashEnd {
            by,
            done: true,
            incompat: Vec::new(),
        };
        // Whoever else goes on with it writes the same.
        self.replace(&names::trash_end(id), &done, None).await?;
        self.remove(&names::trashed(id), seen.etag.clone()).await
    }

    fn ended(&self, seen: &Seen, why: &str) -> EngineError {
        let message = format!(
            "take {} ({}) out of the trash: {why}",
            self.full(&seen.entry.record.name),
            seen.entry.trash.id
        );
        EngineError::refused(ErrorKind::Conflict, message)
    }
}

/// Whether a volume's record is that of one on its way to this stay.
fn is_moving(record: &VolumeRecord, stay: TrashId) -> bool {
    record.state == LifeState::Trashing && record.trash.as_ref().is_some_and(|trash| trash.id == stay)
}
