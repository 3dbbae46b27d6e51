//! What a conversion asks of the repository: the volume's record from stage to stage, and the objects of the two sides.

use crate::{
    EngineError, Lease, Repository, log::creator, names, repository::Found, volumes::refuse_unknown,
};
use restblk_format::{Conversion, ConversionStage, LayoutKind, VolumeRecord};
use restblk_log::Writer;
use restblk_store::{Precondition, Resize};
use restblk_types::{ByteCount, Compression, Durability, ErrorKind, VolumeId, VolumeName};
use std::time::Duration;

/// Tries of a change while others change the record too.
const TRIES: usize = 8;

/// Pauses between tries of the switch.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a volume is to become.
#[derive(Clone, Debug)]
pub struct NewLayout {
    /// The layout.
    pub to: LayoutKind,
    /// The id for the objects of a log volume; random.
    pub log_id: VolumeId,
    /// What a flush of a log volume waits for.
    pub durability: Durability,
    /// How its data is packed.
    pub compression: Compression,
    /// Now, RFC 3339, UTC.
    pub since: String,
}

impl Repository {
    /// Writes down that a volume is to be converted, or finds that it is already; nothing where that is refused.
    pub async fn begin_conversion(
        &self,
        name: &VolumeName,
        new: &NewLayout,
    ) -> Result<VolumeRecord, EngineError> {
        let Found {
            mut record,
            etag,
            read_only_because,
        } = self.require_ready(name).await?;
        refuse_unknown(&read_only_because)?;
        let operation = format!("convert {}", self.full(name));
        if let Some(begun) = &record.conversion {
            if begun.to == new.to && begun.stage != ConversionStage::Leaving {
                return Ok(record);
            }
            let message = format!(
                "{operation}: its conversion to {} is {}; wait for that",
                word(begun.to),
                if begun.stage == ConversionStage::Leaving {
                    "being taken back"
                } else {
                    "under way, or take it back (--cancel)"
                }
            );
            return Err(EngineError::refused(ErrorKind::Busy, message));
        }
        if record.layout == new.to {
            let message = format!("{operation}: it is of the layout {} already", word(new.to));
            return Err(EngineError::refused(ErrorKind::Invalid, message));
        }
        match new.to {
            LayoutKind::Log => self.check_to_log(&operation, &record)?,
            LayoutKind::Direct => self.check_to_direct(&operation, &record).await?,
        }
        record.convert(Some(Conversion {
            to: new.to,
            stage: ConversionStage::Making,
            log_id: match new.to {
                LayoutKind::Log => new.log_id,
                LayoutKind::Direct => record.log_id(),
            },
            durability: new.durability,
            compression: new.compression,
            dialect: self
                .dialect()
                .filter(|_| new.to == LayoutKind::Direct)
                .map(str::to_owned),
            since: new.since.clone(),
        }));
        self.replace(&names::volume(name), &record, etag).await?;
        Ok(record)
    }

    fn check_to_log(&self, operation: &str, record: &VolumeRecord) -> Result<(), EngineError> {
        self.check_log_store(operation)?;
        restblk_log::check_size(record.size).map_err(|_| {
            let next = record.size.next_multiple_of(4096);
            let message = format!(
                "{operation}: it has {} bytes, and a log volume has a multiple of 4096 up to 128 TiB; extend it to {next} first",
                record.size
            );
            EngineError::refused(ErrorKind::Invalid, message)
        })
    }

