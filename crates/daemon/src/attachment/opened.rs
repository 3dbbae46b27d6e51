//! Volumes that are ours and open. The device of a volume, those of its snapshots and what is done to it without a device share one:
//! the first who needs it takes the lease and opens it, the last lets it go.

use super::{Attachments, journal};
use crate::{clock, error, error::Result, patience, pool::Open as OpenPool};
use restblk_api::ErrorBody;
use restblk_block::{BlockDevice, BlockError, Limiter};
use restblk_engine::{
    Claim, Lease, Repository, Side, Takeover, Volume,
    direct::{DirectDevice, Tuning},
    log::{DataKey, Local, Writer},
};
use restblk_format::{LayoutKind, VolumeRecord};
use restblk_store::{Mirrored, Store};
use restblk_types::{AttachmentId, ErrorKind, KeySecret, VolumeId, VolumeRef};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// How long the last of what was written may take to the store, before it stays in the journal.
const HOME_MAX: Duration = Duration::from_secs(10);

/// A volume that is ours and open.
#[derive(Debug)]
pub(super) struct Opened {
    /// Without a snapshot.
    name: VolumeRef,
    pub(super) volume: Volume,
    pub(super) lease: Lease,
    pub(super) limiter: Arc<Limiter>,
    pub(super) pool: Arc<OpenPool>,
}

impl Opened {
    pub(super) fn name(&self) -> &VolumeRef {
        &self.name
    }
}

/// A volume that is ours and not open yet.
struct Taken {
    lease: Lease,
    record: VolumeRecord,
    /// Features that this version can only read.
    unknown: Vec<String>,
}

/// What becomes of the lease when the last user has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The volume is let go.
    LetGo,
    /// It stays ours: who gave it up opens it again.
    Keep,
}

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Openings {
    places: Mutex<BTreeMap<VolumeRef, Arc<Place>>>,
}

/// The place of one volume; whoever opens or closes it holds the lock.
type Place = tokio::sync::Mutex<Option<Shared>>;

#[derive(Debug)]
struct Shared {
    opened: Arc<Opened>,
    users: usize,
}

impl Openings {
    /// The volume, if it is open.
    pub(super) async fn find(&self, volume: &VolumeRef) -> Option<Arc<Opened>> {
        let place = self.place(volume);
        let place = place.lock().await;
        place.as_ref().map(|shared| Arc::clone(&shared.opened))
    }

    /// All that are open now, but those that are being opened or closed.
    pub(super) fn all(&self) -> Vec<Arc<Opened>> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = |place: &Arc<Place>| Some(Arc::clone(&place.try_lock().ok()?.as_ref()?.opened));
        places.values().filter_map(opened).collect()
    }

    fn place(&self, volume: &VolumeRef) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(volume.whole()).or_default())
    }
}

impl Attachments {
    /// Opens a volume for something that is done to it without a device, or joins those who have it open. Who got it closes it.
    pub(super) async fn open_shared(&self, volume: &VolumeRef) -> Result<Arc<Opened>> {
        self.open_volume(volume, AttachmentId::random(), Takeover::Refused, false, None)
            .await
    }

    /// Takes the lease and opens the volume, or joins those who have it open. Who got it closes it.
    /// On error no lease that was taken *here* stays. `key` is what opens an encrypted one, if it was given; a wrong one is found before anything on
    /// the store is changed.
    pub(super) async fn open_volume(
        &self,
        volume: &VolumeRef,
        id: AttachmentId,
        takeover: Takeover,
        read_only: bool,
        key: Option<KeySecret>,
    ) -> Result<Arc<Opened>> {
        let place = self.openings.place(volume);
        let mut place = place.lock().await;
        if let Some(shared) = &mut *place {
            shared.users += 1;
            return Ok(Arc::clone(&shared.opened));
        }
        let (opened, is_converting) = self
            .open_new(volume.whole(), id, takeover, read_only, key)
            .await?;
        let opened = Arc::new(opened);
        *place = Some(Shared {
            opened: Arc::clone(&opened),
            users: 1 + usize::from(is_converting),
        });
        if is_converting {
            self.start(Arc::clone(&opened));
        }
        Ok(opened)
    }

