//! The journal: a ring of records on the host's disk, ahead of the store. Bytes: `restblk_format::log::JournalRecord`.
//!
//! A write is in the journal before it is answered, so it survives the daemon; a sync makes what is there survive a loss of
//! power, for all that wait at once. Records are let go once their segment is on the store.
//!
//! Invariants:
//! - what is in the ring is in the order in which the batches took it, and a record is written only after the one before it;
//! - space is written again only after a label that does not need it was synced;
//! - of an encrypted volume every record is sealed with its writer's epoch's key; only a whole, sealed one is done again;
//! - a failed write or sync is the last thing that is done: nothing is believed of the disk from then on.

use crate::LogError;
use crate::defect::Defect;
use async_trait::async_trait;
use restblk_format::log::{DataKey, JournalRecord, LABEL_LEN, Label, RECORD_UNIT, RECORDS_START, SealKey};
use restblk_types::{ErrorKind, VolumeId};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Below this, a journal is of no use: 16 of the longest records.
pub(crate) const CAPACITY_MIN: u64 = if cfg!(test) { 3 << 20 } else { 32 << 20 };

/// Bytes of data up to which a record is put together and written by one call; the copy of a longer one costs more than a second call.
const SHORT: usize = 64 << 10;

/// A file or block device for a journal.
#[async_trait]
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Its name, for people.
    fn name(&self) -> String;
    /// Bytes that it has.
    fn capacity(&self) -> u64;
    /// Reads bytes at an offset.
    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Writes bytes at an offset; they survive the end of this process when it returns.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Makes all that was written before survive a loss of power.
    async fn sync(&self) -> io::Result<()>;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    ring: Mutex<Ring>,
    /// The position up to which all survives a loss of power.
    synced: watch::Sender<u64>,
    /// One sync at a time; those who wait for it share the next.
    turn: tokio::sync::Mutex<()>,
    /// Told when space was let go.
    pub(crate) freed: Notify,
}

/// The state of the ring.
#[derive(Debug)]
pub(crate) struct Ring {
    disk: Arc<dyn Disk>,
    /// As it is on the disk.
    label: Label,
    /// The first record that may not be on the store.
    tail: u64,
    /// Where the next record goes.
    head: u64,
    epoch: u32,
    /// The epoch's key, where the volume is encrypted.
    key: Option<SealKey>,
    /// A short record as it is written, used again for the next one.
    short: Vec<u8>,
    broken: Option<LogError>,
}

/// A record that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) first: u64,
    pub(crate) blocks: u32,
    pub(crate) data: Vec<u8>,
    pub(crate) end: u64,
}

/// How what is there was written.
#[derive(Debug)]
struct Written {
    label: Label,
    /// The key of the epochs' keys, where the volume is encrypted.
    key: Option<DataKey>,
}

/// What an earlier attachment left there, to be done again: read record by record, because a journal may be larger than the memory.
#[derive(Debug)]
pub(crate) struct Left {
    next: u64,
    end: u64,
    written: Written,
}

impl Left {
    /// The next record.
    pub(crate) fn next(&mut self, journal: &Journal) -> Result<Option<Found>, LogError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let ring = journal.ring();
        let Some(found) = ring.record(self.next, &self.written)? else {
            let changed = io::Error::other(format!("the record at {} was there, and is not", self.next));
            return Err(failed(ring.disk.as_ref(), "read", &changed));
        };
        self.next = found.end;
        Ok(Some(found))
    }
}

fn failed(disk: &dyn Disk, what: &str, error: &io::Error) -> LogError {
    let kind = if error.kind() == io::ErrorKind::StorageFull {
        ErrorKind::NoSpace
    } else {
        ErrorKind::Unavailable
    };
    let message = format!(
        "{what} the journal {}: {error}; nothing that was written since can be relied on: check the disk, then attach again",
        disk.name()
    );
    LogError::new(kind, message)
}

impl Ring {
    fn room(&self) -> u64 {
        self.label.capacity - RECORDS_START
    }

    /// Bytes that are in use, and all that there are.
    pub(crate) fn in_use(&self) -> (u64, u64) {
        (self.head - self.tail, self.room())
    }

    fn place(&self, position: u64) -> u64 {
        RECORDS_START + position % self.room()
    }

