//! What is done to log volumes while they are open, with or without a device: snapshots, rollback, size.
//!
//! One that is not open is opened for it, and let go afterwards.

use super::{
    Attachments, journal,
    opened::{Opened, Then},
    slot::Slot,
};
use crate::{clock, error, error::Result};
use restblk_api::{ErrorBody, Snapshot, Warmed};
use restblk_block::BlockDevice;
use restblk_engine::{
    EngineError, NewVolume,
    log::{LogError, LogVolume, Progress, Snapshot as Kept, SnapshotView, snapshot_together},
};
use restblk_format::{Encryption, LayoutKind, VolumeRecord};
use restblk_types::{
    BlockSize, ByteCount, Durability, ErrorKind, KeySecret, SnapshotName, VolumeId, VolumeRef,
};
use std::sync::Arc;

impl Attachments {
    /// A log volume's snapshots, oldest first. Of one that is not open here as its last committed head tells.
    pub(crate) async fn snapshots(&self, volume: &VolumeRef) -> Result<Vec<Snapshot>> {
        let (id, kept) = match self.openings.find(volume).await {
            Some(opened) => {
                let kept = log_of(&opened, volume)?.snapshots();
                (opened.lease.record().volume, kept)
            }
            None => {
                let repository = &self.context.pools.open(&volume.pool)?.repository;
                let info = repository.volume(&volume.volume).await.map_err(error::engine)?;
                let head = repository.log_head(&info.record).await;
                (info.record.id, head.map_err(error::engine)?.snapshots)
            }
        };
        let described = kept.iter().filter_map(|kept| describe(volume, id, kept));
        Ok(described.collect())
    }

    /// One of them.
    pub(crate) async fn snapshot(&self, snapshot: &VolumeRef) -> Result<Snapshot> {
        let all = self.snapshots(snapshot).await?;
        let found = all.into_iter().find(|one| one.snapshot == *snapshot);
        found.ok_or_else(|| missing(snapshot))
    }

    /// Makes a snapshot of what the volume has now.
    pub(crate) async fn make_snapshot(&self, snapshot: &VolumeRef, name: &SnapshotName) -> Result<Snapshot> {
        let make = async |log: Arc<LogVolume>| Ok(log.snapshot(name.as_str(), &clock::now()).await?);
        self.with_log(snapshot, make).await?;
        tracing::info!(%snapshot, "made");
        self.snapshot(snapshot).await
    }

    /// Makes snapshots of several volumes, all of one moment; of none, where one cannot be made.
    pub(crate) async fn make_snapshots(&self, snapshots: &[VolumeRef]) -> Result<Vec<Snapshot>> {
        let mut opened = Vec::new();
        let made = self.snapshot_together(snapshots, &mut opened).await;
        for one in &opened {
            self.close_volume(one, Then::LetGo).await;
        }
        made?;
        let mut described = Vec::new();
        for snapshot in snapshots {
            tracing::info!(%snapshot, "made");
            described.push(self.snapshot(snapshot).await?);
        }
        Ok(described)
    }

    async fn snapshot_together(&self, snapshots: &[VolumeRef], opened: &mut Vec<Arc<Opened>>) -> Result<()> {
        let mut members = Vec::new();
        for snapshot in snapshots {
            let Some(name) = &snapshot.snapshot else {
                let message = format!("make a snapshot of {snapshot}: it has no name");
                return Err(ErrorBody::new(ErrorKind::Invalid, message).hint(format!("{snapshot}@NAME")));
            };
            let one = self.open_shared(snapshot).await?;
            opened.push(Arc::clone(&one));
            self.require_unconverting(snapshot)?;
            members.push((log_of(&one, snapshot)?, name.to_string()));
        }
        let made = snapshot_together(&members, &clock::now()).await;
        made.map(drop).map_err(|e| error::engine(EngineError::from(e)))
    }

