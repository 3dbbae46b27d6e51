//! One repository: a store, what it was proved to do, and its records.
//!
//! Owns the rules by which records are created, replaced and removed:
//! - a create is exclusive: by the store's own means where they were proved; else only under [`Safety::SingleHost`],
//!   as look-then-put under this process' lock (the operator's word stands for the other hosts);
//! - a replacement goes by compare-and-set where that was proved, so that of two hosts that change a record one is told;
//! - what was written is flushed before anything is built on it.

use crate::{EngineError, flush::flush, names};
use bytes::Bytes;
use restblk_format::{Decoded, PoolRecord, Proved, Record};
use restblk_store::{Capabilities, ETag, Key, Marker, Precondition, Store, Written};
use restblk_types::{ErrorKind, VolumeName};
use std::{str::FromStr, sync::Arc};
use tokio::sync::Mutex;

/// On whose word two hosts do not create the same thing at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// The store's: its exclusive create was proved.
    Proved,
    /// The operator's: no other host uses this repository.
    SingleHost,
}

/// A repository, open.
#[derive(Debug)]
pub struct Repository {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) capabilities: Capabilities,
    dialect: Option<String>,
    pub(crate) label: String,
    id: String,
    /// Held from look to put where the store has no exclusive create.
    creating: Mutex<()>,
}

/// A record with the state of the object it came from.
pub(crate) struct Found<R> {
    pub(crate) record: R,
    pub(crate) read_only_because: Vec<String>,
    pub(crate) etag: Option<ETag>,
}

impl Repository {
    /// Opens the repository behind `store`; marks it as one with `fresh` where it was never used.
    ///
    /// `label` is what people here call it: the pool's name. `capabilities` are what the store was *proved* to do. Fails with `Unsupported` where volumes cannot be told
    /// apart from one host's to another's, and why. Whole objects are enough to open it: a store that does not write in place keeps no *direct* volumes, which is for
    /// `create_volume` and its like to refuse.
    pub async fn open(
        label: &str,
        store: Arc<dyn Store>,
        capabilities: Capabilities,
        dialect: Option<String>,
        safety: Safety,
        fresh: PoolRecord,
    ) -> Result<Self, EngineError> {
        if capabilities.write_at && crate::blocks::smallest(&capabilities).is_none() {
            return Err(EngineError::refused(
                ErrorKind::Unsupported,
                format!(
                    "use {}: the store changes {} bytes at a time, and a volume's blocks have 4096 at the most",
                    store.location(),
                    capabilities.write_align
                ),
            ));
        }
        if !capabilities.exclusive_create && safety == Safety::Proved {
            return Err(EngineError::refused(
                ErrorKind::Unsupported,
                format!(
                    "use {}: of racing creates more than one may win there, so two hosts could attach the same volume; \
                     if no other host uses this repository, say so with single_host = true (--single-host)",
                    store.location()
                ),
            ));
        }
        let mut repository = Self {
            store,
            capabilities,
            dialect,
            id: String::new(),
            creating: Mutex::new(()),
            label: label.to_owned(),
        };
        let key = names::pool();
        let found = match repository.read::<PoolRecord>(&key).await? {
            Some(found) => found.record,
            None if repository.create(&key, &fresh).await?.is_some() => fresh,
            None => match repository.read::<PoolRecord>(&key).await? {
                Some(found) => found.record,
                None => {
                    return Err(EngineError::refused(
                        ErrorKind::Conflict,
                        format!("open {key}: it came and went; try again"),
                    ));
                }
            },
        };
        repository.id = found.id;
        Ok(repository)
    }

    /// The repository's id, from its marker: the same through every mirror.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `pool/volume`, for people.
    pub(crate) fn full(&self, volume: &VolumeName) -> String {
        format!("{}/{volume}", self.label)
    }

    /// The protocol's dialect in use.
    #[must_use]
    pub fn dialect(&self) -> Option<&str> {
        self.dialect.as_deref()
    }

    /// What the store was proved to do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// How mirrors are told from other repositories.
    #[must_use]
    pub fn marker(&self) -> Marker {
        let id = self.id.clone();
        Marker {
            key: names::pool(),
            is_ours: Arc::new(move |bytes| {
                PoolRecord::decode(bytes).is_ok_and(|decoded| decoded.record.id == id)
            }),
        }
    }

