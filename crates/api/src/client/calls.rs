//! The calls, in the order of the table in [`crate::paths`].

use super::request::Wait;
use super::{Client, ClientError, Download, Pieces};
use crate::mirror::MirrorTable;
use crate::{
    AttachRequest, Attachment, ChangeKeys, CheckProgress, CheckVolume, CloneSnapshot, ConvertVolume,
    CreateSnapshot, CreateSnapshots, CreateVolume, Deletion, DetachRequest, DiffQuery, ErrorBody,
    ExtendVolume, HostInfo, HostReport, MirrorChange, MirrorSpec, Pool, PoolSpec, Protection, ReceiveQuery,
    RestoreVolume, SendQuery, SetCompression, SetDurability, ShrinkVolume, Snapshot, TrashEntry, Volume,
    VolumeCheck, VolumeUsage, Warmed, paths,
};
use bytes::Bytes;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use restblk_types::{ByteCount, Compression, Durability, ErrorKind, PoolName, RateLimits, VolumeRef};

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// The daemon.
    pub async fn host(&self) -> Result<HostInfo> {
        self.ask(paths::HOST).await
    }

    /// What the host can do and what is missing.
    pub async fn doctor(&self) -> Result<HostReport> {
        self.ask(paths::DOCTOR).await
    }

    /// All pools.
    pub async fn pools(&self) -> Result<Vec<Pool>> {
        self.ask(paths::POOLS).await
    }

    /// Makes a pool known to this host; its store is proved first.
    pub async fn create_pool(&self, spec: &PoolSpec) -> Result<Pool> {
        self.change(Method::POST, paths::POOLS, spec).await
    }

    /// One pool.
    pub async fn pool(&self, pool: &PoolName) -> Result<Pool> {
        self.ask(&paths::pool(pool)).await
    }

    /// Forgets a pool on this host. What is on the store stays.
    pub async fn delete_pool(&self, pool: &PoolName) -> Result<()> {
        self.command(Method::DELETE, &paths::pool(pool), None::<&()>)
            .await
    }

    /// Adds a mirror to a pool.
    pub async fn add_mirror(&self, pool: &PoolName, mirror: &MirrorSpec) -> Result<Pool> {
        let table = MirrorTable::from(mirror.clone());
        self.change(Method::POST, &paths::mirrors(pool), &table).await
    }

    /// Changes how a mirror is used.
    pub async fn set_mirror(&self, pool: &PoolName, change: &MirrorChange) -> Result<Pool> {
        self.change(Method::PUT, &paths::mirrors(pool), change).await
    }

    /// Has a mirror take no new requests, and returns when the last one under way has ended.
    pub async fn drain_mirror(&self, pool: &PoolName, url: &str) -> Result<Pool> {
        let change = MirrorChange {
            url: url.to_owned(),
            ..MirrorChange::default()
        };
        self.change(Method::POST, &paths::drain(pool), &change).await
    }

    /// Takes a mirror out of a pool.
    pub async fn remove_mirror(&self, pool: &PoolName, url: &str) -> Result<Pool> {
        let path = format!(
            "{}?url={}",
            paths::mirrors(pool),
            utf8_percent_encode(url, NON_ALPHANUMERIC)
        );
        let answer = self
            .send(Method::DELETE, &path, Bytes::new(), Wait::ForEver)
            .await?;
        self.read(&Method::DELETE, &path, &answer)
    }

    /// Sets how much I/O a pool's volumes may do together on this host.
    pub async fn limit_pool(&self, pool: &PoolName, limits: &RateLimits) -> Result<Pool> {
        self.change(Method::PUT, &paths::pool_limits(pool), limits).await
    }

    /// The volumes of one pool, or of all.
    pub async fn volumes(&self, pool: Option<&PoolName>) -> Result<Vec<Volume>> {
        match pool {
            // A pool's name needs no quoting.
            Some(pool) => self.ask(&format!("{}?pool={pool}", paths::VOLUMES)).await,
            None => self.ask(paths::VOLUMES).await,
        }
    }

    /// Makes a volume.
    pub async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
        self.change(Method::POST, paths::VOLUMES, request).await
    }

    /// One volume.
    pub async fn volume(&self, volume: &VolumeRef) -> Result<Volume> {
        no_snapshot(volume)?;
        self.ask(&paths::volume(&volume.pool, &volume.volume)).await
    }

    /// Deletes a volume and what is in it, or moves it to the trash: then the answer says for how long.
    pub async fn delete_volume(&self, volume: &VolumeRef, how: Deletion) -> Result<Option<TrashEntry>> {
        no_snapshot(volume)?;
        let path = paths::volume(&volume.pool, &volume.volume);
        let path = match how {
            Deletion::AsConfigured => path,
            Deletion::Now => format!("{path}?now=true"),
            Deletion::Keep(seconds) => format!("{path}?keep={seconds}"),
        };
        let answer = self
            .send(Method::DELETE, &path, Bytes::new(), Wait::ForEver)
            .await?;
        if answer.is_empty() {
            return Ok(None);
        }
        self.read(&Method::DELETE, &path, &answer).map(Some)
    }

    /// What is in a pool's trash.
    pub async fn trash(&self, pool: &PoolName) -> Result<Vec<TrashEntry>> {
        self.ask(&paths::trash(pool)).await
    }

    /// Makes a volume of the trash a volume again.
    pub async fn restore_volume(&self, pool: &PoolName, id: &str, request: &RestoreVolume) -> Result<Volume> {
        self.change(Method::POST, &paths::restore(pool, id), request)
            .await
    }

    /// Removes a volume of the trash for good.
    pub async fn purge_volume(&self, pool: &PoolName, id: &str) -> Result<()> {
        self.command(Method::DELETE, &paths::trashed(pool, id), None::<&()>)
            .await
    }

    /// Makes a volume larger; `size` is the new one.
    pub async fn extend_volume(&self, volume: &VolumeRef, size: ByteCount) -> Result<Volume> {
        no_snapshot(volume)?;
        self.change(
            Method::POST,
            &paths::extend(&volume.pool, &volume.volume),
            &ExtendVolume { size },
        )
        .await
    }

    /// Makes a log volume smaller.
    pub async fn shrink_volume(&self, volume: &VolumeRef, request: &ShrinkVolume) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::shrink(&volume.pool, &volume.volume);
        self.change(Method::POST, &path, request).await
    }

    /// Sets how much I/O a volume may do.
    pub async fn limit_volume(&self, volume: &VolumeRef, limits: &RateLimits) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::volume_limits(&volume.pool, &volume.volume);
        self.change(Method::PUT, &path, limits).await
    }

    /// Sets what a flush of a log volume waits for.
    pub async fn set_durability(&self, volume: &VolumeRef, durability: Durability) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::durability(&volume.pool, &volume.volume);
        self.change(Method::PUT, &path, &SetDurability { durability })
            .await
    }

    /// Sets how the data of a log volume is packed.
    pub async fn set_compression(&self, volume: &VolumeRef, compression: Compression) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::compression(&volume.pool, &volume.volume);
        self.change(Method::PUT, &path, &SetCompression { compression })
            .await
    }

    /// Changes what opens an encrypted volume.
    pub async fn change_keys(&self, volume: &VolumeRef, change: &ChangeKeys) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::keys(&volume.pool, &volume.volume);
        self.change(Method::PUT, &path, change).await
    }

    /// Makes a volume of a raw file that another program left in the pool's repository.
    pub async fn adopt_volume(&self, volume: &VolumeRef) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::adopt(&volume.pool, &volume.volume);
        let answer = self
            .send(Method::POST, &path, Bytes::new(), Wait::ForEver)
            .await?;
        self.read(&Method::POST, &path, &answer)
    }

    /// Changes a volume's layout; takes as long as that takes, and goes on when dropped.
    pub async fn convert(&self, volume: &VolumeRef, request: &ConvertVolume) -> Result<Volume> {
        no_snapshot(volume)?;
        let path = paths::convert(&volume.pool, &volume.volume);
        self.change(Method::POST, &path, request).await
    }

    /// Takes back a change of a volume's layout.
    pub async fn cancel_conversion(&self, volume: &VolumeRef) -> Result<()> {
        no_snapshot(volume)?;
        let path = paths::convert(&volume.pool, &volume.volume);
        self.command(Method::DELETE, &path, None::<&()>).await
    }

    /// What a log volume has on its store.
    pub async fn usage(&self, volume: &VolumeRef) -> Result<VolumeUsage> {
        no_snapshot(volume)?;
        self.ask(&paths::usage(&volume.pool, &volume.volume)).await
    }

    /// Looks a volume through, and repairs it where that is asked for; takes as long as that takes. Dropped, a check ends.
    pub async fn check_volume(&self, volume: &VolumeRef, request: &CheckVolume) -> Result<VolumeCheck> {
        no_snapshot(volume)?;
        self.change(Method::POST, &paths::check(&volume.pool, &volume.volume), request)
            .await
    }

    /// How far the check of a volume has come.
    pub async fn check_progress(&self, volume: &VolumeRef) -> Result<CheckProgress> {
        no_snapshot(volume)?;
        self.ask(&paths::check(&volume.pool, &volume.volume)).await
    }

    /// A volume's snapshots, oldest first.
    pub async fn snapshots(&self, volume: &VolumeRef) -> Result<Vec<Snapshot>> {
        self.ask(&paths::snapshots(volume)).await
    }

    /// Makes a snapshot: the reference has its name.
    pub async fn create_snapshot(&self, volume: &VolumeRef, request: &CreateSnapshot) -> Result<Snapshot> {
        self.change(Method::POST, &paths::snapshots(volume), request)
            .await
    }

    /// Makes snapshots of several volumes at one moment, or none.
    pub async fn create_snapshots(&self, request: &CreateSnapshots) -> Result<Vec<Snapshot>> {
        self.change(Method::POST, paths::SNAPSHOTS, request).await
    }

    /// One snapshot.
    pub async fn snapshot(&self, snapshot: &VolumeRef) -> Result<Snapshot> {
        self.ask(&paths::snapshot(snapshot)).await
    }

    /// Deletes a snapshot.
    pub async fn delete_snapshot(&self, snapshot: &VolumeRef) -> Result<()> {
        self.command(Method::DELETE, &paths::snapshot(snapshot), None::<&()>)
            .await
    }

    /// Guards a snapshot against its deletion, or ends that.
    pub async fn protect_snapshot(&self, snapshot: &VolumeRef, protection: Protection) -> Result<Snapshot> {
        self.change(Method::PUT, &paths::protection(snapshot), &protection)
            .await
    }

    /// Makes the volume what the snapshot is; what was written since is lost.
    pub async fn roll_back(&self, snapshot: &VolumeRef) -> Result<()> {
        self.command(Method::POST, &paths::rollback(snapshot), None::<&()>)
            .await
    }

    /// Makes a volume that begins as the snapshot.
    pub async fn clone_snapshot(&self, snapshot: &VolumeRef, request: &CloneSnapshot) -> Result<Volume> {
        self.change(Method::POST, &paths::clone(snapshot), request).await
    }

    /// What changed in a volume, or in a snapshot of it: lines of [`crate::DiffLine`].
    pub async fn diff(&self, of: &VolumeRef, query: &DiffQuery) -> Result<Download> {
        let from = query.from.as_ref().map(|from| format!("from={from}"));
        self.download(&with_query(paths::diff(of), from)).await
    }

    /// A snapshot, or what changed since an earlier one, as a stream.
    pub async fn stream(&self, snapshot: &VolumeRef, query: &SendQuery) -> Result<Download> {
        let quoted = |word: &String| utf8_percent_encode(word, NON_ALPHANUMERIC).to_string();
        let from = query.from.as_ref().map(|from| format!("from={from}"));
        let resume = query
            .resume
            .as_ref()
            .map(|token| format!("resume={}", quoted(token)));
        let plaintext = query.plaintext.then(|| "plaintext=true".to_owned());
        let query = [from, resume, plaintext].into_iter().flatten();
        self.download(&with_query(paths::stream(snapshot), query)).await
    }

    /// Gives a stream to a volume, which has its snapshot then.
    pub async fn receive(&self, volume: &VolumeRef, query: ReceiveQuery, stream: Pieces) -> Result<Snapshot> {
        no_snapshot(volume)?;
        let force = query.force.then(|| "force=true".to_owned());
        let plaintext = query.plaintext.then(|| "plaintext=true".to_owned());
        let query = force.into_iter().chain(plaintext);
        self.upload(&with_query(paths::receive(volume), query), stream)
            .await
    }

    /// Copies into a clone what it reads from other volumes; takes as long as that takes.
    pub async fn flatten(&self, volume: &VolumeRef) -> Result<()> {
        no_snapshot(volume)?;
        self.command(Method::POST, &paths::flatten(volume), None::<&()>)
            .await
    }

    /// Fills the host's cache with what a log volume reads; takes as long as that takes.
    pub async fn warm(&self, volume: &VolumeRef) -> Result<Warmed> {
        no_snapshot(volume)?;
        self.change(Method::POST, &paths::warm(volume), &()).await
    }

    /// All attachments of this host.
    pub async fn attachments(&self) -> Result<Vec<Attachment>> {
        self.ask(paths::ATTACHMENTS).await
    }

    /// Attaches a volume.
    pub async fn attach(&self, request: &AttachRequest) -> Result<Attachment> {
        self.change(Method::POST, paths::ATTACHMENTS, request).await
    }

    /// The attachment of one volume.
    pub async fn attachment(&self, volume: &VolumeRef) -> Result<Attachment> {
        self.ask(&paths::attachment(volume)).await
    }

    /// Detaches a volume.
    pub async fn detach(&self, volume: &VolumeRef, request: &DetachRequest) -> Result<()> {
        self.command(Method::POST, &paths::detach(volume), Some(request))
            .await
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        self.ask(paths::OPENAPI).await
    }

    /// The metrics, in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String> {
        let answer = self
            .send(Method::GET, paths::METRICS, Bytes::new(), Wait::Patience)
            .await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn with_query(path: String, query: impl IntoIterator<Item = String>) -> String {
    let query: Vec<String> = query.into_iter().collect();
    if query.is_empty() {
        path
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// The paths have no place for a snapshot; without this, one that is named would silently mean its volume.
fn no_snapshot(volume: &VolumeRef) -> Result<()> {
    match &volume.snapshot {
        None => Ok(()),
        Some(_) => Err(ErrorBody::new(
            ErrorKind::Unsupported,
            format!("{volume} is a snapshot, and a volume is needed"),
        )
        .hint(format!(
            "name the volume alone: {}/{}",
            volume.pool, volume.volume
        ))
        .into()),
    }
}