    /// One user less. The last one has everything brought to the store, and the lease let go.
    pub(super) async fn close_volume(&self, opened: &Arc<Opened>, then: Then) {
        let place = self.openings.place(&opened.name);
        let mut place = place.lock().await;
        let Some(shared) = place
            .as_mut()
            .filter(|shared| Arc::ptr_eq(&shared.opened, opened))
        else {
            return;
        };
        shared.users -= 1;
        if shared.users > 0 {
            return;
        }
        *place = None;
        if then == Then::LetGo && self.brought_home(opened).await {
            self.context.keys.forget(opened.lease.record().volume);
            self.let_go(&opened.lease).await;
        }
    }

    /// True where nothing of the volume is on this host alone, so that any host may have it.
    async fn brought_home(&self, opened: &Opened) -> bool {
        let Some(log) = opened.volume.log() else {
            return true;
        };
        let id = opened.lease.record().volume;
        let is_lost = log
            .failure()
            .is_some_and(|failure| failure.kind() == ErrorKind::Fenced);
        let late = |_| Err(BlockError::new(ErrorKind::Unavailable, "the store takes nothing"));
        match timeout(HOME_MAX, opened.volume.stop()).await.unwrap_or_else(late) {
            Ok(()) => journal::remove(&self.context, id),
            // Whoever has it now goes on from what the store has.
            Err(_) if is_lost => journal::remove(&self.context, id),
            Err(error) => {
                let path = journal::path(&self.context, id);
                if path.exists() {
                    tracing::error!(volume = %opened.name, %error, journal = %path.display(),
                        "what was written last is in the journal and not on the store: the volume stays this host's, and its next attach here brings it there");
                } else {
                    tracing::error!(volume = %opened.name, %error,
                        "what was written and not flushed is not on the store, and lost: this host keeps no journal; the volume stays this host's");
                }
                return false;
            }
        }
        true
    }

    /// Does something with a volume that is ours by its lease, and that nobody has open meanwhile.
    pub(super) async fn alone<T>(
        &self,
        operation: &str,
        volume: &VolumeRef,
        takeover: Takeover,
        work: impl AsyncFnOnce(Arc<Repository>, VolumeRecord) -> Result<T>,
    ) -> Result<T> {
        let place = self.openings.place(volume);
        let place = place.lock().await;
        if place.is_some() {
            let message =
                format!("{operation} {volume}: it is attached to this host, or something is done to it");
            return Err(ErrorBody::new(ErrorKind::Busy, message)
                .hint(format!("restblk detach {volume}, and its snapshots, first")));
        }
        let pool = self.context.pools.open(&volume.pool)?;
        let id = AttachmentId::random();
        let Taken {
            lease,
            record,
            unknown,
        } = self.take(&pool, volume, id, takeover).await?;
        let done = if unknown.is_empty() {
            work(Arc::clone(&pool.repository), record).await
        } else {
            let message = format!(
                "{operation} {volume}: it has features that this version can only read: {}",
                unknown.join(", ")
            );
            Err(ErrorBody::new(ErrorKind::Unsupported, message).hint("use a newer restblk"))
        };
        self.let_go(&lease).await;
        done
    }