    /// Keeps in the marker what the store was proved to do, for people and for other hosts. Nothing is changed where the marker could be torn
    /// or another host's change lost by that, or where a later version forbids it.
    pub async fn keep_proof(&self, proved: Proved) -> Result<(), EngineError> {
        let can = &self.capabilities;
        let key = names::pool();
        if !(can.atomic_put && can.compare_and_set) {
            return Ok(());
        }
        match self.read::<PoolRecord>(&key).await? {
            Some(found) if found.read_only_because.is_empty() && found.record.id == self.id => {
                let mut record = found.record;
                record.keep_proof(proved);
                self.replace(&key, &record, found.etag).await
            }
            _ => Ok(()),
        }
    }

    /// The id in the marker behind another store, if there is one: to tell whether it is the same repository.
    pub async fn id_behind(store: &dyn Store) -> Result<Option<String>, EngineError> {
        Ok(read::<PoolRecord>(store, &names::pool())
            .await?
            .map(|found| found.record.id))
    }

    pub(crate) async fn read<R: Record>(&self, key: &Key) -> Result<Option<Found<R>>, EngineError> {
        read(&*self.store, key).await
    }

    /// Creates a record; none where there is one already. A lost answer is found out by the record's own nonce.
    pub(crate) async fn create<R: Record>(
        &self,
        key: &Key,
        record: &R,
    ) -> Result<Option<Written>, EngineError> {
        let body = encode(key, record)?;
        if self.capabilities.exclusive_create {
            return match self.store.put(key, body, Precondition::Absent).await {
                Ok(written) => self.flushed(key, written).await.map(Some),
                Err(e) if e.kind() == ErrorKind::Conflict => Ok(None),
                Err(e) => Err(e.into()),
            };
        }
        let _alone = self.creating.lock().await;
        match self.store.head(key).await {
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
        let written = self.store.put(key, body, Precondition::Always).await?;
        self.flushed(key, written).await.map(Some)
    }

    /// Replaces a record that was read with this state; `Conflict` where somebody else did so meanwhile.
    pub(crate) async fn replace<R: Record>(
        &self,
        key: &Key,
        record: &R,
        seen: Option<ETag>,
    ) -> Result<(), EngineError> {
        let written = self.put(key, record, seen).await?;
        self.flushed(key, written).await.map(drop)
    }

    /// The same, to be flushed by the caller.
    pub(crate) async fn put<R: Record>(
        &self,
        key: &Key,
        record: &R,
        seen: Option<ETag>,
    ) -> Result<Written, EngineError> {
        let body = encode(key, record)?;
        Ok(self.store.put(key, body, self.condition(seen)).await?)
    }

    /// Removes a record that was read with this state; that it is gone already is as good.
    pub(crate) async fn remove(&self, key: &Key, seen: Option<ETag>) -> Result<(), EngineError> {
        match self.store.delete(key, self.condition(seen)).await {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// The names of all objects in a folder that can be read as such.
    pub(crate) async fn names_in<T: FromStr>(&self, folder: &Key) -> Result<Vec<T>, EngineError> {
        let (mut names, mut start) = (Vec::new(), None);
        loop {
            let page = self.store.list(Some(folder), start.as_deref(), 1000).await?;
            let entries = page.entries.iter();
            names.extend(entries.filter_map(|entry| entry.key.components().last()?.parse::<T>().ok()));
            start = page.next;
            if start.is_none() {
                return Ok(names);
            }
        }
    }

    fn condition(&self, seen: Option<ETag>) -> Precondition {
        match seen {
            Some(etag) if self.capabilities.compare_and_set => Precondition::Matches(etag),
            _ => Precondition::Always,
        }
    }

    pub(crate) async fn flushed(&self, key: &Key, written: Written) -> Result<Written, EngineError> {
        flush(&*self.store, key, written.instance.as_slice()).await?;
        Ok(written)
    }
}

async fn read<R: Record>(store: &dyn Store, key: &Key) -> Result<Option<Found<R>>, EngineError> {
    let fetched = match store.get(key, None).await {
        Ok(fetched) => fetched,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let Decoded {
        record,
        read_only_because,
    } = R::decode(&fetched.payload.into_bytes()).map_err(|source| EngineError::Record {
        object: format!("{key} at {}", store.location()),
        source,
    })?;
    Ok(Some(Found {
        record,
        read_only_because,
        etag: fetched.etag,
    }))
}

fn encode<R: Record>(key: &Key, record: &R) -> Result<Bytes, EngineError> {
    let bytes = record.encode().map_err(|source| EngineError::Record {
        object: key.to_string(),
        source,
    })?;
    Ok(Bytes::from(bytes))
}
