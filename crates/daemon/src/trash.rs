//! The trash on this host: what is asked of it, and the janitor, who lets go what has been there for its time.
//!
//! Every daemon of a repository has a janitor; the store decides who removes a volume ([`restblk_engine`]). One from which clones
//! still read stays, and is looked at again when a volume is deleted here, and at intervals.

use crate::{clock, error, error::Result, service::Service};
use restblk_api::{ErrorBody, TrashEntry, TrashState, Volume};
use restblk_engine::Repository;
use restblk_format::Trash;
use restblk_types::{ByteCount, ErrorKind, PoolName, TrashId, VolumeId, VolumeName, VolumeRef};
use std::{sync::Arc, time::Duration};

/// How often the janitor looks at each pool.
const EVERY: Duration = Duration::from_secs(600);

/// A stay that begins now, as long as that.
pub(crate) fn stay(seconds: u64) -> Trash {
    Trash {
        id: TrashId::random(),
        since: clock::now(),
        until: clock::after(seconds),
    }
}

/// An entry as the API tells it.
pub(crate) fn described(pool: &PoolName, entry: restblk_engine::TrashEntry) -> TrashEntry {
    let (state, restoring_as) = match entry.state {
        restblk_engine::TrashState::Kept => (TrashState::Kept, None),
        restblk_engine::TrashState::Restoring(name) => (TrashState::Restoring, Some(name)),
        restblk_engine::TrashState::Purging => (TrashState::Purging, None),
    };
    TrashEntry {
        id: entry.trash.id.to_string(),
        volume: VolumeRef::new(pool.clone(), entry.record.name),
        volume_id: entry.record.id.to_string(),
        size: ByteCount(entry.record.size),
        deleted_at: entry.trash.since,
        kept_until: entry.trash.until,
        state,
        restoring_as,
    }
}

impl Service {
    /// What is in a pool's trash, the earliest deleted first.
    pub(crate) async fn trash(&self, pool: &PoolName) -> Result<Vec<TrashEntry>> {
        let entries = self.repository(pool)?.trash().await.map_err(error::engine)?;
        Ok(entries.into_iter().map(|entry| described(pool, entry)).collect())
    }

    pub(crate) async fn restore_volume(
        &self,
        pool: &PoolName,
        id: TrashId,
        name: Option<VolumeName>,
    ) -> Result<Volume> {
        let restored = self.repository(pool)?.restore_volume(id, name).await;
        let record = restored.map_err(error::engine)?;
        tracing::info!(%pool, volume = %record.name, "restored from the trash");
        self.volume(pool, &record.name).await
    }

    pub(crate) async fn purge_volume(&self, pool: &PoolName, id: TrashId) -> Result<()> {
        self.purge(self.repository(pool)?, id).await?;
        tracing::info!(%pool, %id, "purged from the trash");
        Ok(())
    }

    /// Removes a volume for good, however many objects it has: each request has its limit, all together have none.
    pub(crate) async fn purge(&self, repository: Arc<Repository>, id: TrashId) -> Result<()> {
        let purged = tokio::spawn(async move { repository.purge_volume(id).await }).await;
        let purged =
            purged.map_err(|e| ErrorBody::new(ErrorKind::Bug, format!("finish the deletion: {e}")))?;
        self.gone(purged.map_err(error::engine)?.id);
        Ok(())
    }

    /// A volume is gone for good: its journal goes, and others may have waited for it.
    pub(crate) fn gone(&self, id: VolumeId) {
        let attachments = Arc::clone(&self.attachments);
        tokio::spawn(async move { attachments.deleted(id).await });
        self.swept.notify_one();
    }
}

/// Lets go what has been in the trash for its time, for ever.
pub(crate) async fn keep_clean(service: Arc<Service>) {
    loop {
        for entry in service.pools.entries() {
            let pool = entry.spec().name;
            // One that goes may be the last that another one waited for.
            while sweep(&service, &pool).await.is_ok_and(|gone| gone > 0) {}
        }
        let _ = tokio::time::timeout(EVERY, service.swept.notified()).await;
    }
}

/// Lets go what is due in one pool, and answers how many that were; what cannot go now stays.
async fn sweep(service: &Service, pool: &PoolName) -> Result<u32> {
    let repository = service.repository(pool)?;
    let now = clock::now();
    let entries = repository.trash().await.map_err(error::engine)?;
    let due = entries.into_iter().filter(|entry| match entry.state {
        restblk_engine::TrashState::Kept => entry.trash.until <= now,
        restblk_engine::TrashState::Purging => true,
        restblk_engine::TrashState::Restoring(_) => false,
    });
    let mut gone = 0;
    for entry in due {
        let volume = entry.record.name;
        match service.purge(Arc::clone(&repository), entry.trash.id).await {
            Ok(()) => {
                gone += 1;
                tracing::info!(%pool, %volume, "its time in the trash is over");
            }
            Err(error) if error.kind == ErrorKind::Busy => {
                tracing::debug!(%pool, %volume, %error, "it stays in the trash");
            }
            Err(error) => tracing::warn!(%pool, %volume, %error, "it stays in the trash; it is tried again"),
        }
    }
    Ok(gone)
}
