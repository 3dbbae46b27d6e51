//! Volumes of the log layout: what their store must do, and how they are made, opened and removed.
//!
//! Their bytes lie under the volume's id, so two volumes of one name in a row never meet. The record is what makes a volume exist,
//! as for every layout; its size follows the one that the log itself keeps ([`Repository::note_size`]).

use crate::{EngineError, Repository, names};
pub use restblk_cache::{Cache, CacheError, Figures as CacheFigures};
use restblk_format::{LayoutKind, VolumeRecord};
use restblk_log::Options;
pub use restblk_log::{
    Change, Changes, DataKey, Disk, Figures, FileDisk, Head, Hold, Local, LogError, LogVolume, MEMORY,
    MEMORY_MIN, Memory, Progress, Receive, Receiver, Sending, Snapshot, SnapshotView, Usage, Writer, check,
    snapshot_together, stream,
};
use restblk_store::Store;
use restblk_types::{BlockSize, ErrorKind, VolumeId};
use std::sync::Arc;

/// The largest object that the layout makes.
const OBJECT_LEN_MAX: u64 = 8 << 20;

/// Who makes a volume: its id is new with each create, and so are its first objects. `key` is its data key, where it is encrypted.
pub(crate) fn creator(record: &VolumeRecord, key: Option<DataKey>) -> Writer {
    Writer {
        nonce: *record.id.as_bytes(),
        hostname: "create".to_owned(),
        since: record.created_at.clone(),
        key,
    }
}

impl Repository {
    /// `Unsupported` where the store does not do what log volumes rest on, or for other blocks than the layout's.
    pub(crate) fn check_log(&self, operation: &str, block_size: BlockSize) -> Result<(), EngineError> {
        self.check_log_store(operation)?;
        if block_size == BlockSize::B4096 {
            return Ok(());
        }
        Err(EngineError::refused(
            ErrorKind::Unsupported,
            format!("{operation}: the log layout has blocks of 4096 bytes"),
        ))
    }

    /// `Unsupported` where the store does not do what log volumes rest on.
    pub(crate) fn check_log_store(&self, operation: &str) -> Result<(), EngineError> {
        let can = &self.capabilities;
        let lacks = if !can.exclusive_create {
            "of racing creates more than one may win there, and that is how a second writer is fenced"
        } else if !can.atomic_put {
            "a reader may see half an object there"
        } else if can.put_len_max < OBJECT_LEN_MAX {
            "it takes no objects of 8 MiB"
        } else if !can.list {
            "it does not list, and the space of deleted volumes could not be found"
        } else {
            return Ok(());
        };
        Err(EngineError::refused(
            ErrorKind::Unsupported,
            format!(
                "{operation}: the log layout does not work on the store at {}: {lacks}; restblk pool show tells what was proved",
                self.store.location()
            ),
        ))
    }

    pub(crate) async fn make_log(
        &self,
        record: &VolumeRecord,
        key: Option<DataKey>,
    ) -> Result<(), EngineError> {
        let writer = creator(record, key);
        Ok(restblk_log::create(self.store.clone(), record.log_id(), record.size, &writer).await?)
    }

    /// The same, of one that a snapshot is received into.
    pub(crate) async fn make_half(
        &self,
        record: &VolumeRecord,
        receiving: stream::Receiving,
    ) -> Result<(), EngineError> {
        let writer = creator(record, None);
        let (store, id, size) = (self.store.clone(), record.id, record.size);
        Ok(restblk_log::create_half(store, id, size, &writer, Some(receiving)).await?)
    }

    pub(crate) async fn remove_log(&self, id: VolumeId) -> Result<(), EngineError> {
        Ok(restblk_log::destroy(self.store.clone(), id).await?)
    }

    /// Removes what an unfinished create left under an id that nobody has any more.
    pub(crate) async fn clear_log(&self, id: VolumeId) {
        if let Err(error) = self.remove_log(id).await {
            tracing::warn!(%id, %error, "objects of an unfinished create stay on the store");
        }
    }

    /// `Busy` where a log volume has snapshots, or volumes that were cloned from it. `doing` is what is refused then.
    pub(crate) async fn require_unused(&self, doing: &str, record: &VolumeRecord) -> Result<(), EngineError> {
        let snapshots = match self.log_head(record).await {
            Ok(head) => head.snapshots.iter().filter(|kept| kept.name.is_some()).count(),
            // Half made, or half deleted.
            Err(e) if e.kind() == ErrorKind::NotFound => 0,
            Err(e) => return Err(e),
        };
        let full = self.full(&record.name);
        if snapshots == 0 {
            let what = format!("{doing} {full}");
            return Ok(restblk_log::check_no_clones(self.store.clone(), record.log_id(), &what).await?);
        }
        Err(EngineError::refused(
            ErrorKind::Busy,
            format!(
                "{doing} {full}: it has {snapshots} snapshots: delete them first (restblk snapshot list {full})"
            ),
        ))
    }

