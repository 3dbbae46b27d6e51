//! The journals of log volumes: a file each, made when the volume is opened, removed when all of it is on the store.

use super::Context;
use crate::{error::Result, state::make_private};
use restblk_api::ErrorBody;
use restblk_engine::log::{Disk, FileDisk};
use restblk_types::{ErrorKind, VolumeId};
use std::{path::PathBuf, sync::Arc};

/// Where a volume's journal is, or would be.
pub(super) fn path(context: &Context, volume: VolumeId) -> PathBuf {
    context.journal.folder.join(volume.to_string())
}

/// Opens a volume's journal, or makes it; none where this host keeps none.
pub(super) async fn open(context: &Context, volume: VolumeId) -> Result<Option<Arc<dyn Disk>>> {
    let (path, size) = (path(context, volume), context.journal.size);
    if size == 0 && !path.exists() {
        return Ok(None);
    }
    make_private(&context.journal.folder)?;
    let opening = path.clone();
    let opened = tokio::task::spawn_blocking(move || FileDisk::open(&opening, size)).await;
    match opened {
        Ok(Ok(disk)) => Ok(Some(Arc::new(disk))),
        Ok(Err(error)) => {
            let kind = if error.kind() == std::io::ErrorKind::StorageFull {
                ErrorKind::NoSpace
            } else {
                ErrorKind::Unavailable
            };
            let message = format!("open the journal {}: {error}", path.display());
            Err(ErrorBody::new(kind, message).hint(
                "free space there, or set [journal] in the daemon's configuration to another folder or size; size = 0 does without, \
                 and every flush waits for the store",
            ))
        }
        Err(error) => Err(ErrorBody::new(
            ErrorKind::Bug,
            format!("open the journal {}: {error}", path.display()),
        )),
    }
}

/// Removes a volume's journal: the store has all of it.
pub(super) fn remove(context: &Context, volume: VolumeId) {
    let path = path(context, volume);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(journal = %path.display(), %error, "an empty journal stays");
        }
        _ => {}
    }
}
