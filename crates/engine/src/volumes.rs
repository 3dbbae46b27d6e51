//! The volumes of a repository: create, list, extend, delete, adopt.
//!
//! A volume exists if and only if its record does. Every operation is a few requests; a crash between any two leaves
//! a state that the record tells and that the next operation finishes:
//!
//! | operation | steps | a crash leaves |
//! |---|---|---|
//! | create | record `creating` (exclusive) → object (exclusive) → its size → flush → record `ready` | `creating`: create again goes on, delete clears away |
//! | extend | object's size → flush → record's size | a longer object under the old size: the volume is as before |
//! | delete | record `deleting` → object away → record away | `deleting`: delete again goes on |
//! | trash | see [`crate::trash`] | `trashing`: delete again goes on |
//! | convert | [`crate::convert`] | what the record's `conversion` says |
//! | adopt | record `ready` (exclusive), from the object's size | nothing, or all of it |
//!
//! What is an object of the name for a direct volume is, for a log volume, the objects under its id ([`crate::log`]). A create that goes
//! on with another one gives a log volume a new id, so that the slower of two creators spoils nothing of the faster one's.
//!
//! A foreign object under the name is never touched.

use crate::{EngineError, Repository, flush::flush, log::creator, names, repository::Found};
use restblk_format::{AttachmentRecord, Encryption, LayoutKind, LifeState, OtherFields, VolumeRecord};
use restblk_log::{DataKey, LogVolume, stream::Receiving};
use restblk_store::{ETag, Instance, Precondition, Resize, clean_up};
use restblk_types::{
    BlockSize, ByteCount, Compression, Durability, ErrorKind, RateLimits, VolumeId, VolumeName,
};

/// The largest volume: what an off_t can address, in whole blocks.
pub const SIZE_MAX: u64 = (1 << 63) - 4096;

/// A volume to be made.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// Its id; random.
    pub id: VolumeId,
    /// Its name.
    pub name: VolumeName,
    /// How it lies on the store.
    pub layout: LayoutKind,
    /// Size in bytes, a multiple of the block size.
    pub size: u64,
    /// Logical block size.
    pub block_size: BlockSize,
    /// What a flush waits for, in a log volume.
    pub durability: Durability,
    /// How its data is packed, in a log volume.
    pub compression: Compression,
    /// Its data key and who can open it, in a log volume that is encrypted; a clone has its parent's data key.
    pub encryption: Option<(Encryption, DataKey)>,
    /// Now, RFC 3339, UTC.
    pub created_at: String,
}

/// A volume as its repository tells.
#[derive(Clone, Debug)]
pub struct VolumeInfo {
    /// Its record.
    pub record: VolumeRecord,
    /// Features unknown to this version that allow reading alone.
    pub read_only_because: Vec<String>,
    /// Who holds it.
    pub attachment: Option<AttachmentRecord>,
}

impl From<VolumeRecord> for VolumeInfo {
    /// A volume that was just made: nobody holds it.
    fn from(record: VolumeRecord) -> Self {
        Self {
            record,
            read_only_because: Vec::new(),
            attachment: None,
        }
    }
}

/// A volume that is being made.
struct Begun {
    record: VolumeRecord,
    etag: Option<ETag>,
    /// The record is of this very call.
    is_ours: bool,
    /// The id of an unfinished create in whose place it is.
    before: Option<VolumeId>,
}

impl Repository {
    /// Makes a volume, or goes on with a create of the same size that did not finish. `Exists` where the name is taken.
    pub async fn create_volume(&self, new: NewVolume) -> Result<VolumeRecord, EngineError> {
        check_size(new.size, new.block_size)?;
        if new.layout == LayoutKind::Log {
            self.check_log(&format!("create {}", self.full(&new.name)), new.block_size)?;
        }
        let key = new.encryption.as_ref().map(|(_, key)| key.clone());
        let begun = self.begin(new).await?;
        let made = match begun.record.layout {
            LayoutKind::Direct => self.make_object(&begun.record).await,
            LayoutKind::Log => self.make_log(&begun.record, key).await,
        };
        self.finish(begun, made).await
    }

