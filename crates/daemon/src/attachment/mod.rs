//! Volumes attached to this host: the registry, and what all steps share.
//!
//! ```text
//! attach   remember → take the lease → open the volume → make the device → remember the device → link
//! recover  (remembered) → take the lease again → open → take the device over → link
//! detach   nobody uses it → unlink → remove the device → let the lease go → forget
//! ```
//! What is remembered on disk before a step is what a crash in it needs to be undone or gone on with. One operation at a
//! time on an attachment; different ones do not wait for each other.

mod attach;
mod bring_up;
mod check;
mod convert;
mod detach;
mod end;
mod held;
mod journal;
mod keeper;
mod names;
mod opened;
mod recover;
mod slot;
mod snapshots;
mod streams;

use crate::{
    error::Result,
    keys::Keys,
    metrics::Registry,
    pools::Pools,
    state::{Remembered, StateDir},
    transports::Transports,
};
pub(crate) use check::Checks;
use convert::Conversions;
use names::Names;
use opened::Openings;
use restblk_api::{Attachment, ErrorBody};
use restblk_engine::log::{Cache, LogVolume, Memory};
use restblk_nbd::Exports;
use restblk_types::{AttachmentId, Compression, Durability, ErrorKind, PoolName, RateLimits, VolumeRef};
use slot::Slot;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use streams::ReceivedInto;

/// How long an extend waits for the kernel to show the new size.
const RESIZE_MAX: Duration = Duration::from_secs(3);

/// What attachments need from the daemon.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) state: Arc<StateDir>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) transports: Arc<Transports>,
    pub(crate) exports: Arc<Exports>,
    /// Where NBD clients connect.
    pub(crate) nbd_uris: Vec<String>,
    pub(crate) metrics: Arc<Registry>,
    pub(crate) hostname: String,
    pub(crate) boot_id: String,
    pub(crate) run_dir: PathBuf,
    pub(crate) dev_dir: PathBuf,
    pub(crate) lease_check: Duration,
    pub(crate) journal: Journals,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) keys: Keys,
}

/// Where log volumes keep what is not on the store yet.
#[derive(Debug)]
pub(crate) struct Journals {
    pub(crate) folder: PathBuf,
    /// Bytes of each; 0: none are kept.
    pub(crate) size: u64,
}

/// All attachments of this host.
#[derive(Debug)]
pub(crate) struct Attachments {
    context: Context,
    names: Names,
    openings: Openings,
    conversions: Conversions,
    /// For what goes on in the background.
    me: Weak<Self>,
    slots: Mutex<BTreeMap<VolumeRef, Arc<Slot>>>,
    /// Changed with `slots` locked.
    received_into: Mutex<ReceivedInto>,
}

