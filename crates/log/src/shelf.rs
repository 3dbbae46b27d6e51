//! A volume's objects on the store: their names, and how they are made, read and removed.
//!
//! ```text
//! .restblk/vol/ID/epoch/E      .restblk/vol/ID/head/E/N
//! .restblk/vol/ID/log/E/S      .restblk/vol/ID/map/E/S      .restblk/vol/ID/gc/E/S
//! ```
//! A shelf may have the volume's data key: then nothing that says what is where, or what it holds, is believed without the volume's seal.
//!
//! Every object is created, never replaced. Whether a create won is decided by the object itself: after anything but a
//! plain success it is read back, and its nonce compared.

use crate::LogError;
use crate::defect::Defect;
use crate::usage::Traffic;
use bytes::Bytes;
use restblk_format::log::{DataKey, HEADER_LEN, Head, Header, Kind, SealKey, SegmentHead, SegmentNumber};
use restblk_store::{Durability, Instance, Key, Page, Payload, Precondition, Store};
use restblk_types::{ErrorKind, Extent, VolumeId};
use std::sync::Arc;

/// Tries of a create whose answer was lost, before it is an error. Behind mirrors one is enough; a bare store loses answers.
const TRIES: usize = 8;

/// Objects on one page of a listing.
const LISTED: usize = 1000;

/// A series of objects, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// The epochs themselves; the epoch is the number.
    Epochs,
    /// The heads of an epoch.
    Heads(u32),
    /// The segments of an epoch.
    Segments(Kind, u32),
}

/// How a create ended.
#[derive(Debug)]
pub(crate) enum Created {
    /// The object is ours.
    Ours,
    /// Somebody else's object is there.
    Theirs(Header),
}

/// A volume's folder on a store.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    store: Arc<dyn Store>,
    pub(crate) volume: VolumeId,
    traffic: Arc<Traffic>,
    key: Option<DataKey>,
}

impl Shelf {
    pub(crate) fn new(store: Arc<dyn Store>, volume: VolumeId) -> Self {
        Self {
            store,
            volume,
            traffic: Arc::default(),
            key: None,
        }
    }

    /// The same, of a volume that is encrypted, if there is a key.
    pub(crate) fn with_key(self, key: Option<DataKey>) -> Self {
        Self { key, ..self }
    }

    /// The same store's shelf of a volume of the same family, which has the same data key; what goes over it counts as this one's.
    pub(crate) fn of(&self, volume: VolumeId) -> Self {
        Self {
            volume,
            ..self.clone()
        }
    }

    /// What went over it.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The volume's data key, where it is encrypted.
    pub(crate) fn key_of_data(&self) -> Option<&DataKey> {
        self.key.as_ref()
    }

    /// The key of what was born in a segment.
    pub(crate) fn segment_key(&self, epoch: u32, segment: SegmentNumber) -> Option<SealKey> {
        let key = self.key.as_ref()?;
        Some(key.segment(self.volume, epoch, segment))
    }

    /// The key of the volume's heads.
    pub(crate) fn heads_key(&self) -> Option<SealKey> {
        Some(self.key.as_ref()?.heads(self.volume))
    }

    /// Refuses a head that nobody wrote who had the key.
    pub(crate) fn check_head(&self, key: &Key, bytes: &[u8]) -> Result<(), LogError> {
        match self.heads_key() {
            Some(seal) if !Head::is_sealed(bytes, &seal) => Err(unsealed(key)),
            _ => Ok(()),
        }
    }

    /// Header and index of a segment, if they are this volume's.
    pub(crate) fn read_index(&self, key: &Key, bytes: &[u8]) -> Result<SegmentHead, LogError> {
        let head = SegmentHead::decode(bytes).map_err(crate::error::format_error(key))?;
        self.belongs(key, &head.header)?;
        let of = head.header.segment;
        match of.and_then(|of| self.segment_key(head.header.epoch, of)) {
            Some(seal) if !head.is_sealed(&seal) => Err(unsealed(key)),
            _ => Ok(head),
        }
    }

    pub(crate) fn key(&self, series: Series, number: u32) -> Key {
        valid(format!("{}/{number:010}", self.folder(series)))
    }

    fn folder(&self, series: Series) -> String {
        let volume = self.volume;
        match series {
            Series::Epochs => format!(".restblk/vol/{volume}/epoch"),
            Series::Heads(epoch) => format!(".restblk/vol/{volume}/head/{epoch:010}"),
            Series::Segments(kind, epoch) => format!(".restblk/vol/{volume}/{}/{epoch:010}", kind.name()),
        }
    }