    /// Deletes a snapshot; `Busy` while it is attached, protected, or has clones.
    pub(crate) async fn delete_snapshot(&self, snapshot: &VolumeRef) -> Result<()> {
        if self.slot(snapshot).is_some() {
            let message = format!("delete {snapshot}: it is attached to this host");
            return Err(ErrorBody::new(ErrorKind::Busy, message)
                .hint(format!("restblk detach {snapshot}, then delete it")));
        }
        let delete = async |log: Arc<LogVolume>| Ok(log.delete_snapshot(find(&log, snapshot)?).await?);
        self.with_log(snapshot, delete).await?;
        tracing::info!(%snapshot, "deleted");
        Ok(())
    }

    /// Guards a snapshot against its deletion, or ends that.
    pub(crate) async fn protect_snapshot(&self, snapshot: &VolumeRef, protected: bool) -> Result<Snapshot> {
        let protect = async |log: Arc<LogVolume>| Ok(log.protect(find(&log, snapshot)?, protected).await?);
        self.with_log(snapshot, protect).await?;
        self.snapshot(snapshot).await
    }

    /// Makes the volume what the snapshot is; what was written since is lost. `Busy` while the volume is attached.
    pub(crate) async fn roll_back(&self, snapshot: &VolumeRef) -> Result<()> {
        let volume = snapshot.whole();
        self.require_unattached(&format!("roll {volume} back"), &volume)?;
        let roll = async |log: Arc<LogVolume>| {
            log.rollback(find(&log, snapshot)?).await?;
            Ok(log.geometry().size)
        };
        let size = self.with_log(snapshot, roll).await?;
        self.note_size(&volume, size).await?;
        tracing::info!(%volume, %snapshot, "rolled back");
        Ok(())
    }

    /// Makes a new volume of the same pool that begins as the snapshot.
    pub(crate) async fn clone_snapshot(
        &self,
        snapshot: &VolumeRef,
        to: &VolumeRef,
        durability: Durability,
        key: Option<KeySecret>,
    ) -> Result<VolumeRecord> {
        if to.pool != snapshot.pool || to.snapshot.is_some() {
            let message = format!("clone {snapshot} to {to}: a clone is a volume of its snapshot's own pool");
            return Err(
                ErrorBody::new(ErrorKind::Invalid, message).hint(format!("name it {}/NAME", snapshot.pool))
            );
        }
        let repository = Arc::clone(&self.context.pools.open(&to.pool)?.repository);
        let parent = repository.record(&snapshot.volume).await.map_err(error::engine)?;
        let (compression, block_size, theirs) = (parent.compression, parent.block_size, parent.encryption);
        if key.is_some() && theirs.is_none() {
            let message = format!("clone {snapshot}: it is not encrypted, and its clones are not");
            return Err(ErrorBody::new(ErrorKind::Invalid, message).hint("leave the key out"));
        }
        let clone = async |log: Arc<LogVolume>| {
            let encryption = match (log.key(), key, theirs) {
                (Some(data), Some(key), _) => {
                    let wrapped = data.clone();
                    let wrap = move || Encryption::new(&wrapped, &key, clock::now());
                    let own = tokio::task::spawn_blocking(wrap).await;
                    let own = own.map_err(|e| refused(ErrorKind::Bug, &e))?;
                    Some((own.map_err(|e| refused(e.kind(), &e))?, data))
                }
                (Some(data), None, Some(theirs)) => Some((theirs, data)),
                _ => None,
            };
            let id = find(&log, snapshot)?;
            let kept = log.snapshots().into_iter().find(|kept| kept.id == id);
            let new = NewVolume {
                id: VolumeId::random(),
                name: to.volume.clone(),
                layout: LayoutKind::Log,
                size: kept.map_or(0, |kept| kept.size),
                block_size,
                durability,
                compression,
                encryption,
                created_at: clock::now(),
            };
            repository.clone_volume(new, &log, id).await
        };
        let made = self.with_log(snapshot, clone).await?;
        tracing::info!(%snapshot, volume = %to, "cloned");
        Ok(made)
    }

