//! What the API offers, as plain functions: HTTP is around it, pools and attachments are below it.

use crate::{
    attachment::{Attachments, Checks},
    cache, clock, doctor, error,
    error::Result,
    keys,
    metrics::{Registry, Text},
    pools::Pools,
    state::StateDir,
    transports::Transports,
    trash,
};
use futures_util::{StreamExt, future::join_all, stream};
use restblk_api::{
    AttachedBy, AttachmentState, ChangeKeys, CloneSnapshot, CreateVolume, Deletion, ErrorBody, HostInfo,
    HostReport, KeyChange, KeySlot, Layout, MirrorState, Pool, PoolSpec, ShrinkVolume, TrashEntry, Volume,
    VolumeEncryption, VolumeState,
};
use restblk_engine::{
    EngineError, NewVolume, Repository, VolumeInfo,
    log::{Cache, DataKey, Figures},
};
use restblk_format::{Encryption, KeyError, LayoutKind, LifeState, Slot};
use restblk_store::MirroredFigures;
use restblk_types::{
    BlockSize, ByteCount, Compression, Durability, ErrorKind, KeySecret, PoolName, RateLimits, Seconds,
    VolumeId, VolumeName, VolumeRef,
};
use std::sync::Arc;
use tokio::sync::Notify;

/// What a family of metrics says of a mirror.
type FigureValue = fn(&MirroredFigures) -> f64;
/// What it says of an open log volume.
type LogValue = fn(&Figures) -> Option<f64>;
type MirrorValue = fn(&restblk_api::MirrorStatus) -> Option<f64>;

/// Volumes whose records are read at the same time for a listing.
const LISTING_PARALLEL: usize = 16;

/// Deletes a volume. One of many objects takes as long as it takes: in a task of its own, each request has its limit and all together
/// have none.
async fn delete(
    repository: &Arc<Repository>,
    name: &VolumeName,
    has_many_objects: bool,
) -> std::result::Result<(), EngineError> {
    if !has_many_objects {
        return repository.delete_volume(name).await;
    }
    let (repository, name) = (Arc::clone(repository), name.clone());
    let deleted = tokio::spawn(async move { repository.delete_volume(&name).await }).await;
    deleted.unwrap_or_else(|e| {
        Err(EngineError::refused(
            ErrorKind::Bug,
            format!("finish the deletion: {e}"),
        ))
    })
}

/// What can be told of a volume's encryption: no secret, and nothing to try one on.
fn told(encryption: Encryption) -> VolumeEncryption {
    let slot = |slot: Slot| KeySlot {
        slot: slot.slot,
        kind: slot.kind,
        created_at: slot.created_at,
    };
    VolumeEncryption {
        cipher: encryption.cipher,
        slots: encryption.slots.into_iter().map(slot).collect(),
    }
}

/// The daemon's functions.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) state: Arc<StateDir>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) attachments: Arc<Attachments>,
    pub(crate) transports: Arc<Transports>,
    pub(crate) metrics: Arc<Registry>,
    pub(crate) checks: Checks,
    pub(crate) info: HostInfo,
    pub(crate) cache: Option<Arc<Cache>>,
    /// How long what is deleted stays in the trash, where nobody says otherwise.
    pub(crate) keep: Seconds,
    /// Something was deleted that another volume in the trash may have waited for.
    pub(crate) swept: Notify,
}

impl Service {
    pub(crate) async fn doctor(&self) -> HostReport {
        let pools = self
            .pools
            .entries()
            .into_iter()
            .map(|entry| entry.describe())
            .collect::<Vec<_>>();
        doctor::of_daemon(&self.transports, &pools, &self.info).await
    }

    pub(crate) fn pools(&self) -> Vec<Pool> {
        self.pools
            .entries()
            .into_iter()
            .map(|entry| entry.describe())
            .collect()
    }

    pub(crate) fn pool(&self, name: &PoolName) -> Result<Pool> {
        Ok(self.pools.get(name)?.describe())
    }

    pub(crate) async fn create_pool(&self, spec: PoolSpec) -> Result<Pool> {
        self.pools.create(spec).await
    }