    /// The pieces of a range of positions: it may go round.
    fn pieces(&self, position: u64, len: usize) -> [(u64, std::ops::Range<usize>); 2] {
        let at = self.place(position);
        let straight = usize::try_from(self.label.capacity - at).map_or(len, |left| left.min(len));
        [(at, 0..straight), (RECORDS_START, straight..len)]
    }

    fn read(&self, position: u64, buf: &mut [u8]) -> Result<(), LogError> {
        for (at, range) in self.pieces(position, buf.len()) {
            if !range.is_empty() {
                let read = self.disk.read(at, &mut buf[range]);
                read.map_err(|error| failed(self.disk.as_ref(), "read", &error))?;
            }
        }
        Ok(())
    }

    fn write(&self, position: u64, data: &[u8]) -> Result<(), LogError> {
        for (at, range) in self.pieces(position, data.len()) {
            if !range.is_empty() {
                let written = self.disk.write(at, &data[range]);
                written.map_err(|error| failed(self.disk.as_ref(), "write", &error))?;
            }
        }
        Ok(())
    }

    /// Adds a record; `None` where there is no space. Returns where it ends.
    pub(crate) fn append(&mut self, first: u64, blocks: u32, data: &[u8]) -> Result<Option<u64>, LogError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let (position, stored) = (self.head, JournalRecord::stored_len(data.len()) as u64);
        if position + stored - self.label.tail > self.room() {
            return Ok(None);
        }
        let record = JournalRecord {
            position,
            epoch: self.epoch,
            first,
            blocks,
            data,
        };
        let written = match &self.key {
            Some(key) => self.write(position, &record.seal(key)),
            None if data.len() <= SHORT => {
                self.short.clear();
                self.short.extend_from_slice(&record.header());
                self.short.extend_from_slice(data);
                self.write(position, &self.short)
            }
            None => self
                .write(position, &record.header())
                .and_then(|()| self.write(position + RECORD_UNIT as u64, data)),
        };
        if let Err(error) = written {
            self.broken = Some(error.clone());
            return Err(error);
        }
        self.head += stored;
        Ok(Some(self.head))
    }

    /// The record at a position; `None` at the end.
    fn record(&self, position: u64, of: &Written) -> Result<Option<Found>, LogError> {
        let mut header = [0; RECORD_UNIT];
        self.read(position, &mut header)?;
        let Some(len) = JournalRecord::len_at(&header, position) else {
            return Ok(None);
        };
        let mut bytes = vec![0; len];
        self.read(position, &mut bytes)?;
        let label = &of.label;
        let is_of_it = |record: &JournalRecord| position < label.joined || record.epoch == label.epochs[1];
        let of_epoch = of
            .key
            .as_ref()
            .map(|key| move |epoch| key.journal(label.volume, epoch));
        let keys = of_epoch.as_ref().map(|keys| keys as &dyn Fn(u32) -> SealKey);
        let Some(record) = JournalRecord::decode(&mut bytes, position, keys).filter(is_of_it) else {
            return Ok(None);
        };
        Ok(Some(Found {
            first: record.first,
            blocks: record.blocks,
            data: record.data.to_vec(),
            end: position + len as u64,
        }))
    }

    fn write_label(&self, label: &Label) -> Result<(), LogError> {
        let written = self.disk.write(label.offset(), &label.encode());
        written.map_err(|error| failed(self.disk.as_ref(), "label", &error))
    }
}