    /// Copies into a clone what it still reads from the volumes that it came from.
    pub(crate) async fn flatten(&self, volume: &VolumeRef) -> Result<()> {
        let flatten = async |log: Arc<LogVolume>| {
            let mut told = |progress: Progress| {
                tracing::debug!(%volume, done = progress.done, blocks = progress.blocks, copied = progress.copied, "flattening");
            };
            Ok(log.flatten(&mut told).await?)
        };
        self.with_log(volume, flatten).await?;
        tracing::info!(%volume, "reads from no other volume any more");
        Ok(())
    }

    /// Fills this host's cache with what a log volume reads.
    pub(crate) async fn warm(&self, volume: &VolumeRef) -> Result<Warmed> {
        let warm = async |log: Arc<LogVolume>| {
            let mut read = 0;
            log.warm(&mut |progress: Progress| read = progress.copied).await?;
            Ok(Warmed {
                read: ByteCount(read * u64::from(BlockSize::B4096.bytes())),
            })
        };
        self.with_log(volume, warm).await
    }

    /// A volume is deleted: its journal goes, if one was left, and open volumes look whether it was the last clone of a snapshot.
    pub(crate) async fn deleted(&self, id: VolumeId) {
        journal::remove(&self.context, id);
        for opened in self.openings.all() {
            let Some(log) = opened.volume.log() else { continue };
            if let Err(error) = log.reap().await {
                tracing::warn!(%error, "whether clones are gone cannot be told now; it is looked again");
            }
        }
    }

    /// Gives a log volume a new size; its device, where there is one, follows.
    pub(crate) async fn resize_log(&self, volume: &VolumeRef, size: u64) -> Result<()> {
        let resize = async |log: Arc<LogVolume>| {
            let now = log.geometry().size;
            if size <= now {
                let message = format!(
                    "extend {volume} to {}: it has {} already",
                    ByteCount(size),
                    ByteCount(now)
                );
                return Err(EngineError::refused(ErrorKind::Invalid, message));
            }
            Ok(log.resize(size).await?)
        };
        self.with_log(volume, resize).await?;
        self.note_size(volume, size).await
    }

    /// Gives a log volume that is not attached a smaller size. Data beyond it is given up only if that was asked for.
    pub(crate) async fn shrink_log(&self, volume: &VolumeRef, size: u64, discard_data: bool) -> Result<()> {
        let what = format!("shrink {volume} to {}", ByteCount(size));
        self.require_unattached(&what, volume)?;
        let shrink = async |log: Arc<LogVolume>| {
            let now = log.geometry().size;
            if size >= now {
                let message = format!(
                    "{what}: it has {}; restblk extend makes it larger",
                    ByteCount(now)
                );
                return Err(EngineError::refused(ErrorKind::Invalid, message));
            }
            if !discard_data && let Some(at) = data_beyond(&log, size).await? {
                let message = format!(
                    "{what}: it has data beyond that, the first at byte {at}; shrink what is on it and discard the rest (blkdiscard), \
                     or give it up (--discard-data)"
                );
                return Err(EngineError::refused(ErrorKind::Invalid, message));
            }
            Ok(log.resize(size).await?)
        };
        self.with_log(volume, shrink).await?;
        self.note_size(volume, size).await
    }

    /// `Busy` where a volume has a device here, whose users must not see it change.
    fn require_unattached(&self, what: &str, volume: &VolumeRef) -> Result<()> {
        self.slot(volume)
            .map_or(Ok(()), |slot| Err(attached_here(what, &slot)))
    }

    pub(super) async fn note_size(&self, volume: &VolumeRef, size: u64) -> Result<()> {
        let repository = &self.context.pools.open(&volume.pool)?.repository;
        let noted = repository.note_size(&volume.volume, size).await;
        noted.map(drop).map_err(error::engine)
    }

