//! A volume changes its layout, under its users: docs/decisions/0015. `direct` becomes `log`, or the other way round.
//!
//! ```text
//! record: making → copying ─────────────────────→ clearing → (none)
//!    make the new side   open, mirror, copy, switch   remove the old side
//!            │              └──→ leaving → (none)
//!            └──→ (none)         remove the new side
//! ```
//! Each arrow is one replacement of the record (`records.rs`); the volume is the old side before `clearing`, and the new one from then on.
//! [`convert`] takes up whatever the record says, so a crash between any two requests is gone on from, here or on another host.
//!
//! What it does not do: keep others from resizing the volume or making snapshots meanwhile; where they did, nothing is switched.

mod copy;
mod mirror;
mod records;

pub use copy::Progress;
pub(crate) use mirror::Mirrored;
pub use records::NewLayout;

use crate::{EngineError, Lease, Repository, Side, Volume, front::Way};
use async_trait::async_trait;
use mirror::Mirror;
use restblk_block::{BlockError, Limiter};
use restblk_format::{Conversion, ConversionStage, LayoutKind, VolumeRecord};
use restblk_types::{ErrorKind, VolumeName};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a side that is given up may take to end what it has under way.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A volume that is ours, and open.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Its repository.
    pub repository: &'a Repository,
    /// Its lease.
    pub lease: &'a Lease,
    /// Its name.
    pub name: &'a VolumeName,
    /// What its users have.
    pub volume: &'a Volume,
}

/// Who opens the new side: what a host has for that (journal, cache, connections) is its own.
#[async_trait]
pub trait Opener: Sync {
    /// Opens a volume's data as this record says that it lies.
    async fn open(&self, record: &VolumeRecord) -> Result<Side, EngineError>;
}

/// What may be said to a conversion while it is under way.
#[derive(Debug)]
pub struct Orders {
    /// How quickly the copy may go.
    pub limiter: Limiter,
    /// Whether it is to be taken back; heeded until the switch.
    pub cancel: watch::Sender<bool>,
}

/// How a conversion ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The volume has its new layout.
    Converted,
    /// It is as it was, for this reason.
    TakenBack(EngineError),
}

/// Goes on with the conversion that the volume's record tells of, to its end.
///
/// An error leaves the conversion as the record tells: it is gone on with by the next call.
pub async fn convert(
    ground: Ground<'_>,
    opener: &dyn Opener,
    orders: &Orders,
    told: &(dyn Fn(Progress) + Sync),
) -> Result<Ended, EngineError> {
    let Ground {
        repository,
        lease,
        name,
        ..
    } = ground;
    let mut why = ground.refused(ErrorKind::Conflict, "it was being taken back already");
    // The new side is of this very call, and has nothing but zeros.
    let mut is_empty = false;
    let mut record = repository.record(name).await?;
    while let Some(conversion) = record.conversion.clone() {
        let at = |stage| {
            Some(Conversion {
                stage,
                ..conversion.clone()
            })
        };
        // Whoever took the volume from us goes on with it.
        lease.check().await?;
        record = match conversion.stage {
            ConversionStage::Making => {
                let made = if *orders.cancel.borrow() {
                    Err(ground.cancelled())
                } else {
                    repository.make_side(&record).await
                };
                match made {
                    Ok(()) => {
                        is_empty = true;
                        repository
                            .mark(name, &conversion, at(ConversionStage::Copying))
                            .await?
                    }
                    Err(e) => {
                        repository.remove_side(lease, &record, conversion.to).await?;
                        repository.mark(name, &conversion, None).await?;
                        return Ok(Ended::TakenBack(e));
                    }
                }
            }
            ConversionStage::Copying => {
                match ground.bring_over(&record, opener, is_empty, orders, told).await {
                    Ok(after) => after,
                    Err(e) if e.kind() == ErrorKind::Fenced => return Err(e),
                    Err(e) => {
                        lease.check().await?;
                        tracing::warn!(volume = %name, error = %e, "the conversion is taken back");
                        why = e;
                        repository
                            .mark(name, &conversion, at(ConversionStage::Leaving))
                            .await?
                    }
                }
            }
            ConversionStage::Leaving => {
                repository.remove_side(lease, &record, conversion.to).await?;
                repository.mark(name, &conversion, None).await?;
                return Ok(Ended::TakenBack(why));
            }
            ConversionStage::Clearing => {
                let old = other(conversion.to);
                repository.remove_side(lease, &record, old).await?;
                repository.mark(name, &conversion, None).await?
            }
        };
    }
    Ok(Ended::Converted)
}

