//! Volumes change their layout while they are open here: the engine does it (`restblk_engine::convert`), this opens the new side, keeps
//! the volume open and the lease fresh meanwhile, and tells how far it is.
//!
//! A conversion is one of the users of an open volume: it goes on when the device is detached, and its volume stays this host's until it
//! has ended. One that the record tells of is gone on with whenever the volume is opened, so a daemon that took devices over goes on with
//! what its predecessor was at. While the store does not answer it is tried again.

use super::{
    Attachments, journal,
    opened::{Opened, Then},
    streams::check_whole,
};
use crate::{clock, error, error::Result};
use async_trait::async_trait;
use restblk_api::{ConvertVolume, ErrorBody, Layout, VolumeConversion};
use restblk_block::{BlockDevice, Limiter};
use restblk_engine::{
    EngineError, Side,
    convert::{self, Ended, Ground, NewLayout, Opener, Orders, Progress},
};
use restblk_format::{Conversion, LayoutKind, VolumeRecord};
use restblk_types::{ByteCount, Durability, ErrorKind, RateLimits, VolumeId, VolumeRef};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Pauses between tries while the store does not answer.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// The conversions that are under way here.
#[derive(Debug, Default)]
pub(super) struct Conversions {
    running: Mutex<BTreeMap<VolumeRef, Arc<Running>>>,
    /// Held by whoever begins one.
    beginning: tokio::sync::Mutex<()>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Running {
    orders: Orders,
    begun: Instant,
    progress: Mutex<Progress>,
    ended: watch::Sender<Option<Told>>,
}

/// How it ended, for those who wait for that.
#[derive(Clone, Debug)]
enum Told {
    Converted,
    TakenBack(ErrorBody),
    /// It is as the record tells.
    Failed(ErrorBody),
}

impl Running {
    fn new() -> Self {
        Self {
            orders: Orders {
                limiter: Limiter::new(RateLimits::default()),
                cancel: watch::Sender::new(false),
            },
            begun: Instant::now(),
            progress: Mutex::default(),
            ended: watch::Sender::new(None),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most so many bytes are copied in a second, from now on.
    fn limit(&self, bytes_per_s: Option<ByteCount>) {
        let Some(bytes_per_s) = bytes_per_s else { return };
        self.orders.limiter.set(RateLimits {
            bytes_per_s: Some(bytes_per_s.0),
            ..RateLimits::default()
        });
    }

    async fn wait(&self) -> Told {
        let mut ended = self.ended.subscribe();
        // The sender is in `self`, so waiting cannot fail.
        let ended = ended.wait_for(Option::is_some).await.ok();
        ended
            .and_then(|ended| ended.clone())
            .unwrap_or_else(|| Told::Failed(ErrorBody::new(ErrorKind::Bug, "wait for a conversion")))
    }
}

/// Opens the new side of a volume that is open.
struct NewSide<'a> {
    attachments: &'a Attachments,
    opened: &'a Opened,
}

#[async_trait]
impl Opener for NewSide<'_> {
    async fn open(&self, record: &VolumeRecord) -> std::result::Result<Side, EngineError> {
        let Opened { pool, lease, .. } = self.opened;
        let side = self.attachments.open_side(pool, lease, record, false, None).await;
        side.map_err(|e| EngineError::refused(e.kind, e.message))
    }
}

impl Conversions {
    fn running(&self) -> MutexGuard<'_, BTreeMap<VolumeRef, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, volume: &VolumeRef) -> Option<Arc<Running>> {
        self.running().get(&volume.whole()).cloned()
    }
}

impl Attachments {
    /// Converts a volume, or goes on with it; returns when that is done.
    pub(crate) async fn convert(&self, volume: &VolumeRef, request: &ConvertVolume) -> Result<()> {
        let running = {
            let _beginning = self.conversions.beginning.lock().await;
            let opened = self.open_shared(volume).await?;
            // Opening it takes up what was begun before.
            match self.begin(&opened, request).await {
                Ok(()) => match self.conversions.find(volume) {
                    Some(running) => {
                        self.close_volume(&opened, Then::LetGo).await;
                        running
                    }
                    None => self.start(opened),
                },
                Err(e) => {
                    self.close_volume(&opened, Then::LetGo).await;
                    return Err(e);
                }
            }
        };
        running.limit(request.bytes_per_s);
        match running.wait().await {
            Told::Converted => Ok(()),
            Told::TakenBack(why) | Told::Failed(why) => Err(why),
        }
    }

    async fn begin(&self, opened: &Opened, request: &ConvertVolume) -> Result<()> {
        let volume = opened.name();
        let to = match request.to {
            Layout::Direct => LayoutKind::Direct,
            Layout::Log => LayoutKind::Log,
        };
        if to == LayoutKind::Direct && (request.durability.is_some() || request.compression.is_some()) {
            let message = format!(
                "convert {volume}: a direct volume's file holds its bytes as they are, and is on the store alone"
            );
            return Err(ErrorBody::new(ErrorKind::Invalid, message)
                .hint("leave out the durability and the compression"));
        }
        check_whole(opened, "convert", volume)?;
        let features = opened.volume.device().geometry().features;
        if to == LayoutKind::Log && !features.volatile_cache && self.slot(volume).is_some() {
            let message = format!(
                "convert {volume}: its device was attached as one without a volatile cache, which the kernel never flushes, and a log volume has one"
            );
            return Err(ErrorBody::new(ErrorKind::Unsupported, message).hint(format!(
                "restblk detach {volume}, then convert it; it can be attached again while that is under way"
            )));
        }
        let new = NewLayout {
            to,
            log_id: VolumeId::random(),
            durability: request.durability.unwrap_or(Durability::Remote),
            compression: request.compression.unwrap_or_default(),
            since: clock::now(),
        };
        let begun = opened
            .pool
            .repository
            .begin_conversion(&volume.volume, &new)
            .await;
        begun.map(drop).map_err(error::engine)
    }