    /// The last committed state of a log volume, whoever has it attached.
    pub async fn log_head(&self, record: &VolumeRecord) -> Result<Head, EngineError> {
        Ok(restblk_log::look(self.store.clone(), record.log_id()).await?)
    }

    /// What a log volume has on the store; with its key where it is encrypted.
    pub async fn log_usage(&self, record: &VolumeRecord, key: Option<DataKey>) -> Result<Usage, EngineError> {
        self.check_key(record, key.as_ref())?;
        Ok(restblk_log::usage(self.store.clone(), record.log_id(), key).await?)
    }

    /// Looks a log volume through; with its key where it is encrypted.
    pub async fn check_log_volume(
        &self,
        record: &VolumeRecord,
        key: Option<DataKey>,
        how: check::How,
        teller: check::Teller<'_>,
    ) -> Result<check::Report, EngineError> {
        self.check_key(record, key.as_ref())?;
        Ok(check::check(self.store.clone(), record.log_id(), key, how, teller).await?)
    }

    /// Repairs a log volume that is ours by its lease.
    pub async fn repair_log_volume(
        &self,
        record: &VolumeRecord,
        what: check::Repair,
        writer: &Writer,
        journal: Option<Arc<dyn Disk>>,
        teller: check::Teller<'_>,
    ) -> Result<check::Repaired, EngineError> {
        self.check_key(record, writer.key.as_ref())?;
        Ok(check::repair(self.store.clone(), record.log_id(), what, writer, journal, teller).await?)
    }

    /// What is wrong with a direct volume's file, as far as can be told: that it is there, and as long as it should be.
    pub async fn check_direct(
        &self,
        record: &VolumeRecord,
    ) -> Result<Option<(check::Problem, String)>, EngineError> {
        let key = names::data(&record.name);
        let found = match self.store.head(&key).await {
            Ok(info) if info.size == record.size => None,
            Ok(info) if info.size > record.size => Some((
                check::Problem::LeftOver,
                format!(
                    "{key} has {} bytes, and the volume {}: an extend was cut off",
                    info.size, record.size
                ),
            )),
            Ok(info) => Some((
                check::Problem::Length,
                format!(
                    "{key} has {} bytes, and the volume should have {}",
                    info.size, record.size
                ),
            )),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Some((check::Problem::Missing, format!("{key} is not on the store")))
            }
            Err(e) => return Err(e.into()),
        };
        Ok(found)
    }

    /// Whether a volume is opened by this key, or by none: told before anything is claimed.
    fn check_key(&self, record: &VolumeRecord, key: Option<&DataKey>) -> Result<(), EngineError> {
        let (kind, why) = match (&record.encryption, key) {
            (None, None) => return Ok(()),
            (Some(encryption), Some(key)) if encryption.is_of(key) => return Ok(()),
            (Some(_), Some(_)) => (ErrorKind::Denied, "this is the data key of another volume"),
            (Some(_), None) => (ErrorKind::Denied, "it is encrypted, and no key was given"),
            (None, Some(_)) => (ErrorKind::Invalid, "it is not encrypted, and a key was given"),
        };
        let full = self.full(&record.name);
        Err(EngineError::refused(kind, format!("open {full}: {why}")))
    }

    /// Opens a log volume that is ours by its lease, and fences whoever had it. Its bytes go through `store`.
    pub async fn open_log(
        &self,
        store: Arc<dyn Store>,
        record: &VolumeRecord,
        writer: Writer,
        local: Local,
    ) -> Result<LogVolume, EngineError> {
        let full = self.full(&record.name);
        if record.layout != LayoutKind::Log {
            return Err(EngineError::refused(
                ErrorKind::Unsupported,
                format!(
                    "open {full}: it is of the direct layout, which has neither snapshots nor clones; restblk convert --to log makes it one that has"
                ),
            ));
        }
        self.check_key(record, writer.key.as_ref())?;
        let (durability, compression) = (record.durability, record.compression);
        let is_encrypted = writer.key.is_some();
        let options = Options {
            durability,
            codec: compression.into(),
            ..Options::default()
        };
        let (journal, cache) = (local.journal.is_some(), local.cache.is_some());
        let opened = LogVolume::open(store, record.log_id(), writer, options, local).await;
        let opened = opened.map_err(|e| EngineError::refused(e.kind(), format!("open {full}: {e}")))?;
        tracing::info!(
            volume = full,
            ?durability,
            ?compression,
            is_encrypted,
            journal,
            cache,
            "opened"
        );
        Ok(opened)
    }
}
