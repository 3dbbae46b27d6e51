//! A volume's newest head, looked at without attaching: nothing is claimed, and nobody is fenced.

use crate::LogError;
use crate::error::format_error;
use crate::series;
use crate::shelf::{Series, Shelf};
use restblk_format::log::{Head, Header, ObjectType};
use restblk_store::{Key, Store};
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;

/// The volume as its last committed head tells; what was written since is not in it. `NotFound` where there is no such volume.
pub async fn look(store: Arc<dyn Store>, volume: VolumeId) -> Result<Head, LogError> {
    Ok(existing(&Shelf::new(store, volume)).await?.1)
}

/// The newest head of a volume that is there. `NotFound` where there is none.
pub(crate) async fn existing(shelf: &Shelf) -> Result<(At, Head), LogError> {
    newest(shelf, None).await?.ok_or_else(|| {
        let message = format!(
            "find the volume {}: there is none, it was deleted, or its creation was cut off",
            shelf.volume
        );
        LogError::new(ErrorKind::NotFound, message)
    })
}

/// A head's epoch, and its number there.
pub(crate) type At = (u32, u32);

/// A volume's newest head, by point lookups alone; `known` is one that was seen before. None where there is no volume (any more).
pub(crate) async fn newest(shelf: &Shelf, known: Option<At>) -> Result<Option<(At, Head)>, LogError> {
    let (lowest, after) = known.map_or((1, 0), |(epoch, number)| (epoch, number + 1));
    if known.is_none() && !has_begun(shelf).await? {
        return Ok(None);
    }
    let epochs = series::end(shelf, Series::Epochs, lowest + u32::from(known.is_some())).await?;
    for epoch in (lowest..epochs).rev() {
        let from = if epoch == lowest { after } else { 0 };
        let heads = Series::Heads(epoch);
        let mut end = series::end(shelf, heads, from).await?;
        // The last of a series may be a tombstone, and no other is.
        while let Some(last) = end.checked_sub(1) {
            let key = shelf.key(heads, last);
            let Some(bytes) = shelf.whole(&key).await? else {
                break;
            };
            if Header::peek(&bytes).map_err(format_error(&key))?.object != ObjectType::Tombstone {
                return decode(shelf, &key, &bytes).map(|(head, _)| Some(((epoch, last), head)));
            }
            end = last;
        }
    }
    Ok(None)
}

/// Whether a volume was ever made and not deleted since: its first epoch is there, and is no tombstone.
pub(crate) async fn has_begun(shelf: &Shelf) -> Result<bool, LogError> {
    let first = shelf.header(&shelf.key(Series::Epochs, 1)).await?;
    Ok(first.is_some_and(|header| header.object != ObjectType::Tombstone))
}

/// How far an epoch's heads go.
pub(crate) async fn last_head(shelf: &Shelf, epoch: u32) -> Result<Heads, LogError> {
    let heads = Series::Heads(epoch);
    let end = series::end(shelf, heads, 0).await?;
    // A tombstone that a writer left is the last object of its series.
    let entombed = match end.checked_sub(1) {
        Some(last) => shelf
            .header(&shelf.key(heads, last))
            .await?
            .is_some_and(|header| header.object == ObjectType::Tombstone),
        None => false,
    };
    let end = if entombed { end - 1 } else { end };
    Ok(Heads { end, entombed })
}

/// How far an epoch's heads go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// The first number that is no head.
    pub(crate) end: u32,
    /// A tombstone is there.
    pub(crate) entombed: bool,
}

/// Reads a head; says whether this version may write where it leads.
pub(crate) async fn head(shelf: &Shelf, epoch: u32, number: u32) -> Result<(Head, bool), LogError> {
    let key = shelf.key(Series::Heads(epoch), number);
    let bytes = shelf
        .whole(&key)
        .await?
        .ok_or_else(|| LogError::corrupt(&key, "it was there, and is gone"))?;
    decode(shelf, &key, &bytes)
}

fn decode(shelf: &Shelf, key: &Key, bytes: &[u8]) -> Result<(Head, bool), LogError> {
    let (header, head) = Head::decode(bytes).map_err(format_error(key))?;
    shelf.belongs(key, &header)?;
    shelf.check_head(key, bytes)?;
    Ok((head, header.read_only_because == 0))
}
