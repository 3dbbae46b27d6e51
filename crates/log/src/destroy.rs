//! The end of a volume: its objects are removed.
//!
//! Epochs are counted by looking for them, the objects of each are found by listing. One that the listing does not show yet stays as
//! garbage of a volume whose id nobody has any more. The epochs go last and the first one at the very end, so that a removal that was
//! cut off is gone on with.

use crate::LogError;
use crate::series;
use crate::shelf::{Series, Shelf};
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::log::Kind;
use restblk_store::Store;
use restblk_types::VolumeId;
use std::sync::Arc;

/// Objects removed at once.
const PARALLEL: usize = 16;

/// Removes all objects of a volume; none may be attached to it. That there are none is as good.
pub async fn destroy(store: Arc<dyn Store>, volume: VolumeId) -> Result<(), LogError> {
    let shelf = Shelf::new(store, volume);
    let epochs = series::end(&shelf, Series::Epochs, 1).await?;
    for epoch in 1..epochs {
        let kinds = [Kind::Log, Kind::Map, Kind::Gc].map(|kind| Series::Segments(kind, epoch));
        for series in kinds.into_iter().chain([Series::Heads(epoch)]) {
            empty(&shelf, series).await?;
        }
    }
    for epoch in (1..epochs).rev() {
        shelf.remove(&shelf.key(Series::Epochs, epoch)).await?;
    }
    Ok(())
}

async fn empty(shelf: &Shelf, series: Series) -> Result<(), LogError> {
    let mut start = None;
    loop {
        let page = shelf.list(series, start.as_deref()).await?;
        stream::iter(page.entries)
            .map(|entry| async move { shelf.remove(&entry.key).await })
            .buffer_unordered(PARALLEL)
            .try_collect::<()>()
            .await?;
        start = page.next;
        if start.is_none() {
            return Ok(());
        }
    }
}