    /// Makes a log volume that a snapshot is received into: whoever looks at it is told so from its first moment on.
    pub async fn create_half(
        &self,
        new: NewVolume,
        receiving: Receiving,
    ) -> Result<VolumeRecord, EngineError> {
        let begun = self.begin(new).await?;
        let made = self.make_half(&begun.record, receiving).await;
        self.finish(begun, made).await
    }

    /// Makes a log volume that begins as a snapshot of an open one of this repository.
    pub async fn clone_volume(
        &self,
        new: NewVolume,
        parent: &LogVolume,
        snapshot: u64,
    ) -> Result<VolumeRecord, EngineError> {
        let begun = self.begin(new).await?;
        let (id, writer) = (begun.record.id, creator(&begun.record, None));
        let made = parent.clone_snapshot(snapshot, id, &writer).await;
        self.finish(begun, made.map_err(EngineError::from)).await
    }

    /// Writes the record of a volume that is being made.
    async fn begin(&self, new: NewVolume) -> Result<Begun, EngineError> {
        let operation = format!("create {}", self.full(&new.name));
        let is_direct = new.layout == LayoutKind::Direct;
        if is_direct && new.encryption.is_some() {
            let message = format!(
                "{operation}: a direct volume's file holds its bytes as they are, for any program; use --layout log, or LUKS (cryptsetup) on the device"
            );
            return Err(EngineError::refused(ErrorKind::Unsupported, message));
        }
        if is_direct {
            self.check_writes(&operation)?;
            self.check_block_size(&operation, new.block_size)?;
        } else {
            self.check_log_store(&operation)?;
        }
        let key = names::volume(&new.name);
        let mut record = VolumeRecord {
            id: new.id,
            name: new.name,
            layout: new.layout,
            size: new.size,
            block_size: new.block_size,
            dialect: self.dialect().filter(|_| is_direct).map(str::to_owned),
            durability: new.durability,
            compression: Compression::default(),
            encryption: None,
            rate_limits: RateLimits::default(),
            created_at: new.created_at,
            state: LifeState::Creating,
            trash: None,
            log_id: None,
            conversion: None,
            incompat: Vec::new(),
            ro_compat: Vec::new(),
            other: OtherFields::new(),
        };
        record.compress(new.compression);
        record.settle();
        if let Some((encryption, _)) = new.encryption {
            record.encrypt(encryption);
        }
        let created = self.create(&key, &record).await?;
        let is_ours = created.is_some();
        if let Some(etag) = created.and_then(|written| written.etag) {
            return Ok(Begun {
                record,
                etag: Some(etag),
                is_ours,
                before: None,
            });
        }
        let seen = self.require(&record.name).await?;
        let mut begun = Begun {
            record,
            etag: seen.etag,
            is_ours,
            before: None,
        };
        let (ours, theirs) = (&begun.record, seen.record);
        if theirs.id == ours.id {
            return Ok(begun);
        }
        let is_the_same = theirs.state == LifeState::Creating
            && theirs.layout == ours.layout
            && theirs.size == ours.size
            && theirs.block_size == ours.block_size;
        if !is_the_same {
            return Err(taken(&self.full(&ours.name), &theirs));
        }
        if is_direct {
            begun.record = theirs;
        } else {
            self.replace(&key, &begun.record, begun.etag).await?;
            begun.etag = self.require(&begun.record.name).await?.etag;
            begun.is_ours = true;
            begun.before = Some(theirs.id);
        }
        Ok(begun)
    }

    /// Says that a volume is there, or takes back that it was begun.
    async fn finish(&self, begun: Begun, made: Result<(), EngineError>) -> Result<VolumeRecord, EngineError> {
        let Begun {
            mut record,
            etag,
            is_ours,
            before,
        } = begun;
        if let Err(e) = made {
            // Only a record of this very call is taken back: another's unfinished create is not ours to end.
            if is_ours {
                clean_up(self.forget_half_made(&record, &e)).await;
            }
            return Err(e);
        }
        tracing::debug!(volume = %record.name, "its data has been made");
        record.state = LifeState::Ready;
        self.replace(&names::volume(&record.name), &record, etag).await?;
        if let Some(before) = before {
            self.clear_log(before).await;
        }
        Ok(record)
    }