impl Journal {
    /// Takes up the journal on a disk for a new epoch, before that one goes live. What another volume, or an epoch that is not
    /// `last_live`, left there is of no use any more: it is said so, and left behind. What is before `covered` is on the store: it
    /// is not done again, because the journal may have less than the store after a loss of power, and would take it back.
    pub(crate) async fn open(
        disk: Arc<dyn Disk>,
        volume: VolumeId,
        [last_live, epoch]: [u32; 2],
        covered: u64,
        key: Option<&DataKey>,
    ) -> Result<(Self, Left), LogError> {
        let capacity = disk.capacity() / RECORD_UNIT as u64 * RECORD_UNIT as u64;
        if capacity < CAPACITY_MIN {
            let message = format!(
                "use the journal {}: {capacity} bytes are too few, {CAPACITY_MIN} are the least",
                disk.name()
            );
            return Err(LogError::new(ErrorKind::Invalid, message));
        }
        let mut start = vec![0; 2 * LABEL_LEN];
        disk.read(0, &mut start)
            .map_err(|error| failed(disk.as_ref(), "read", &error))?;
        let before = Label::choose(&start).ok();
        let goes_on = |label: &Label| {
            label.volume == volume
                && label.capacity == capacity
                && (label.epochs.contains(&last_live) || Defect::StaleJournal.is_made())
        };
        let label = match before {
            Some(label) if goes_on(&label) => Label {
                count: label.count + 1,
                epochs: [last_live, epoch],
                tail: label.tail.max(covered),
                ..label
            },
            before => {
                if let Some(label) = before.filter(|label| label.volume == volume) {
                    tracing::error!(%volume, journal = disk.name(), epochs = ?label.epochs, last_live,
                        "another host has written to the volume since this journal was: what is only in the journal is not used");
                }
                // Beyond whatever position a record there may have.
                let tail = before.map_or(0, |label| label.tail + 4 * label.capacity.max(capacity));
                let tail = tail.next_multiple_of(RECORD_UNIT as u64);
                Label {
                    count: before.map_or(0, |label| label.count + 1),
                    volume,
                    capacity,
                    epochs: [last_live, epoch],
                    tail,
                    joined: tail,
                }
            }
        };
        let mut ring = Ring {
            disk: disk.clone(),
            label,
            tail: label.tail,
            head: label.tail,
            epoch,
            key: key.map(|key| key.journal(volume, epoch)),
            short: Vec::new(),
            broken: None,
        };
        let written = Written {
            label: before.unwrap_or(label),
            key: key.cloned(),
        };
        while let Some(record) = ring.record(ring.head, &written)? {
            ring.head = record.end;
        }
        let left = Left {
            next: ring.tail,
            end: ring.head,
            written,
        };
        ring.label.joined = ring.head;
        let label = ring.label;
        ring.write_label(&label)?;
        let journal = Self {
            disk,
            synced: watch::Sender::new(label.tail),
            ring: Mutex::new(ring),
            turn: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
        };
        let head = journal.ring().head;
        journal.sync(head).await?;
        Ok((journal, left))
    }

    /// Where its records begin: all before is on the store.
    pub(crate) fn begins(&self) -> u64 {
        self.ring().label.tail
    }

    /// The ring, for one who adds to it.
    pub(crate) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes everything before a position survive a loss of power.
    pub(crate) async fn sync(&self, until: u64) -> Result<(), LogError> {
        loop {
            if *self.synced.borrow() >= until {
                return Ok(());
            }
            let _turn = self.turn.lock().await;
            if *self.synced.borrow() >= until {
                return Ok(());
            }
            let (head, broken) = {
                let ring = self.ring();
                (ring.head, ring.broken.clone())
            };
            if let Some(error) = broken {
                return Err(error);
            }
            if Defect::JournalNotSynced.is_made() {
                return Ok(());
            }
            self.sync_disk().await?;
            self.synced.send_replace(head);
        }
    }

    /// A sync that fails is the last thing that is done.
    async fn sync_disk(&self) -> Result<(), LogError> {
        let synced = self.disk.sync().await;
        synced.map_err(|error| {
            let error = failed(self.disk.as_ref(), "sync", &error);
            self.ring().broken = Some(error.clone());
            error
        })
    }

    /// Lets records go whose segments are on the store.
    pub(crate) fn release(&self, until: u64) {
        let mut ring = self.ring();
        ring.tail = ring.tail.max(until);
    }

    /// Writes down what was let go, where that is worth it or `all` of it is wanted, so that its space can be used.
    pub(crate) async fn trim(&self, all: bool) -> Result<(), LogError> {
        let label = {
            let ring = self.ring();
            let gone = ring.tail - ring.label.tail;
            if gone == 0 || !(all || gone >= ring.room() / 8) {
                return Ok(());
            }
            let label = Label {
                count: ring.label.count + 1,
                tail: ring.tail,
                ..ring.label
            };
            ring.write_label(&label)?;
            label
        };
        self.sync_disk().await?;
        self.ring().label = label;
        self.freed.notify_waiters();
        Ok(())
    }
}