    /// Does something with an open log volume.
    async fn with_log<T>(
        &self,
        volume: &VolumeRef,
        work: impl AsyncFnOnce(Arc<LogVolume>) -> std::result::Result<T, EngineError>,
    ) -> Result<T> {
        let opened = self.open_shared(volume).await?;
        let log = self
            .require_unconverting(volume)
            .and_then(|()| log_of(&opened, volume));
        let done = match log {
            Ok(log) => work(log).await.map_err(error::engine),
            Err(e) => Err(e),
        };
        self.close_volume(&opened, Then::LetGo).await;
        done
    }
}

/// Why something is not done to a volume that has a device here.
pub(super) fn attached_here(what: &str, slot: &Slot) -> ErrorBody {
    let at = slot
        .device_path()
        .map_or_else(String::new, |path| format!(" at {}", path.display()));
    let message = format!("{what}: it is attached to this host{at}");
    ErrorBody::new(ErrorKind::Busy, message).hint(format!(
        "restblk detach {} first: what uses it must not see its bytes change",
        slot.volume()
    ))
}

/// Where a volume has data from this byte on; none where it reads as zeros.
async fn data_beyond(log: &LogVolume, byte: u64) -> std::result::Result<Option<u64>, EngineError> {
    let mut written = log.changes(None, None).await?.starting_at(byte);
    while let Some(changes) = written.step().await? {
        if let Some(data) = changes.iter().find(|change| !change.zeros) {
            return Ok(Some(data.bytes.start));
        }
    }
    Ok(None)
}

/// The snapshot of an open volume, as a device.
pub(super) fn view(opened: &Opened, snapshot: &VolumeRef) -> Result<SnapshotView> {
    let log = log_of(opened, snapshot)?;
    let found = find(&log, snapshot).and_then(|id| log.view(id));
    found.map_err(|e| error::engine(EngineError::from(e)))
}

pub(super) fn log_of(opened: &Opened, volume: &VolumeRef) -> Result<Arc<LogVolume>> {
    opened.volume.log().ok_or_else(|| {
        let message = format!("use {volume}: volumes of the direct layout have no snapshots of their own");
        ErrorBody::new(ErrorKind::Unsupported, message).hint(
            "restblk convert --to log makes it one that has; LVM thin makes snapshots above a direct one",
        )
    })
}

pub(super) fn find(log: &LogVolume, snapshot: &VolumeRef) -> std::result::Result<u64, LogError> {
    let name = snapshot.snapshot.as_ref().map(SnapshotName::as_str);
    let snapshots = log.snapshots();
    let found = snapshots
        .iter()
        .find(|kept| name.is_some() && kept.name.as_deref() == name);
    found
        .map(|kept| kept.id)
        .ok_or_else(|| LogError::new(ErrorKind::NotFound, missing(snapshot).message))
}

fn refused(kind: ErrorKind, why: &dyn std::fmt::Display) -> EngineError {
    EngineError::refused(kind, format!("clone: {why}"))
}

fn missing(snapshot: &VolumeRef) -> ErrorBody {
    let message = format!("find {snapshot}: the volume has no such snapshot");
    ErrorBody::new(ErrorKind::NotFound, message).hint(format!("restblk snapshot list {}", snapshot.whole()))
}

/// A snapshot as the API tells it; nothing for one that was deleted and is held by clones alone.
fn describe(volume: &VolumeRef, id: VolumeId, kept: &Kept) -> Option<Snapshot> {
    Some(Snapshot {
        snapshot: volume.at(kept.name.as_ref()?.parse().ok()?),
        origin: kept.moment(id)?.origin.to_string(),
        received: kept.origin.is_some(),
        size: ByteCount(kept.size),
        created_at: kept.created_at.clone(),
        protected: kept.protected,
        clones: kept.children.len(),
    })
}