impl Ground<'_> {
    /// Opens the new side, has it equal to the old one, and makes it the volume. After an error the old side alone is the volume, as ever.
    async fn bring_over(
        self,
        record: &VolumeRecord,
        opener: &dyn Opener,
        is_empty: bool,
        orders: &Orders,
        told: &(dyn Fn(Progress) + Sync),
    ) -> Result<VolumeRecord, EngineError> {
        let bug = || self.refused(ErrorKind::Bug, "no conversion is under way");
        let (Some(after), Some(conversion)) = (record.converted(), &record.conversion) else {
            return Err(bug());
        };
        if conversion.to == LayoutKind::Direct {
            self.repository.prepare_file(self.lease, record).await?;
        }
        let (front, Way::Plain(old)) = (self.volume.front(), self.volume.front().way()) else {
            return Err(bug());
        };
        let new = opener.open(&after).await?;
        let mirror = Mirror::new(old.clone(), new.clone());
        let copied = async {
            front.take(Way::Mirrored(Mirrored(Arc::clone(&mirror)))).await;
            copy::copy(&mirror, is_empty, &orders.limiter, told).await
        };
        let copied = tokio::select! {
            copied = copied => copied.map_err(failed),
            why = mirror.lost() => Err(failed(why)),
            () = is_told(&orders.cancel) => Err(self.cancelled()),
        };
        let switched = match copied {
            Ok(()) => self.switch(&mirror, conversion).await,
            Err(e) => Err(e),
        };
        let given_up = match &switched {
            Ok(_) => old,
            Err(_) => {
                mirror.decide(&old);
                front.take(Way::Plain(old)).await;
                new
            }
        };
        if tokio::time::timeout(STOP_MAX, given_up.stop()).await.is_err() {
            tracing::debug!(volume = %self.name, "the side that was given up does not end in time");
        }
        switched
    }

    /// Makes the new side the volume, with changes held meanwhile; returns when nobody uses the old one any more.
    async fn switch(self, mirror: &Mirror, conversion: &Conversion) -> Result<VolumeRecord, EngineError> {
        let (old, new) = (&mirror.old, &mirror.new);
        if let Some(log) = old.as_log()
            && !log.children().is_empty()
        {
            // Clones that are gone are listed until somebody looks.
            log.reap().await?;
        }
        // Most of it is done while changes go on.
        settle(old, new).await?;
        let held = mirror.hold().await;
        mirror.whole().map_err(failed)?;
        settle(old, new).await?;
        self.require_unchanged(mirror)?;
        self.lease.check().await?;
        let switched = self.repository.switch(self.lease, self.name, conversion).await;
        let after = switched.inspect_err(|e| {
            if e.kind() == ErrorKind::Fenced {
                // Perhaps it was done, and the old side is the volume no more.
                old.fail(ErrorKind::Fenced, &e.to_string());
            }
        })?;
        mirror.decide(new);
        let front = self.volume.front();
        let left = front.take(Way::Plain(new.clone()));
        drop(held);
        front.follow_size(new);
        tracing::info!(volume = %self.name, layout = ?after.layout, "the volume has its new layout");
        left.await;
        Ok(after)
    }

    /// Nothing happened that the new side does not have.
    fn require_unchanged(self, mirror: &Mirror) -> Result<(), EngineError> {
        let size = |side: &Side| side.device().geometry().size;
        let has_snapshots = mirror
            .old
            .as_log()
            .is_some_and(|log| !log.snapshots().is_empty() || !log.children().is_empty());
        if let Some(error) = mirror.old.failure() {
            return Err(failed(error));
        }
        let why = if size(&mirror.old) != size(&mirror.new) {
            "its size was changed meanwhile"
        } else if has_snapshots {
            "snapshots of it were made meanwhile"
        } else {
            return Ok(());
        };
        Err(self.refused(ErrorKind::Busy, why))
    }

    fn refused(self, kind: ErrorKind, why: &str) -> EngineError {
        EngineError::refused(
            kind,
            format!("convert {}: {why}", self.repository.full(self.name)),
        )
    }

    fn cancelled(self) -> EngineError {
        self.refused(ErrorKind::Conflict, "it was cancelled")
    }
}

impl Repository {
    /// `Busy` while the volume's layout is being changed. `doing` is what is refused then.
    pub fn require_settled(&self, doing: &str, record: &VolumeRecord) -> Result<(), EngineError> {
        let Some(conversion) = &record.conversion else {
            return Ok(());
        };
        let full = self.full(&record.name);
        let message = format!(
            "{doing} {full}: its conversion is not done ({}, since {}): wait for it (restblk convert {full} waits, and goes on with it), or take it back (--cancel)",
            conversion.stage.as_str(),
            conversion.since
        );
        Err(EngineError::refused(ErrorKind::Busy, message))
    }
}

/// Has all on both sides safe. The old one, too: a store that has lost writes since it acknowledged them says so to a flush alone.
async fn settle(old: &Side, new: &Side) -> Result<(), EngineError> {
    old.device().flush().await.map_err(failed)?;
    new.settle().await.map_err(failed)
}

fn failed(error: BlockError) -> EngineError {
    EngineError::refused(error.kind(), error.to_string())
}

/// Waits until it is said that the conversion is to be taken back.
async fn is_told(cancel: &watch::Sender<bool>) {
    // The sender is there, so waiting cannot fail.
    let _ = cancel.subscribe().wait_for(|cancel| *cancel).await;
}

fn other(layout: LayoutKind) -> LayoutKind {
    match layout {
        LayoutKind::Direct => LayoutKind::Log,
        LayoutKind::Log => LayoutKind::Direct,
    }
}
