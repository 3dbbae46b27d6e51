//! The place of one attachment: what is remembered of it, and its live parts while it has them.

use super::{names::Names, opened::Opened, shown_size};
use crate::state::Remembered;
use restblk_api::{Attachment, AttachmentState, Holder, TransportChoice};
use restblk_block::BlockDevice;
use restblk_device::{
    Attached,
    holders::{self, HeldBy},
};
use restblk_types::{ByteCount, ErrorKind, VolumeRef};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::AbortHandle;

/// What serves the volume.
#[derive(Clone, Debug)]
pub(super) enum Served {
    /// A device of this host.
    Device(Arc<dyn Attached>),
    /// An export of the NBD server, by this name.
    Export(String, Vec<String>),
}

/// The live parts of an attachment.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) opened: Arc<Opened>,
    /// What the transport serves: the volume, or a snapshot of it.
    pub(super) device: Arc<dyn BlockDevice>,
    pub(super) served: Served,
    pub(super) limits: Vec<String>,
    pub(super) keeper: Option<AbortHandle>,
}

#[derive(Debug)]
enum Phase {
    Starting { problem: Option<String> },
    Active(Box<Live>),
    Failed { problem: String },
}

#[derive(Debug)]
pub(super) struct Slot {
    volume: VolumeRef,
    /// Held by whoever changes the attachment.
    pub(super) operation: tokio::sync::Mutex<()>,
    remembered: Mutex<Remembered>,
    phase: Mutex<Phase>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(super) fn new(remembered: Remembered) -> Self {
        Self {
            volume: remembered.volume.clone(),
            operation: tokio::sync::Mutex::default(),
            remembered: Mutex::new(remembered),
            phase: Mutex::new(Phase::Starting { problem: None }),
        }
    }

    pub(super) fn volume(&self) -> &VolumeRef {
        &self.volume
    }

    pub(super) fn remembered(&self) -> Remembered {
        lock(&self.remembered).clone()
    }

    pub(super) fn remember(&self, change: impl FnOnce(&mut Remembered)) -> Remembered {
        let mut remembered = lock(&self.remembered);
        change(&mut remembered);
        remembered.clone()
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(&*lock(&self.phase), Phase::Active(_))
    }

    /// True where it was tried, and is tried again.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&*lock(&self.phase), Phase::Starting { problem: Some(_) })
    }

    pub(super) fn activate(&self, live: Live) {
        *lock(&self.phase) = Phase::Active(Box::new(live));
    }

    /// Puts the keeper's handle where a detach finds it.
    pub(super) fn keep(&self, keeper: AbortHandle) {
        match &mut *lock(&self.phase) {
            Phase::Active(live) => live.keeper = Some(keeper),
            _ => keeper.abort(),
        }
    }

    /// Takes the live parts away, leaving the reason.
    pub(super) fn deactivate(&self, problem: &str) -> Option<Live> {
        match std::mem::replace(
            &mut *lock(&self.phase),
            Phase::Failed {
                problem: problem.to_owned(),
            },
        ) {
            Phase::Active(live) => Some(*live),
            _ => None,
        }
    }

    pub(super) fn waiting(&self, problem: &str) {
        *lock(&self.phase) = Phase::Starting {
            problem: Some(problem.to_owned()),
        };
    }

    /// What a look at the live parts tells.
    pub(super) fn with_live<T>(&self, look: impl FnOnce(&Live) -> T) -> Option<T> {
        match &*lock(&self.phase) {
            Phase::Active(live) => Some(look(live)),
            _ => None,
        }
    }

    pub(super) fn served(&self) -> Option<Served> {
        self.with_live(|live| live.served.clone())
    }

    pub(super) fn device_path(&self) -> Option<PathBuf> {
        match self.served()? {
            Served::Device(device) => Some(device.path().to_owned()),
            Served::Export(..) => None,
        }
    }

    pub(super) fn grown(&self, size: u64) {
        self.with_live(|live| live.opened.volume.grown(size));
    }

    pub(super) async fn describe(&self, names: &Names) -> Attachment {
        let remembered = self.remembered();
        let holders = match self.device_path() {
            Some(path) => holders(path).await,
            None => Vec::new(),
        };
        let mut attachment = Attachment {
            volume: self.volume.clone(),
            transport: remembered.transport.parse().unwrap_or(TransportChoice::Auto),
            device: None,
            link: None,
            alias: remembered.alias,
            nbd_uris: Vec::new(),
            state: AttachmentState::Starting,
            problem: None,
            limits: Vec::new(),
            size: ByteCount(0),
            device_size: None,
            block_size: 0,
            persist: remembered.persist,
            read_only: remembered.read_only,
            since: remembered.since,
            holders,
        };
        match &*lock(&self.phase) {
            Phase::Starting { problem } => attachment.problem.clone_from(problem),
            Phase::Failed { problem } => {
                attachment.state = AttachmentState::Failed;
                attachment.problem = Some(problem.clone());
            }
            Phase::Active(live) => {
                let geometry = live.device.geometry();
                attachment.size = ByteCount(geometry.size);
                attachment.block_size = geometry.block_size.bytes();
                attachment.limits.clone_from(&live.limits);
                attachment.state = AttachmentState::Active;
                if let Some(failure) = live.opened.volume.failure() {
                    let fenced = failure.kind() == ErrorKind::Fenced;
                    attachment.state = if fenced {
                        AttachmentState::Fenced
                    } else {
                        AttachmentState::Failed
                    };
                    attachment.problem = Some(failure.to_string());
                }
                match &live.served {
                    Served::Device(device) => {
                        attachment.transport = choice_of(device.recovery().kind());
                        attachment.device = Some(device.path().display().to_string());
                        attachment.device_size = shown_size(device.path()).map(ByteCount);
                        attachment.link = Some(names.link(&self.volume).display().to_string());
                    }
                    Served::Export(_, uris) => attachment.nbd_uris.clone_from(uris),
                }
            }
        }
        attachment
    }
}

pub(super) fn choice_of(kind: restblk_device::TransportKind) -> TransportChoice {
    use restblk_device::TransportKind as K;
    match kind {
        K::Ublk => TransportChoice::Ublk,
        K::Nbd => TransportChoice::Nbd,
        K::Loop => TransportChoice::Loop,
    }
}

/// Who uses the device; nobody where it cannot be told (it has just gone).
pub(super) async fn holders(path: PathBuf) -> Vec<Holder> {
    let found = tokio::task::spawn_blocking(move || holders::holders(&path)).await;
    let found = found.ok().and_then(Result::ok).unwrap_or_default();
    let one = |holder: holders::Holder| Holder {
        kind: match &holder.by {
            HeldBy::Mount { .. } => "mount",
            HeldBy::Swap => "swap",
            HeldBy::Kernel { .. } => "device",
            HeldBy::Process(_) => "process",
        }
        .to_owned(),
        description: holder.to_string(),
    };
    found.into_iter().map(one).collect()
}
