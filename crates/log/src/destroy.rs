//! The end of a volume: its objects are removed.
//!
//! 1. its writers are *fenced*: a tombstone ends the heads of every epoch, so that none of them can list another clone;
//! 2. it is refused while a volume reads from one of its snapshots ([`crate::children`]);
//! 3. segments go, then heads, then epochs. Epochs are counted by looking for them, the objects of each are found by listing; one that
//!    the listing does not show yet stays as garbage of a volume whose id nobody has any more;
//! 4. a tombstone takes the place of the first epoch: from then on there is no such volume, whatever lands late.
//!
//! What stays is that tombstone and those of the heads, one for each epoch: those that fence are never deleted. A removal that was cut
//! off is gone on with, and may leave one more for each epoch.

use crate::LogError;
use crate::children::{self, Keeper};
use crate::look::{self, last_head};
use crate::series::{self, Ended, entomb};
use crate::shelf::{Series, Shelf};
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_format::log::{Kind, ObjectType};
use restblk_store::{Entry, Store};
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;

/// Objects removed at once.
const PARALLEL: usize = 16;
/// Nobody's: a tombstone of a removal that is gone on with is the same to the byte.
const NONCE: [u8; 16] = [0; 16];
const EPOCH: u32 = 0;

/// Removes all objects of a volume but tombstones; nobody may be attaching it. That there are none is as good. `Busy` while
/// volumes that were cloned from it read from it.
pub async fn destroy(store: Arc<dyn Store>, volume: VolumeId) -> Result<(), LogError> {
    let shelf = Shelf::new(store, volume);
    let what = format!("delete the volume {volume}");
    // Before anybody is fenced in vain.
    has_no_clones(&shelf, &what).await?;
    let epochs = series::end(&shelf, Series::Epochs, 1).await?;
    for epoch in 1..epochs {
        let heads = last_head(&shelf, epoch).await?;
        let mut end = heads.end;
        while !heads.entombed
            && let Ended::Taken = entomb(&shelf, Series::Heads(epoch), end, epoch, EPOCH, &NONCE).await?
        {
            end += 1;
        }
    }
    has_no_clones(&shelf, &what).await?;
    for epoch in 1..epochs {
        for kind in Kind::ALL {
            empty(&shelf, Series::Segments(kind, epoch)).await?;
        }
    }
    for epoch in 1..epochs {
        empty(&shelf, Series::Heads(epoch)).await?;
    }
    for epoch in (2..epochs).rev() {
        shelf.remove(&shelf.key(Series::Epochs, epoch)).await?;
    }
    while let Ended::Taken = entomb(&shelf, Series::Epochs, 1, 1, EPOCH, &NONCE).await? {
        shelf.remove(&shelf.key(Series::Epochs, 1)).await?;
    }
    Ok(())
}

/// `Busy` while volumes that were cloned from this one read from it. `what` is refused then.
pub async fn check_no_clones(store: Arc<dyn Store>, volume: VolumeId, what: &str) -> Result<(), LogError> {
    has_no_clones(&Shelf::new(store, volume), what).await
}

async fn has_no_clones(shelf: &Shelf, what: &str) -> Result<(), LogError> {
    let Some((_, head)) = look::newest(shelf, None).await? else {
        return Ok(());
    };
    let keeper = Keeper {
        shelf,
        epoch: EPOCH,
        nonce: &NONCE,
    };
    let listed = children::listed(&head);
    let mut living = Vec::new();
    for child in listed {
        if keeper.lives(child).await? {
            living.push(child.volume.to_string());
        }
    }
    if living.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{what}: volumes that were cloned from it read from it: {}; flatten or delete them first",
        living.join(", ")
    );
    Err(LogError::new(ErrorKind::Busy, message))
}

/// Removes what is listed of a series. Tombstones of heads stay.
async fn empty(shelf: &Shelf, series: Series) -> Result<(), LogError> {
    let remove = |entry: Entry| async move {
        if let Series::Heads(_) = series {
            let header = shelf.header(&entry.key).await?;
            if header.is_none_or(|header| header.object == ObjectType::Tombstone) {
                return Ok(());
            }
        }
        shelf.remove(&entry.key).await
    };
    let mut start = None;
    loop {
        let page = shelf.list(series, start.as_deref()).await?;
        let removed = stream::iter(page.entries).map(remove).buffer_unordered(PARALLEL);
        removed.try_collect::<()>().await?;
        start = page.next;
        if start.is_none() {
            return Ok(());
        }
    }
}