impl Attachments {
    pub(crate) fn new(context: Context) -> Arc<Self> {
        let names = Names::new(&context.dev_dir, &context.run_dir);
        Arc::new_cyclic(|me| Self {
            context,
            names,
            openings: Openings::default(),
            conversions: Conversions::default(),
            me: Weak::clone(me),
            slots: Mutex::default(),
            received_into: Mutex::default(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<VolumeRef, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received_into(&self) -> MutexGuard<'_, ReceivedInto> {
        self.received_into.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, volume: &VolumeRef) -> Option<Arc<Slot>> {
        self.slots().get(volume).cloned()
    }

    /// A new place for the attachment; `Exists` where the volume is attached already, or its alias taken.
    fn reserve(&self, remembered: Remembered) -> Result<Arc<Slot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(&remembered.volume) {
            let at = slot
                .device_path()
                .map_or_else(String::new, |path| format!(" at {}", path.display()));
            return Err(ErrorBody::new(
                ErrorKind::Exists,
                format!("attach {}: it is attached already{at}", remembered.volume),
            ));
        }
        if self.received_into().contains(&remembered.volume) {
            let message = format!("attach {}: a stream is being received into it", remembered.volume);
            return Err(ErrorBody::new(ErrorKind::Busy, message).hint("attach it when that has ended"));
        }
        if let Some(alias) = &remembered.alias
            && let Some(other) = slots
                .values()
                .find(|s| s.remembered().alias.as_ref() == Some(alias))
        {
            let message = format!(
                "attach {}: {} has the name {alias} already",
                remembered.volume,
                other.volume()
            );
            return Err(ErrorBody::new(ErrorKind::Exists, message));
        }
        let slot = Arc::new(Slot::new(remembered));
        slots.insert(slot.volume().clone(), Arc::clone(&slot));
        Ok(slot)
    }

    fn vacate(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots();
        if slots.get(slot.volume()).is_some_and(|now| Arc::ptr_eq(now, slot)) {
            slots.remove(slot.volume());
        }
    }

    /// One attachment as the API tells it, with who uses it.
    pub(crate) async fn get(&self, volume: &VolumeRef) -> Result<Attachment> {
        match self.slot(volume) {
            Some(slot) => Ok(slot.describe(&self.names).await),
            None => Err(not_attached(volume)),
        }
    }

    /// All attachments.
    pub(crate) async fn list(&self) -> Vec<Attachment> {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        let mut all = Vec::with_capacity(slots.len());
        for slot in slots {
            all.push(slot.describe(&self.names).await);
        }
        all
    }

    /// Whether an attachment is one of this host's, or what something is done under here.
    fn knows(&self, id: AttachmentId) -> bool {
        let is_open = self.openings.all().iter().any(|opened| opened.lease.id() == id);
        is_open
            || self.slots().values().any(|slot| {
                let remembered = slot.remembered();
                remembered.id == id || remembered.held_as == Some(id)
            })
    }

    /// The attachments of a pool.
    pub(crate) fn of_pool(&self, pool: &PoolName) -> Vec<VolumeRef> {
        self.slots()
            .keys()
            .filter(|volume| volume.pool == *pool)
            .cloned()
            .collect()
    }

    /// A volume has new rate limits, which hold at once where it is attached.
    pub(crate) fn limited(&self, volume: &VolumeRef, limits: RateLimits) {
        if let Some(slot) = self.slot(volume) {
            slot.with_live(|live| live.opened.limiter.set(limits));
        }
    }

    /// Flushes of a volume wait for something else from now on, at once where it is open.
    pub(crate) async fn durable(&self, volume: &VolumeRef, durability: Durability) {
        if let Some(log) = self.open_log(volume).await {
            log.set_durability(durability);
        }
    }

    /// A volume's data is packed in another way from now on, at once where it is open.
    pub(crate) async fn compressed(&self, volume: &VolumeRef, compression: Compression) {
        if let Some(log) = self.open_log(volume).await {
            log.set_codec(compression.into());
        }
    }

    /// A log volume that is open.
    async fn open_log(&self, volume: &VolumeRef) -> Option<Arc<LogVolume>> {
        self.openings.find(volume).await?.volume.log()
    }

    /// What opens encrypted volumes on this host.
    pub(crate) fn keys(&self) -> &Keys {
        &self.context.keys
    }

    /// A volume has a new size: its device, where there is one, is told. Returns when the kernel shows it, or after a
    /// while: a transport that cannot resize says so in its limits.
    pub(crate) async fn grown(&self, volume: &VolumeRef, size: u64) {
        let Some(slot) = self.slot(volume) else { return };
        slot.grown(size);
        let Some(path) = slot.device_path() else { return };
        let until = tokio::time::Instant::now() + RESIZE_MAX;
        while shown_size(&path) != Some(size) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The size in bytes that the kernel shows of a device: its own count of sectors of 512 bytes.
fn shown_size(node: &Path) -> Option<u64> {
    let name = node.file_name()?.to_str()?;
    let sectors = std::fs::read_to_string(format!("/sys/class/block/{name}/size")).ok()?;
    sectors.trim().parse::<u64>().ok()?.checked_mul(512)
}

fn not_attached(volume: &VolumeRef) -> ErrorBody {
    ErrorBody::new(
        ErrorKind::NotFound,
        format!("find the attachment of {volume}: it is not attached to this host"),
    )
    .hint("restblk devices lists what is")
}
