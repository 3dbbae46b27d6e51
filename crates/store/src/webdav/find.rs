//! The search for a server's dialect: each way to write a range and each way to create exclusively is tried on scratch
//! objects, and the first of each that works is taken.
//!
//! A server that works in none of them still keeps whole objects, and what was seen of each way goes into the proof's notes.

use super::client::{WebdavStore, expected};
use super::dialect::{Create, Dialect, Ranged};
use crate::prove::{Proof, choose, prove};
use crate::{Key, StoreConfig, StoreError};

/// Proves what the server does, in the best of its dialects or in the configured one.
pub async fn find(config: &StoreConfig, url: &str) -> Result<Proof, StoreError> {
    config.check()?;
    let only: Option<Dialect> = config.dialect.as_deref().and_then(|name| name.parse().ok());
    let mut notes = Vec::new();
    let open = |dialect| WebdavStore::pinned(config, url, dialect, expected(dialect));
    let mut ranged = Ranged::Whole;
    for way in [Ranged::ContentRange, Ranged::UpdateRange] {
        if only.is_some_and(|only| only.ranged != way) {
            continue;
        }
        match choose::write_at(&open(Dialect::new(way, Create::Put))?).await? {
            None => {
                ranged = way;
                notes.clear();
                break;
            }
            Some(reason) => notes.push(format!("write in place: {}: {reason}", way.words())),
        }
    }
    let mut create = None;
    for way in [Create::Put, Create::Move] {
        if only.is_some_and(|only| only.create != way) {
            continue;
        }
        match try_create(&open(Dialect::new(Ranged::Whole, way))?).await? {
            None => {
                create = Some(way);
                break;
            }
            Some(reason) => notes.push(format!("exclusive create: {}: {reason}", way.words())),
        }
    }
    let way = create.or(only.map(|only| only.create)).unwrap_or(Create::Put);
    let dialect = Dialect::new(ranged, way);
    let mut can = expected(dialect);
    can.exclusive_create = create.is_some();
    let mut proof = prove(&WebdavStore::pinned(config, url, dialect, can)?).await?;
    notes.append(&mut proof.notes);
    Ok(Proof {
        mirrors: Vec::new(),
        dialect: Some(dialect.to_string()),
        notes,
        ..proof
    })
}

/// Why this way to create exclusively does not work; `None` where it does.
async fn try_create(store: &WebdavStore) -> Result<Option<String>, StoreError> {
    let failed = choose::exclusive_create(store).await?;
    if failed.is_some() || store.dialect.create == Create::Put {
        return Ok(failed);
    }
    let scratch = format!(".restblk/probe/{:032x}", rand::random::<u128>());
    match Key::new(scratch) {
        Ok(scratch) => store.race_of_moves(&scratch).await,
        Err(bad) => Ok(Some(bad.to_string())),
    }
}