    /// Goes on, in the background, with the conversion of a volume that was opened for it.
    pub(super) fn start(&self, opened: Arc<Opened>) -> Arc<Running> {
        let running = Arc::new(Running::new());
        self.conversions
            .running()
            .insert(opened.name().clone(), Arc::clone(&running));
        if let Some(attachments) = self.me.upgrade() {
            tokio::spawn(attachments.run(opened, Arc::clone(&running)));
        }
        running
    }

    async fn run(self: Arc<Self>, opened: Arc<Opened>, running: Arc<Running>) {
        let volume = opened.name();
        let mut pause = RETRY_MIN;
        let ended = loop {
            match self.drive(&opened, &running).await {
                Err(e) if e.kind().is_transient() => {
                    tracing::warn!(%volume, error = %e, "the conversion does not get on; it is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
                ended => break ended,
            }
        };
        if opened.volume.log().is_none() {
            journal::remove(&self.context, opened.lease.record().volume);
        }
        let told = match ended {
            Ok(Ended::Converted) => {
                tracing::info!(%volume, "converted");
                Told::Converted
            }
            Ok(Ended::TakenBack(why)) => {
                tracing::warn!(%volume, %why, "not converted: it is as it was");
                Told::TakenBack(ErrorBody::new(
                    why.kind(),
                    format!("{why}; the volume is as it was"),
                ))
            }
            Err(e) => {
                tracing::error!(%volume, error = %e, "not converted");
                Told::Failed(error::engine(e).hint(format!(
                    "restblk show {volume} tells how far it is; restblk convert {volume} goes on"
                )))
            }
        };
        self.conversions.running().remove(volume);
        // An attachment that is being recovered opens it again.
        let then = if self.slot(volume).is_some() {
            Then::Keep
        } else {
            Then::LetGo
        };
        self.close_volume(&opened, then).await;
        running.ended.send_replace(Some(told));
    }

    async fn drive(&self, opened: &Opened, running: &Running) -> std::result::Result<Ended, EngineError> {
        let ground = Ground {
            repository: &opened.pool.repository,
            lease: &opened.lease,
            name: &opened.name().volume,
            volume: &opened.volume,
        };
        let new_side = NewSide {
            attachments: self,
            opened,
        };
        let told = |progress| *running.progress() = progress;
        tokio::select! {
            ended = convert::convert(ground, &new_side, &running.orders, &told) => ended,
            never = self.keep_lease(opened) => never,
        }
    }

    /// Takes a conversion back that has not come to its end; returns when that is done.
    pub(crate) async fn cancel_conversion(&self, volume: &VolumeRef) -> Result<()> {
        let (running, opened) = {
            let _beginning = self.conversions.beginning.lock().await;
            match self.conversions.find(volume) {
                Some(running) => (running, None),
                None => {
                    let opened = self.open_shared(volume).await?;
                    match self.conversions.find(volume) {
                        Some(running) => (running, Some(opened)),
                        None => {
                            self.close_volume(&opened, Then::LetGo).await;
                            let message = format!("take the conversion of {volume} back: none is under way");
                            return Err(ErrorBody::new(ErrorKind::NotFound, message));
                        }
                    }
                }
            }
        };
        running.orders.cancel.send_replace(true);
        if let Some(opened) = opened {
            self.close_volume(&opened, Then::LetGo).await;
        }
        match running.wait().await {
            Told::TakenBack(_) => Ok(()),
            Told::Failed(why) => Err(why),
            Told::Converted => {
                let message = format!("take the conversion of {volume} back: it was done already");
                Err(ErrorBody::new(ErrorKind::Conflict, message).hint("convert it to the other layout"))
            }
        }
    }

    /// A conversion as the API tells it.
    pub(crate) fn conversion(&self, volume: &VolumeRef, conversion: Conversion) -> VolumeConversion {
        let running = self.conversions.find(volume);
        let progress = running.as_ref().map(|running| *running.progress());
        VolumeConversion {
            to: match conversion.to {
                LayoutKind::Direct => Layout::Direct,
                LayoutKind::Log => Layout::Log,
            },
            stage: conversion.stage.as_str().to_owned(),
            since: conversion.since,
            done: progress.map(|progress| ByteCount(progress.done)),
            copied: progress.map(|progress| ByteCount(progress.copied)),
            seconds: running.map(|running| running.begun.elapsed().as_secs_f64()),
        }
    }

    /// `Busy` while the volume is being converted here.
    pub(super) fn require_unconverting(&self, volume: &VolumeRef) -> Result<()> {
        if self.conversions.find(volume).is_none() {
            return Ok(());
        }
        let volume = volume.whole();
        let message = format!("change {volume}: its layout is being changed");
        Err(ErrorBody::new(ErrorKind::Busy, message).hint(format!(
            "restblk convert {volume} waits for that, restblk convert {volume} --cancel takes it back"
        )))
    }
}