    async fn make_object(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        let data = names::data(&record.name);
        let condition = if self.capabilities.exclusive_create {
            Precondition::Absent
        } else {
            self.require_absent(record).await?;
            Precondition::Always
        };
        let took = match self.store.create(&data, condition).await {
            Ok(written) => written.instance,
            Err(e) if e.kind() == ErrorKind::Conflict => {
                // Ours from an earlier try, or a foreign file: one with content is foreign.
                let found = self.store.head(&data).await?;
                let size = found.size;
                let earlier_try = found.in_place
                    && (size == 0 || (size == record.size && self.reads_as_zeros(&data, size).await?));
                if !earlier_try {
                    return Err(foreign(&self.full(&record.name), size));
                }
                None
            }
            Err(e) => return Err(e.into()),
        };
        self.set_object_size(record, record.size, took).await
    }

    /// Both ends of an object that an unfinished create may have left: enough to tell it from a file with content.
    async fn reads_as_zeros(&self, key: &restblk_store::Key, size: u64) -> Result<bool, EngineError> {
        let len = size.min(4096);
        for offset in [0, size - len] {
            let Some(range) = restblk_types::Extent::new(offset, len) else {
                return Ok(false);
            };
            let bytes = self.store.get(key, Some(range)).await?.payload.into_bytes();
            if bytes.iter().any(|b| *b != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn require_absent(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        match self.store.head(&names::data(&record.name)).await {
            Ok(info) if info.size == 0 && info.in_place => Ok(()),
            Ok(info) => Err(foreign(&self.full(&record.name), info.size)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Sets the size and flushes it, together with an earlier change that this cache of the store `took`.
    pub(crate) async fn set_object_size(
        &self,
        record: &VolumeRecord,
        size: u64,
        took: Option<Instance>,
    ) -> Result<(), EngineError> {
        let data = names::data(&record.name);
        if self.capabilities.resize == Resize::None {
            return Err(EngineError::refused(
                ErrorKind::Unsupported,
                format!(
                    "set the size of {data}: the store at {} cannot",
                    self.store.location()
                ),
            ));
        }
        let took: Vec<Instance> = took
            .into_iter()
            .chain(self.store.set_size(&data, size).await?)
            .collect();
        let is = self.store.head(&data).await?.size;
        if is < size {
            return Err(EngineError::refused(
                ErrorKind::Corrupt,
                format!("set the size of {data}: the store said yes and the object has {is} of {size} bytes"),
            ));
        }
        Ok(flush(&*self.store, &data, &took).await?)
    }

    async fn forget_half_made(&self, record: &VolumeRecord, why: &EngineError) {
        let foreign = why.kind() == ErrorKind::Exists;
        if !foreign && let Err(e) = self.remove_data(record).await {
            tracing::warn!(volume = %record.name, error = %e, "a half-made volume stays; delete it when the store is well");
            return;
        }
        if let Err(e) = self.remove(&names::volume(&record.name), None).await {
            tracing::warn!(volume = %record.name, error = %e, "a half-made volume stays; delete it when the store is well");
        }
    }

    /// Removes the bytes of a volume; that there are none is as good.
    async fn remove_data(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        self.remove_other_side(record).await?;
        match record.layout {
            LayoutKind::Log => self.remove_log(record.log_id()).await,
            LayoutKind::Direct => match self
                .store
                .delete(&names::data(&record.name), Precondition::Always)
                .await
            {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
                _ => Ok(()),
            },
        }
    }

    /// A raw file that another program made becomes a volume. Its size must be a multiple of the block size.
    pub async fn adopt_volume(
        &self,
        id: VolumeId,
        name: VolumeName,
        created_at: String,
    ) -> Result<VolumeRecord, EngineError> {
        let found = self.store.head(&names::data(&name)).await?;
        self.check_in_place(&format!("adopt {}", self.full(&name)), &found)?;
        let (size, block_size) = (found.size, self.block_size_min());
        check_size(size, block_size)?;
        let record = VolumeRecord {
            id,
            name: name.clone(),
            layout: LayoutKind::Direct,
            size,
            block_size,
            dialect: self.dialect().map(str::to_owned),
            durability: Durability::default(),
            compression: Compression::default(),
            encryption: None,
            rate_limits: RateLimits::default(),
            created_at,
            state: LifeState::Ready,
            trash: None,
            log_id: None,
            conversion: None,
            incompat: Vec::new(),
            ro_compat: Vec::new(),
            other: OtherFields::new(),
        };
        self.create(&names::volume(&name), &record).await?;
        let seen = self.require(&name).await?.record;
        if seen.id == id {
            Ok(record)
        } else {
            Err(taken(&self.full(&name), &seen))
        }
    }

    /// A volume's record. `NotFound` where there is none.
    pub async fn record(&self, name: &VolumeName) -> Result<VolumeRecord, EngineError> {
        Ok(self.require(name).await?.record)
    }

    /// A volume and who holds it. `NotFound` where there is none.
    pub async fn volume(&self, name: &VolumeName) -> Result<VolumeInfo, EngineError> {
        let found = self.require(name).await?;
        let attachment = self.read::<AttachmentRecord>(&names::attachment(name)).await?;
        let attachment = attachment
            .map(|a| a.record)
            .filter(|a| a.volume == found.record.id);
        Ok(VolumeInfo {
            record: found.record,
            read_only_because: found.read_only_because,
            attachment,
        })
    }

    /// The names of all volumes, sorted.
    pub async fn volume_names(&self) -> Result<Vec<VolumeName>, EngineError> {
        let mut names: Vec<VolumeName> = self.names_in(&names::volumes()).await?;
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Makes a direct volume larger; the caller tells an attached device. `Invalid` where it is not larger.
    pub async fn extend_volume(&self, name: &VolumeName, size: u64) -> Result<VolumeRecord, EngineError> {
        let Found {
            mut record,
            etag,
            read_only_because,
        } = self.require_ready(name).await?;
        refuse_unknown(&read_only_because)?;
        self.require_settled("extend", &record)?;
        check_size(size, record.block_size)?;
        if size <= record.size {
            return Err(EngineError::refused(
                ErrorKind::Invalid,
                format!(
                    "extend {} to {}: it has {} already; a direct volume cannot shrink",
                    self.full(name),
                    ByteCount(size),
                    ByteCount(record.size)
                ),
            ));
        }
        if record.layout != LayoutKind::Direct {
            let message = format!(
                "extend {}: a volume of the log layout is extended while open",
                self.full(name)
            );
            return Err(EngineError::refused(ErrorKind::Bug, message));
        }
        let data = names::data(name);
        let is = self.store.head(&data).await?.size;
        let took = if is > record.size && self.capabilities.resize == Resize::Native {
            // An extend that did not finish, or a foreign hand: what lies beyond the volume's end must not show up in it.
            self.store.set_size(&data, record.size).await?
        } else {
            None
        };
        self.set_object_size(&record, size, took).await?;
        record.size = size;
        self.replace(&names::volume(name), &record, etag).await?;
        Ok(record)
    }

    /// Has the record follow the size that an open volume has.
    pub async fn note_size(&self, name: &VolumeName, size: u64) -> Result<VolumeRecord, EngineError> {
        self.change(name, |record| {
            record.size = size;
            Ok(())
        })
        .await
    }

    /// Sets what a flush of a log volume waits for, wherever it is attached from now on.
    pub async fn set_durability(
        &self,
        name: &VolumeName,
        durability: Durability,
    ) -> Result<VolumeRecord, EngineError> {
        self.change(name, |record| {
            let what = format!("set what a flush of {} waits for", self.full(name));
            log_alone(record, &what, "a direct volume is on the store alone")?;
            record.durability = durability;
            Ok(())
        })
        .await
    }

    /// Sets how the data of a log volume is packed, wherever it is attached from now on.
    pub async fn set_compression(
        &self,
        name: &VolumeName,
        compression: Compression,
    ) -> Result<VolumeRecord, EngineError> {
        self.change(name, |record| {
            let what = format!("set how {} is packed", self.full(name));
            log_alone(
                record,
                &what,
                "a direct volume's file holds its bytes as they are",
            )?;
            record.compress(compression);
            Ok(())
        })
        .await
    }

    /// Has an encrypted volume opened by other keys from now on; `Conflict` where they are not those that were seen any more.
    pub async fn set_keys(
        &self,
        name: &VolumeName,
        seen: &Encryption,
        keys: Encryption,
    ) -> Result<VolumeRecord, EngineError> {
        self.change(name, |record| {
            if record.encryption.as_ref() != Some(seen) {
                let message = format!(
                    "change the keys of {}: somebody else did so meanwhile; look again (restblk show)",
                    self.full(name)
                );
                return Err(EngineError::refused(ErrorKind::Conflict, message));
            }
            record.encryption = Some(keys);
            Ok(())
        })
        .await
    }

    /// Sets how much I/O the volume may do, wherever it is attached from now on.
    pub async fn limit_volume(
        &self,
        name: &VolumeName,
        limits: RateLimits,
    ) -> Result<VolumeRecord, EngineError> {
        if let Err(e) = limits.check() {
            let message = format!("limit {}: {e}", self.full(name));
            return Err(EngineError::refused(ErrorKind::Invalid, message));
        }
        self.change(name, |record| {
            record.rate_limits = limits;
            Ok(())
        })
        .await
    }

    /// Changes the record of a volume that is ready.
    async fn change(
        &self,
        name: &VolumeName,
        change: impl FnOnce(&mut VolumeRecord) -> Result<(), EngineError>,
    ) -> Result<VolumeRecord, EngineError> {
        let Found {
            mut record,
            etag,
            read_only_because,
        } = self.require_ready(name).await?;
        refuse_unknown(&read_only_because)?;
        let before = record.clone();
        change(&mut record)?;
        if record != before {
            self.replace(&names::volume(name), &record, etag).await?;
        }
        Ok(record)
    }

    /// Removes a volume and its bytes, or goes on with a delete that did not finish. `Busy` while anybody holds it.
    pub async fn delete_volume(&self, name: &VolumeName) -> Result<(), EngineError> {
        let Found {
            mut record,
            etag,
            read_only_because,
        } = self.require(name).await?;
        refuse_unknown(&read_only_because)?;
        self.require_free(&record).await?;
        if record.state == LifeState::Trashing {
            let message = format!(
                "delete {} at once: its move to the trash did not finish; finish it (restblk delete), and purge it there",
                self.full(name)
            );
            return Err(EngineError::refused(ErrorKind::Conflict, message));
        }
        if record.layout == LayoutKind::Log {
            self.require_unused("delete", &record).await?;
        }
        if record.state != LifeState::Deleting {
            let before = record.clone();
            record.state = LifeState::Deleting;
            self.close_for_new(before, &record, etag).await?;
        }
        self.remove_data(&record).await?;
        self.forget_holder(name).await?;
        self.remove(&names::volume(name), None).await
    }

    /// Writes a record by which nobody attaches the volume any more, or takes it back where somebody just did.
    pub(crate) async fn close_for_new(
        &self,
        before: VolumeRecord,
        closed: &VolumeRecord,
        etag: Option<ETag>,
    ) -> Result<(), EngineError> {
        let key = names::volume(&closed.name);
        self.replace(&key, closed, etag).await?;
        // An attach takes its lease and then reads the record; we wrote the record and now look for a lease:
        // of two that race, at least one sees the other.
        if let Err(busy) = self.require_free(closed).await {
            let seen = self.require(&closed.name).await?;
            self.replace(&key, &before, seen.etag).await?;
            return Err(busy);
        }
        Ok(())
    }

    /// Removes what is left of a volume's last attachment.
    pub(crate) async fn forget_holder(&self, name: &VolumeName) -> Result<(), EngineError> {
        let attachment = names::attachment(name);
        match self.read::<AttachmentRecord>(&attachment).await? {
            Some(stale) => self.remove(&attachment, stale.etag).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn require_free(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        let attached = self
            .read::<AttachmentRecord>(&names::attachment(&record.name))
            .await?;
        match attached.map(|a| a.record).filter(|a| a.volume == record.id) {
            None => Ok(()),
            Some(held) => Err(EngineError::refused(
                ErrorKind::Busy,
                format!(
                    "delete {}: host {} holds it since {}",
                    self.full(&record.name),
                    held.hostname,
                    held.since
                ),
            )),
        }
    }

    /// The record of a volume, whatever its state.
    pub(crate) async fn require(&self, name: &VolumeName) -> Result<Found<VolumeRecord>, EngineError> {
        let found = self.read::<VolumeRecord>(&names::volume(name)).await?;
        let found = found.ok_or_else(|| {
            EngineError::refused(
                ErrorKind::NotFound,
                format!(
                    "find {}: there is no such volume at {}",
                    self.full(name),
                    self.store.location()
                ),
            )
        })?;
        if found.record.name != *name {
            return Err(EngineError::refused(
                ErrorKind::Corrupt,
                format!(
                    "find {}: its record names \"{}\": it was moved or copied by hand",
                    self.full(name),
                    found.record.name
                ),
            ));
        }
        Ok(found)
    }

    /// The record of a volume that is neither half made nor half deleted.
    pub(crate) async fn require_ready(&self, name: &VolumeName) -> Result<Found<VolumeRecord>, EngineError> {
        let found = self.require(name).await?;
        self.check_ready(&found.record)?;
        Ok(found)
    }

    /// `Conflict` where a volume is half made or half deleted.
    pub(crate) fn check_ready(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        let next = match record.state {
            LifeState::Ready => return Ok(()),
            LifeState::Creating => {
                "its create did not finish: create it again with the same size, or delete it"
            }
            LifeState::Deleting => "its delete did not finish: delete it again",
            LifeState::Trashing => "its move to the trash did not finish: delete it again",
        };
        Err(EngineError::refused(
            ErrorKind::Conflict,
            format!("use {}: {next}", self.full(&record.name)),
        ))
    }
}

/// Refuses a volume of the direct layout, and says why it has no such choice.
pub(crate) fn log_alone(record: &VolumeRecord, what: &str, why: &str) -> Result<(), EngineError> {
    if record.layout == LayoutKind::Log {
        return Ok(());
    }
    Err(EngineError::refused(
        ErrorKind::Unsupported,
        format!("{what}: {why}"),
    ))
}

pub(crate) fn check_size(size: u64, block_size: BlockSize) -> Result<(), EngineError> {
    let block = u64::from(block_size.bytes());
    let reason = if size == 0 {
        "a volume has at least one block".to_owned()
    } else if size > SIZE_MAX {
        format!("at most {} are possible", ByteCount(SIZE_MAX))
    } else if !size.is_multiple_of(block) {
        format!(
            "it is no multiple of the block size of {block} bytes; the next one is {}",
            size.next_multiple_of(block)
        )
    } else {
        return Ok(());
    };
    Err(EngineError::refused(
        ErrorKind::Invalid,
        format!("take a size of {size} bytes: {reason}"),
    ))
}

pub(crate) fn refuse_unknown(features: &[String]) -> Result<(), EngineError> {
    if features.is_empty() {
        return Ok(());
    }
    let features = features.join(", ");
    Err(EngineError::refused(
        ErrorKind::Unsupported,
        format!(
            "change the volume: it has features that this version does not know: {features}; use a newer restblk"
        ),
    ))
}

pub(crate) fn taken(full: &str, by: &VolumeRecord) -> EngineError {
    let message = match by.state {
        LifeState::Ready => format!(
            "create {full}: the name is taken, by a volume of {} made {}",
            ByteCount(by.size),
            by.created_at
        ),
        LifeState::Creating => format!(
            "create {full}: a create of {} did not finish; create it with that size, or delete it first",
            ByteCount(by.size)
        ),
        LifeState::Deleting => {
            format!("create {full}: a delete of that name did not finish; delete it again first")
        }
        LifeState::Trashing => {
            format!("create {full}: the move of that name to the trash did not finish; delete it again first")
        }
    };
    EngineError::refused(ErrorKind::Exists, message)
}

fn foreign(full: &str, size: u64) -> EngineError {
    EngineError::refused(
        ErrorKind::Exists,
        format!(
            "create {full}: the store has a file of that name, of {size} bytes, that is no volume; \
             make it one with `volume adopt`, or choose another name"
        ),
    )
}
