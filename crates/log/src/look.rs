//! A volume's newest head, looked at without attaching: nothing is claimed, and nobody is fenced.

use crate::LogError;
use crate::error::format_error;
use crate::series;
use crate::shelf::{Series, Shelf};
use restblk_format::log::{Head, ObjectType};
use restblk_store::Store;
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;

/// The volume as its last committed head tells; what was written since is not in it. `NotFound` where there is no such volume.
pub async fn look(store: Arc<dyn Store>, volume: VolumeId) -> Result<Head, LogError> {
    let shelf = Shelf::new(store, volume);
    let epochs = series::end(&shelf, Series::Epochs, 1).await?;
    for epoch in (1..epochs).rev() {
        if let Some(last) = last_head(&shelf, epoch).await?.end.checked_sub(1) {
            return head(&shelf, epoch, last).await.map(|(head, _)| head);
        }
    }
    Err(LogError::new(
        ErrorKind::NotFound,
        format!("find the volume {volume}: none of its epochs has a head"),
    ))
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
    let (header, head) = Head::decode(&bytes).map_err(format_error(&key))?;
    shelf.belongs(&key, &header)?;
    Ok((head, header.read_only_because == 0))
}