    pub(crate) async fn delete_pool(&self, name: &PoolName) -> Result<()> {
        let attached = self.attachments.of_pool(name);
        if attached.is_empty() {
            return self.pools.delete(name).await;
        }
        let volumes: Vec<_> = attached.iter().map(ToString::to_string).collect();
        Err(ErrorBody::new(
            ErrorKind::Busy,
            format!(
                "delete pool {name}: attached to this host: {}",
                volumes.join(", ")
            ),
        )
        .hint("detach them first"))
    }

    /// All volumes of a pool, or of all pools that answer. Names the pool that was asked for and does not.
    pub(crate) async fn volumes(&self, pool: Option<&PoolName>) -> Result<Vec<Volume>> {
        let names: Vec<PoolName> = match pool {
            Some(pool) => vec![pool.clone()],
            None => self
                .pools
                .entries()
                .iter()
                .map(|entry| entry.spec().name)
                .collect(),
        };
        // Side by side: a pool that does not answer takes no time from the others.
        let listings = names.into_iter().map(|name| async move {
            let volumes = self.volumes_of(&name).await;
            (name, volumes)
        });
        let mut all = Vec::new();
        for (name, volumes) in join_all(listings).await {
            match volumes {
                Ok(volumes) => all.extend(volumes),
                Err(e) if pool.is_none() => {
                    tracing::warn!(pool = %name, error = e.message, "left out of a listing of all pools")
                }
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    async fn volumes_of(&self, pool: &PoolName) -> Result<Vec<Volume>> {
        let repository = Arc::clone(&self.pools.open(pool)?.repository);
        let names = repository.volume_names().await.map_err(error::engine)?;
        let read = |name| {
            let repository = Arc::clone(&repository);
            async move { repository.volume(&name).await }
        };
        let mut reading = stream::iter(names).map(read).buffer_unordered(LISTING_PARALLEL);
        let mut volumes = Vec::new();
        while let Some(found) = reading.next().await {
            match found {
                Ok(info) => volumes.push(self.describe(pool, info)),
                // Deleted since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    tracing::error!(%pool, error = %e, "left out of a listing")
                }
                Err(e) => return Err(error::engine(e)),
            }
        }
        volumes.sort_by(|a, b| a.volume.cmp(&b.volume));
        Ok(volumes)
    }

    pub(crate) async fn volume(&self, pool: &PoolName, name: &VolumeName) -> Result<Volume> {
        let info = self.repository(pool)?.volume(name).await.map_err(error::engine)?;
        Ok(self.describe(pool, info))
    }

    pub(crate) async fn create_volume(&self, request: CreateVolume) -> Result<Volume> {
        let CreateVolume {
            volume,
            size,
            layout,
            block_size,
            durability,
            compression,
            encrypt,
            key,
        } = request;
        if volume.snapshot.is_some() {
            return Err(ErrorBody::new(
                ErrorKind::Invalid,
                format!("create {volume}: a snapshot is not made like a volume"),
            ));
        }
        if compression.is_some() && layout == Layout::Direct {
            let message = format!("create {volume}: a direct volume's file holds its bytes as they are");
            return Err(ErrorBody::new(ErrorKind::Unsupported, message).hint("--layout log packs them"));
        }
        let repository = self.repository(&volume.pool)?;
        let encryption = self.new_encryption(&volume, encrypt, key).await?;
        let new = NewVolume {
            id: VolumeId::random(),
            name: volume.volume.clone(),
            layout: match layout {
                Layout::Direct => LayoutKind::Direct,
                Layout::Log => LayoutKind::Log,
            },
            size: size.0,
            block_size: block_size.unwrap_or_else(|| match layout {
                Layout::Direct => repository.block_size_min(),
                Layout::Log => BlockSize::B4096,
            }),
            durability,
            compression: compression.unwrap_or_default(),
            encryption,
            created_at: clock::now(),
        };
        let record = repository.create_volume(new).await.map_err(error::engine)?;
        tracing::info!(%volume, %size, "created");
        Ok(self.describe(&volume.pool, record.into()))
    }

    /// A new data key, and the one slot that opens it.
    async fn new_encryption(
        &self,
        volume: &VolumeRef,
        encrypt: bool,
        key: Option<KeySecret>,
    ) -> Result<Option<(Encryption, DataKey)>> {
        if !encrypt {
            if key.is_none() {
                return Ok(None);
            }
            let message = format!("create {volume}: a key was given, and it is not to be encrypted");
            return Err(ErrorBody::new(ErrorKind::Invalid, message).hint("--encrypt does so"));
        }
        let Some(secret) = self.attachments.keys().secret(volume, key)? else {
            let message = format!("create {volume}: it is to be encrypted, and there is no key for it");
            return Err(ErrorBody::new(ErrorKind::Invalid, message).hint(
                "give --key-file or --passphrase-file, or name a file in [encryption] of the daemon's configuration",
            ));
        };
        let made = keys::costly(move || {
            let key = DataKey::random();
            Encryption::new(&key, &secret, clock::now()).map(|encryption| (encryption, key))
        });
        let made = made.await?;
        made.map(Some)
            .map_err(|e| ErrorBody::new(e.kind(), format!("create {volume}: {e}")))
    }

    /// Makes a volume that begins as a snapshot of another one.
    pub(crate) async fn clone_volume(&self, snapshot: &VolumeRef, request: CloneSnapshot) -> Result<Volume> {
        let CloneSnapshot {
            volume,
            durability,
            key,
        } = request;
        let cloned = self
            .attachments
            .clone_snapshot(snapshot, &volume, durability, key);
        Ok(self.describe(&volume.pool, cloned.await?.into()))
    }

    pub(crate) async fn adopt_volume(&self, pool: &PoolName, name: &VolumeName) -> Result<Volume> {
        let adopted = self
            .repository(pool)?
            .adopt_volume(VolumeId::random(), name.clone(), clock::now())
            .await;
        adopted.map_err(error::engine)?;
        tracing::info!(%pool, volume = %name, "adopted");
        self.volume(pool, name).await
    }

    /// Makes a volume larger, and its device with it where it is attached here. Where another host holds it, that
    /// host sees the size when it attaches again.
    pub(crate) async fn shrink_volume(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        request: &ShrinkVolume,
    ) -> Result<Volume> {
        let volume = VolumeRef::new(pool.clone(), name.clone());
        self.attachments
            .shrink_log(&volume, request.size.0, request.discard_data)
            .await?;
        self.volume(pool, name).await
    }

    pub(crate) async fn extend_volume(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        size: ByteCount,
    ) -> Result<Volume> {
        let volume = VolumeRef::new(pool.clone(), name.clone());
        let repository = self.repository(pool)?;
        let before = repository.volume(name).await.map_err(error::engine)?;
        if let Some(by) = before.attachment.filter(|by| by.host != self.state.host()) {
            return Err(ErrorBody::new(
                ErrorKind::Busy,
                format!(
                    "extend {volume}: host {} holds it since {}",
                    by.hostname, by.since
                ),
            )
            .hint("extend it on that host, whose device then grows with it"));
        }
        let settled = repository.require_settled("extend", &before.record);
        settled.map_err(error::engine)?;
        if before.record.layout == LayoutKind::Log {
            self.attachments.resize_log(&volume, size.0).await?;
        } else {
            let extended = repository.extend_volume(name, size.0).await;
            extended.map_err(error::engine)?;
        }
        self.attachments.grown(&volume, size.0).await;
        tracing::info!(%volume, %size, "extended");
        self.volume(pool, name).await
    }

    /// Sets how much I/O a volume may do, and its device too where it is attached here.
    pub(crate) async fn limit_volume(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        limits: RateLimits,
    ) -> Result<Volume> {
        let limited = self.repository(pool)?.limit_volume(name, limits).await;
        limited.map_err(error::engine)?;
        let volume = VolumeRef::new(pool.clone(), name.clone());
        self.attachments.limited(&volume, limits);
        tracing::info!(%volume, ?limits, "limited");
        self.volume(pool, name).await
    }

    /// Sets what a flush of a log volume waits for, and does so at once where it is attached here.
    pub(crate) async fn set_durability(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        durability: Durability,
    ) -> Result<Volume> {
        let set = self.repository(pool)?.set_durability(name, durability).await;
        set.map_err(error::engine)?;
        let volume = VolumeRef::new(pool.clone(), name.clone());
        self.attachments.durable(&volume, durability).await;
        tracing::info!(%volume, ?durability, "set");
        self.volume(pool, name).await
    }

    /// Sets how the data of a log volume is packed, and does so at once where it is attached here.
    pub(crate) async fn set_compression(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        compression: Compression,
    ) -> Result<Volume> {
        let set = self.repository(pool)?.set_compression(name, compression).await;
        set.map_err(error::engine)?;
        let volume = VolumeRef::new(pool.clone(), name.clone());
        self.attachments.compressed(&volume, compression).await;
        tracing::info!(%volume, ?compression, "set");
        self.volume(pool, name).await
    }

    /// Changes what opens an encrypted volume, attached or not. Its data stays as it is.
    pub(crate) async fn change_keys(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        request: ChangeKeys,
    ) -> Result<Volume> {
        let volume = VolumeRef::new(pool.clone(), name.clone());
        let repository = self.repository(pool)?;
        let record = repository.volume(name).await.map_err(error::engine)?.record;
        let Some(seen) = record.encryption else {
            let message = format!("change the keys of {volume}: it is not encrypted");
            return Err(ErrorBody::new(ErrorKind::Invalid, message)
                .hint("a volume is encrypted when it is created, by --encrypt, or never"));
        };
        let Some(secret) = self.attachments.keys().secret(&volume, request.key)? else {
            return Err(keys::missing(&volume));
        };
        let (key, opened) = keys::open(&volume, &seen, secret).await?;
        let (mut changed, change) = (seen.clone(), request.change);
        let changed = keys::costly(move || {
            match &change {
                KeyChange::Add(new) => drop(changed.add(&key, new, clock::now())?),
                KeyChange::Remove(slot) => changed.remove(*slot)?,
                KeyChange::Replace(new) => {
                    changed.replace(opened, &key, new, clock::now())?;
                }
            }
            Ok::<_, KeyError>(changed)
        });
        let changed = changed.await?.map_err(|e| {
            ErrorBody::new(e.kind(), format!("change the keys of {volume}: {e}"))
                .hint(format!("restblk show {volume} tells its slots"))
        })?;
        let set = repository.set_keys(name, &seen, changed).await;
        set.map_err(error::engine)?;
        tracing::info!(%volume, opened_by_slot = opened, "its keys were changed");
        self.volume(pool, name).await
    }

    /// Deletes a volume for good, or moves it to the trash; answers where it is there.
    pub(crate) async fn delete_volume(
        &self,
        pool: &PoolName,
        name: &VolumeName,
        how: Deletion,
    ) -> Result<Option<TrashEntry>> {
        let keep = match how {
            Deletion::Now => None,
            Deletion::Keep(seconds) => Some(seconds),
            Deletion::AsConfigured => Some(self.keep.0).filter(|seconds| *seconds > 0),
        };
        let repository = self.repository(pool)?;
        let record = repository.volume(name).await.map_err(error::engine)?.record;
        let keep = match record.state {
            // It goes there first, as was begun.
            LifeState::Trashing => keep.or(Some(0)),
            // Of what is not whole nothing can be kept.
            LifeState::Creating | LifeState::Deleting => None,
            LifeState::Ready => keep,
        };
        let delete = async || match keep {
            Some(seconds) => repository
                .trash_volume(name, trash::stay(seconds))
                .await
                .map(Some),
            None => {
                let is_log = record.layout == LayoutKind::Log;
                delete(&repository, name, is_log).await.map(|()| None)
            }
        };
        let mut deleted = delete().await;
        if deleted.as_ref().is_err_and(|e| e.kind() == ErrorKind::Busy)
            && self.attachments.clear_left_over(&repository, name).await?
        {
            deleted = delete().await;
        }
        let entry = match deleted {
            Ok(entry) => entry,
            Err(e) if e.kind() == ErrorKind::Busy => {
                let volume = VolumeRef::new(pool.clone(), name.clone());
                return Err(self.attachments.held("delete", &volume, &repository, e).await);
            }
            Err(e) if e.kind() == ErrorKind::Unsupported && how == Deletion::AsConfigured => {
                return Err(error::engine(e).hint("--now deletes it at once"));
            }
            Err(e) => return Err(error::engine(e)),
        };
        let Some(entry) = entry else {
            tracing::info!(%pool, volume = %name, "deleted");
            self.gone(record.id);
            return Ok(None);
        };
        tracing::info!(%pool, volume = %name, until = entry.trash.until, "moved to the trash");
        if keep == Some(0) {
            match self.purge(repository, entry.trash.id).await {
                Ok(()) => return Ok(None),
                Err(error) => tracing::info!(%pool, volume = %name, %error, "it stays in the trash for now"),
            }
        }
        Ok(Some(trash::described(pool, entry)))
    }

    pub(crate) fn repository(&self, pool: &PoolName) -> Result<Arc<Repository>> {
        Ok(Arc::clone(&self.pools.open(pool)?.repository))
    }

    fn describe(&self, pool: &PoolName, info: VolumeInfo) -> Volume {
        let record = info.record;
        let volume = VolumeRef::new(pool.clone(), record.name);
        Volume {
            id: record.id.to_string(),
            size: ByteCount(record.size),
            block_size: record.block_size,
            layout: match record.layout {
                LayoutKind::Direct => Layout::Direct,
                LayoutKind::Log => Layout::Log,
            },
            durability: (record.layout == LayoutKind::Log).then_some(record.durability),
            compression: (record.layout == LayoutKind::Log).then_some(record.compression),
            encryption: record.encryption.map(told),
            dialect: record.dialect,
            rate_limits: record.rate_limits,
            created_at: record.created_at,
            conversion: record
                .conversion
                .map(|conversion| self.attachments.conversion(&volume, conversion)),
            state: match record.state {
                LifeState::Creating => VolumeState::Creating,
                LifeState::Ready => VolumeState::Ready,
                LifeState::Deleting => VolumeState::Deleting,
                LifeState::Trashing => VolumeState::Trashing,
            },
            volume,
            attached_by: info.attachment.map(|by| AttachedBy {
                this_host: by.host == self.state.host(),
                host_id: by.host.to_string(),
                hostname: by.hostname,
                since: by.since,
            }),
        }
    }

    /// Prometheus' text.
    pub(crate) async fn metrics(&self) -> String {
        let mut text = Text::default();
        text.family("restblk_info");
        text.sample(
            "restblk_info",
            &[("version", &self.info.version), ("hostname", &self.info.hostname)],
            1.0,
        );
        self.metrics.render(&mut text);
        if let Some(cache) = &self.cache {
            cache::render(cache, &mut text);
        }
        let attachments = self.attachments.list().await;
        text.family("restblk_volume_size_bytes");
        for a in &attachments {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
            text.sample(
                "restblk_volume_size_bytes",
                &[("pool", a.volume.pool.as_str()), ("volume", &a.volume.in_pool())],
                a.size.0 as f64,
            );
        }
        text.family("restblk_attachment_state");
        for a in &attachments {
            let state = match a.state {
                AttachmentState::Starting => "starting",
                AttachmentState::Active => "active",
                AttachmentState::Fenced => "fenced",
                AttachmentState::Failed => "failed",
            };
            let labels = [
                ("pool", a.volume.pool.as_str()),
                ("volume", &a.volume.in_pool()),
                ("transport", a.transport.as_str()),
                ("state", state),
            ];
            text.sample("restblk_attachment_state", &labels, 1.0);
        }
        self.render_logs(&mut text);
        let pools = self.pools();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
        let families: [(&str, MirrorValue); 6] = [
            ("restblk_mirror_up", |m| {
                Some(if m.state.works() { 1.0 } else { 0.0 })
            }),
            ("restblk_mirror_outstanding", |m| Some(m.outstanding as f64)),
            ("restblk_mirror_share", |m| Some(m.share)),
            ("restblk_mirror_requests_total", |m| Some(m.requests as f64)),
            ("restblk_mirror_errors_total", |m| Some(m.errors as f64)),
            ("restblk_mirror_latency_seconds", |m| {
                m.latency_ms.map(|ms| ms / 1000.0)
            }),
        ];
        for (family, value) in families {
            text.family(family);
            for (pool, mirror) in pools.iter().flat_map(|p| p.mirrors.iter().map(move |m| (p, m))) {
                if let Some(value) = value(mirror) {
                    text.sample(
                        family,
                        &[("pool", pool.spec.name.as_str()), ("mirror", &mirror.url)],
                        value,
                    );
                }
            }
        }
        let mirrors = || pools.iter().flat_map(|p| p.mirrors.iter().map(move |m| (p, m)));
        text.family("restblk_mirror_state");
        for (pool, mirror) in mirrors() {
            for state in MirrorState::ALL {
                let labels = [
                    ("pool", pool.spec.name.as_str()),
                    ("mirror", mirror.url.as_str()),
                    ("state", state.as_str()),
                ];
                let is = if mirror.state == state { 1.0 } else { 0.0 };
                text.sample("restblk_mirror_state", &labels, is);
            }
        }
        let family = "restblk_mirror_latency_quantile_seconds";
        text.family(family);
        for (pool, mirror) in mirrors() {
            for (quantile, ms) in [
                ("0.5", mirror.latency_p50_ms),
                ("0.95", mirror.latency_p95_ms),
                ("0.99", mirror.latency_p99_ms),
            ] {
                let labels = [
                    ("pool", pool.spec.name.as_str()),
                    ("mirror", mirror.url.as_str()),
                    ("quantile", quantile),
                ];
                if let Some(ms) = ms {
                    text.sample(family, &labels, ms / 1000.0);
                }
            }
        }
        self.render_figures(&mut text);
        text.finish()
    }

    /// What each open log volume has moved, and what it has not.
    fn render_logs(&self, text: &mut Text) {
        let logs = self.attachments.figures();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
        let families: [(&str, LogValue); 6] = [
            ("restblk_log_put_bytes_total", |f| Some(f.put as f64)),
            ("restblk_log_fetched_bytes_total", |f| Some(f.fetched as f64)),
            ("restblk_log_unsent_bytes", |f| Some(f.unsent as f64)),
            ("restblk_log_lag_seconds", |f| Some(f.lag.as_secs_f64())),
            ("restblk_log_journal_used_bytes", |f| {
                f.journal.map(|(used, _)| used as f64)
            }),
            ("restblk_log_journal_size_bytes", |f| {
                f.journal.map(|(_, size)| size as f64)
            }),
        ];
        for (family, value) in families {
            text.family(family);
            for (volume, figures) in &logs {
                if let Some(value) = value(figures) {
                    let labels = [("pool", volume.pool.as_str()), ("volume", &volume.in_pool())];
                    text.sample(family, &labels, value);
                }
            }
        }
    }

    /// What became of the requests of each pool.
    fn render_figures(&self, text: &mut Text) {
        let entries = self.pools.entries();
        let open = entries
            .iter()
            .filter_map(|entry| Some((entry.spec().name, entry.open().ok()?)));
        let figures: Vec<_> = open.map(|(name, open)| (name, open.data.figures())).collect();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
        let families: [(&str, FigureValue); 4] = [
            ("restblk_pool_retries_total", |f| f.retries as f64),
            ("restblk_pool_hedges_total", |f| f.hedges as f64),
            ("restblk_pool_hedges_won_total", |f| f.hedges_won as f64),
            ("restblk_pool_outage_seconds_total", |f| {
                f.outage_total.as_secs_f64()
            }),
        ];
        for (family, value) in families {
            text.family(family);
            for (name, figures) in &figures {
                text.sample(family, &[("pool", name.as_str())], value(figures));
            }
        }
    }
}