    async fn open_new(
        &self,
        volume: VolumeRef,
        id: AttachmentId,
        takeover: Takeover,
        read_only: bool,
        key: Option<KeySecret>,
    ) -> Result<(Opened, bool)> {
        let pool = self.context.pools.open(&volume.pool)?;
        let found = pool.repository.record(&volume.volume).await;
        let found = found.map_err(error::engine)?;
        let keys = &self.context.keys;
        let key = keys.of(&volume, found.id, found.encryption.as_ref(), key).await?;
        let taken = self.take(&pool, &volume, id, takeover).await?;
        match self.open_taken(&pool, &volume, &taken, read_only, key).await {
            Ok(opened) => {
                if let Some(key) = opened.log().and_then(|log| log.key()) {
                    keys.keep(&volume, taken.record.id, &key);
                }
                let is_converting = taken.record.conversion.is_some();
                let opened = Opened {
                    name: volume,
                    volume: opened,
                    lease: taken.lease,
                    limiter: Arc::new(Limiter::new(taken.record.rate_limits)),
                    pool,
                };
                Ok((opened, is_converting))
            }
            Err(e) => {
                if !matches!(takeover, Takeover::Own(_)) {
                    self.let_go(&taken.lease).await;
                }
                Err(e)
            }
        }
    }

    async fn take(
        &self,
        pool: &OpenPool,
        volume: &VolumeRef,
        id: AttachmentId,
        takeover: Takeover,
    ) -> Result<Taken> {
        let claim = Claim {
            id,
            host: self.context.state.host(),
            hostname: self.context.hostname.clone(),
            boot_id: self.context.boot_id.clone(),
            pid: std::process::id(),
            since: clock::now(),
        };
        let (repository, name) = (&pool.repository, &volume.volume);
        let mut taken = repository.take(name, claim.clone(), takeover).await;
        if taken.as_ref().is_err_and(|e| e.kind() == ErrorKind::Busy)
            && self.clear_left_over(repository, name).await?
        {
            taken = repository.take(name, claim, takeover).await;
        }
        match taken {
            Err(e) if e.kind() == ErrorKind::Busy => Err(self.held("attach", volume, repository, e).await),
            taken => {
                let (lease, record, unknown) = taken.map_err(error::engine)?;
                Ok(Taken {
                    lease,
                    record,
                    unknown,
                })
            }
        }
    }

    async fn open_taken(
        &self,
        pool: &OpenPool,
        volume: &VolumeRef,
        taken: &Taken,
        read_only: bool,
        key: Option<DataKey>,
    ) -> Result<Volume> {
        let Taken {
            lease,
            record,
            unknown,
        } = taken;
        if !unknown.is_empty() && !read_only {
            let features = unknown.join(", ");
            let message =
                format!("attach {volume}: it has features that this version can only read: {features}");
            return Err(ErrorBody::new(ErrorKind::Unsupported, message)
                .hint("attach it with --read-only, or use a newer restblk"));
        }
        let side = self.open_side(pool, lease, record, read_only, key).await?;
        let size = side.device().geometry().size;
        if side.as_log().is_some() && size != record.size {
            // A resize that was cut off: the log itself is right.
            let noted = pool.repository.note_size(&volume.volume, size).await;
            noted.map_err(error::engine)?;
        }
        Ok(Volume::new(side))
    }

    /// Opens a volume's data as a record says that it lies.
    pub(super) async fn open_side(
        &self,
        pool: &OpenPool,
        lease: &Lease,
        record: &VolumeRecord,
        read_only: bool,
        key: Option<DataKey>,
    ) -> Result<Side> {
        let store: Arc<dyn Store> = Arc::<Mirrored>::clone(&pool.data);
        if record.layout == LayoutKind::Direct {
            lease.guard(&store);
            let device =
                DirectDevice::open(&pool.repository, store, record, read_only, Tuning::default()).await;
            return device.map(Side::direct).map_err(error::engine);
        }
        let journal = journal::open(&self.context, record.id).await?;
        let writer = Writer {
            nonce: *VolumeId::random().as_bytes(),
            hostname: self.context.hostname.clone(),
            since: clock::now(),
            key,
        };
        let local = Local {
            journal,
            cache: self.context.cache.clone(),
            memory: Arc::clone(&self.context.memory),
        };
        let opened = patience::bounded(pool.repository.open_log(store, record, writer, local)).await;
        let log = opened.map_err(error::engine)?;
        Ok(Side::log(log, record.block_size))
    }
}