    /// Objects of a series as the store lists them, from where an earlier page ended.
    pub(crate) async fn list(&self, series: Series, start: Option<&str>) -> Result<Page, LogError> {
        let folder = valid(self.folder(series));
        match self.store.list(Some(&folder), start, LISTED).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Page::default()),
            listed => Ok(listed?),
        }
    }

    /// Creates an object that says this nonce, and makes it durable.
    pub(crate) async fn create(
        &self,
        key: &Key,
        bytes: Bytes,
        nonce: &[u8; 16],
    ) -> Result<Created, LogError> {
        let mut tries = 0;
        loop {
            tries += 1;
            Traffic::count(&self.traffic.put, bytes.len());
            let error = match self.store.put(key, bytes.clone(), Precondition::Absent).await {
                Ok(written) if self.settle(key, &bytes, Some(written.instance)).await? => {
                    return Ok(Created::Ours);
                }
                Ok(_) => continue,
                Err(error) => error,
            };
            let lost = error.is_ambiguous() || error.kind().is_transient();
            if error.kind() != ErrorKind::Conflict && !lost {
                return Err(error.into());
            }
            match self.header(key).await {
                Ok(Some(header)) if header.nonce == *nonce || Defect::NonceNotCompared.is_made() => {
                    if self.settle(key, &bytes, None).await? {
                        return Ok(Created::Ours);
                    }
                }
                Ok(Some(header)) => return Ok(Created::Theirs(header)),
                Ok(None) if tries < TRIES => {}
                Ok(None) => return Err(error.into()),
                Err(_) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes an object survive the server's power loss, where that takes a request of its own; false where the server lost it
    /// before. `took` is what the answer of the create told; where there was no answer, or the machine that took it is not the one
    /// that was flushed, what is there is compared.
    async fn settle(
        &self,
        key: &Key,
        bytes: &Bytes,
        took: Option<Option<Instance>>,
    ) -> Result<bool, LogError> {
        if self.store.capabilities().durability == Durability::OnWrite {
            return Ok(true);
        }
        let (mut tries, answered) = (0, took.is_some());
        let took = took.flatten();
        let flushed = loop {
            tries += 1;
            match self.store.flush(key, took.as_slice()).await {
                Ok(flushed) => break flushed,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                Err(error) if error.kind().is_transient() && tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        };
        if answered && flushed.misses(took.as_slice()).is_none() {
            return Ok(true);
        }
        match self.whole(key).await? {
            None => Ok(false),
            Some(there) if there == *bytes || Defect::NonceNotCompared.is_made() => Ok(true),
            Some(_) => Err(LogError::corrupt(
                key,
                "the server has lost its power and kept a part of it",
            )),
        }
    }

    /// A range of an object; `None` where there is no object, `Corrupt` where it ends before.
    pub(crate) async fn range(&self, key: &Key, offset: u64, len: u64) -> Result<Option<Bytes>, LogError> {
        Ok(self.pieces(key, offset, len).await?.map(Payload::into_bytes))
    }

    /// The same as it comes.
    pub(crate) async fn pieces(&self, key: &Key, offset: u64, len: u64) -> Result<Option<Payload>, LogError> {
        let extent = Extent::new(offset, len)
            .ok_or_else(|| LogError::bug(format!("read {len} bytes at {offset} of {key}")))?;
        match self.get(key, Some(extent)).await {
            // What a store says where the range is past the end.
            Err(error) if error.kind() == ErrorKind::Invalid => {
                Err(LogError::corrupt(key, format!("it is cut off: {error}")))
            }
            got => got,
        }
    }

    /// A whole object; `None` where there is none.
    pub(crate) async fn whole(&self, key: &Key) -> Result<Option<Bytes>, LogError> {
        Ok(self.all_pieces(key).await?.map(Payload::into_bytes))
    }

    /// The same as it comes.
    pub(crate) async fn all_pieces(&self, key: &Key) -> Result<Option<Payload>, LogError> {
        self.get(key, None).await
    }

    async fn get(&self, key: &Key, range: Option<Extent>) -> Result<Option<Payload>, LogError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.store.get(key, range).await {
                Ok(fetched) => {
                    let payload = fetched.payload;
                    let (offset, len) = (range.map_or(0, |range| range.offset()), payload.len());
                    tracing::trace!(%key, offset, len, "fetched");
                    Traffic::count(&self.traffic.fetched, len);
                    return Ok(Some(payload));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if error.kind().is_transient() && tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// An object's header; `None` where there is no object.
    pub(crate) async fn header(&self, key: &Key) -> Result<Option<Header>, LogError> {
        let Some(bytes) = self.range(key, 0, HEADER_LEN as u64).await? else {
            return Ok(None);
        };
        let header = Header::peek(&bytes).map_err(crate::error::format_error(key))?;
        self.belongs(key, &header)?;
        Ok(Some(header))
    }

    /// Whether there is an object, whatever it is: a damaged one takes its place as well.
    pub(crate) async fn is_there(&self, key: &Key) -> Result<bool, LogError> {
        match self.header(key).await {
            Ok(header) => Ok(header.is_some()),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// An object's length in bytes; `None` where there is no object.
    pub(crate) async fn len(&self, key: &Key) -> Result<Option<u64>, LogError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.store.head(key).await {
                Ok(info) => return Ok(Some(info.size)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) if error.kind().is_transient() && tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Refuses an object of another volume.
    pub(crate) fn belongs(&self, key: &Key, header: &Header) -> Result<(), LogError> {
        if header.volume == self.volume {
            return Ok(());
        }
        Err(LogError::corrupt(
            key,
            format!("it is an object of the volume {}", header.volume),
        ))
    }

    /// Removes an object; that there is none is as good.
    pub(crate) async fn remove(&self, key: &Key) -> Result<(), LogError> {
        match self.store.delete(key, Precondition::Always).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn unsealed(key: &Key) -> LogError {
    LogError::corrupt(key, "it is not what was sealed with the volume's key")
}

#[expect(
    clippy::expect_used,
    reason = "an id and numbers of ten digits make a valid key"
)]
fn valid(name: String) -> Key {
    Key::new(name).expect("a valid key")
}