    async fn check_to_direct(&self, operation: &str, record: &VolumeRecord) -> Result<(), EngineError> {
        if record.encryption.is_some() {
            let message = format!(
                "{operation}: it is encrypted, and a direct volume's file would hold its bytes in the clear, for any program"
            );
            return Err(EngineError::refused(ErrorKind::Unsupported, message));
        }
        self.check_writes(operation)?;
        self.check_block_size(operation, record.block_size)?;
        if self.capabilities().resize == Resize::None {
            let message = format!(
                "{operation}: the store at {} cannot set the size of a file",
                self.store.location()
            );
            return Err(EngineError::refused(ErrorKind::Unsupported, message));
        }
        self.require_unused("convert", record).await?;
        match self.store.head(&names::data(&record.name)).await {
            Ok(found) => Err(foreign(operation, found.size)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Has the record of a conversion say where that stands, if it says what it was believed to say; `Conflict` where it does not.
    pub(super) async fn mark(
        &self,
        name: &VolumeName,
        seen: &Conversion,
        next: Option<Conversion>,
    ) -> Result<VolumeRecord, EngineError> {
        for _ in 0..TRIES {
            let Found { mut record, etag, .. } = self.require_ready(name).await?;
            if record.conversion == next {
                return Ok(record);
            }
            self.expect(&record, seen)?;
            record.convert(next.clone());
            match self.replace(&names::volume(name), &record, etag).await {
                Ok(()) => return Ok(record),
                // Somebody changed something else of it.
                Err(e) if e.kind() == ErrorKind::Conflict => {}
                Err(e) => return Err(e),
            }
        }
        let message = format!("convert {}: its record is changed all the time", self.full(name));
        Err(EngineError::refused(ErrorKind::Conflict, message))
    }

    fn expect(&self, record: &VolumeRecord, seen: &Conversion) -> Result<(), EngineError> {
        if record.conversion.as_ref() == Some(seen) {
            return Ok(());
        }
        let message = format!(
            "convert {}: another host went on with it, or took it back; look again (restblk show)",
            self.full(&record.name)
        );
        Err(EngineError::refused(ErrorKind::Conflict, message))
    }

    /// Has the record say that the volume has its new layout. Nobody may be changing the volume: once this was asked and no answer says
    /// that it was not done, there is no way back, and it is asked until it is done, or the volume is not ours any more.
    pub(super) async fn switch(
        &self,
        lease: &Lease,
        name: &VolumeName,
        seen: &Conversion,
    ) -> Result<VolumeRecord, EngineError> {
        let (key, mut pause) = (names::volume(name), PAUSE_MIN);
        let done = Conversion {
            stage: ConversionStage::Clearing,
            ..seen.clone()
        };
        // A request was sent that may have been done, or may yet be.
        let mut is_open = false;
        loop {
            let error = match self.require_ready(name).await {
                Ok(Found { record, etag, .. }) => {
                    let after = if record.conversion.as_ref() == Some(&done) {
                        // It was, and is written again to be flushed.
                        is_open = true;
                        record
                    } else {
                        self.expect(&record, seen)?;
                        let after = record.converted();
                        after.ok_or_else(|| EngineError::refused(ErrorKind::Bug, "switch the layout"))?
                    };
                    match self.put(&key, &after, etag).await {
                        Ok(written) => {
                            is_open = true;
                            match self.flushed(&key, written).await {
                                Ok(_) => return Ok(after),
                                Err(e) => e,
                            }
                        }
                        Err(e) => {
                            is_open |= matches!(&e, EngineError::Store(e) if e.is_ambiguous());
                            e
                        }
                    }
                }
                Err(e) => e,
            };
            if !is_open && error.kind() != ErrorKind::Conflict {
                return Err(error);
            }
            tracing::warn!(volume = self.full(name), %error, "whether the volume has its new layout is asked again; writes wait");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if let Err(e) = lease.check().await
                && e.kind() == ErrorKind::Fenced
            {
                return Err(e);
            }
        }
    }

    /// Makes the new side, empty.
    pub(super) async fn make_side(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        let Some(conversion) = &record.conversion else {
            return Ok(());
        };
        match conversion.to {
            LayoutKind::Log => {
                let writer = Writer {
                    nonce: *conversion.log_id.as_bytes(),
                    ..creator(record, None)
                };
                let (store, id) = (self.store.clone(), conversion.log_id);
                Ok(restblk_log::create(store, id, record.size, &writer).await?)
            }
            LayoutKind::Direct => self.make_file(record).await,
        }
    }

    /// Makes an empty file of the volume's name. One that is there has no bytes, or is foreign: it was looked for before.
    async fn make_file(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        let key = names::data(&record.name);
        match self.store.head(&key).await {
            Ok(found) if found.size == 0 && found.in_place => return Ok(()),
            Ok(found) => {
                let operation = format!("convert {}", self.full(&record.name));
                return Err(foreign(&operation, found.size));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        let condition = if self.capabilities.exclusive_create {
            Precondition::Absent
        } else {
            Precondition::Always
        };
        let written = self.store.create(&key, condition).await?;
        self.flushed(&key, written).await.map(drop)
    }

    /// Gives the new file its size, under the volume's lock where the store has locks.
    pub(super) async fn prepare_file(&self, lease: &Lease, record: &VolumeRecord) -> Result<(), EngineError> {
        lease.lock_file(true).await?;
        self.set_object_size(record, record.size, None).await
    }

    /// Removes a side; that there is nothing of it is as good. A file that was only just being made is removed if it is empty.
    pub(super) async fn remove_side(
        &self,
        lease: &Lease,
        record: &VolumeRecord,
        side: LayoutKind,
    ) -> Result<(), EngineError> {
        let Some(conversion) = &record.conversion else {
            return Ok(());
        };
        if side == LayoutKind::Log {
            return self.remove_log(conversion.log_id).await;
        }
        if !self.has_file(record, conversion.stage).await? {
            return Ok(());
        }
        match lease.lock_file(true).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            locked => locked?,
        }
        let removed = self.remove(&names::data(&record.name), None).await;
        lease.unlock_file().await?;
        removed
    }

    /// Removes what a conversion that did not end has on the store beside the volume itself; nobody may be using it.
    pub(crate) async fn remove_other_side(&self, record: &VolumeRecord) -> Result<(), EngineError> {
        let Some(conversion) = &record.conversion else {
            return Ok(());
        };
        match record.layout {
            LayoutKind::Direct => self.remove_log(conversion.log_id).await,
            LayoutKind::Log if self.has_file(record, conversion.stage).await? => {
                self.remove(&names::data(&record.name), None).await
            }
            LayoutKind::Log => Ok(()),
        }
    }

    /// Whether a file of the volume's name is the volume's: before it was written down that it was made, one that has bytes is not.
    async fn has_file(&self, record: &VolumeRecord, stage: ConversionStage) -> Result<bool, EngineError> {
        if stage != ConversionStage::Making {
            return Ok(true);
        }
        match self.store.head(&names::data(&record.name)).await {
            Ok(found) => Ok(found.size == 0),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// A layout's name, for people.
fn word(layout: LayoutKind) -> &'static str {
    match layout {
        LayoutKind::Direct => "direct",
        LayoutKind::Log => "log",
    }
}

fn foreign(operation: &str, size: u64) -> EngineError {
    let message = format!(
        "{operation}: the store has a file of its name, of {}, that is not the volume's; move it away",
        ByteCount(size)
    );
    EngineError::refused(ErrorKind::Exists, message)
}
