//! The daemon's end: devices are left to the next daemon; where the host goes down with it, they are emptied and taken away.
//!
//! A host that goes down has no next daemon. What looks at a device that nobody serves, such as LVM's last scan, would wait
//! for ever then and keep the host from its end, and what only the kernel's page cache has would be lost. So devices
//! are detached, those still in use as soon as they are not, within [`IN_USE_MAX`]. Persistent ones come back at the next boot.

use super::{
    Attachments,
    slot::{Served, Slot},
};
use crate::{error, error::Result};
use restblk_device::Attached;
use restblk_types::ErrorKind;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long file systems and programs may take to leave their devices while the host goes down. With a detach and a
/// hand-over it is less than the unit's TimeoutStopSec.
const IN_USE_MAX: Duration = Duration::from_secs(20);
/// How long what was written may take to the store while the host goes down.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

impl Attachments {
    /// Ends the serving of everything, all at once.
    pub(crate) async fn end_all(&self, host_goes_down: bool) {
        let slots: Vec<_> = self.slots().values().cloned().collect();
        let ends = slots.iter().map(|slot| self.end_one(slot, host_goes_down));
        futures_util::future::join_all(ends).await;
    }

    async fn end_one(&self, slot: &Slot, host_goes_down: bool) {
        let _operation = slot.operation.lock().await;
        match slot.served() {
            Some(Served::Device(device)) => {
                let gone = host_goes_down && self.take_away(slot, &device).await;
                if !gone {
                    self.leave_to_next(slot, &device).await;
                }
            }
            Some(Served::Export(name, _)) => {
                let _ = self.context.exports.remove(&name).await;
            }
            None => {}
        }
        if let Some(keeper) = slot.with_live(|live| live.keeper.clone()).flatten() {
            keeper.abort();
        }
    }

    /// True where the device has gone.
    async fn take_away(&self, slot: &Slot, device: &Arc<dyn Attached>) -> bool {
        let until = Instant::now() + IN_USE_MAX;
        loop {
            match self.detach_unused(slot, device).await {
                Ok(()) => break,
                Err(e) if e.kind == ErrorKind::Busy && Instant::now() < until => sleep(PAUSE).await,
                Err(e) => {
                    tracing::error!(volume = %slot.volume(), error = e.message, "the host goes down with this device in use");
                    return false;
                }
            }
        }
        let remembered = slot.remember(|r| r.device = None);
        if let Err(e) = self.context.state.remember(&remembered) {
            tracing::warn!(volume = %slot.volume(), error = e.message, "the device is remembered although it has gone");
        }
        if let Some(volume) = slot.with_live(|live| live.opened.volume.clone()) {
            // What does not get there in time is in the journal.
            let drained = tokio::time::timeout(DRAIN_MAX, volume.drain()).await;
            if !matches!(drained, Ok(Ok(()))) {
                tracing::warn!(volume = %slot.volume(), "what was written last is in this host's journal alone: its next attach here brings it to the store");
            }
        }
        tracing::info!(volume = %slot.volume(), "emptied and taken away: the host goes down");
        true
    }

    async fn detach_unused(&self, slot: &Slot, device: &Arc<dyn Attached>) -> Result<()> {
        self.refuse_in_use(slot, false).await?;
        device.detach().await.map_err(error::device)
    }

    /// Leaves the device to the next daemon, as far as its transport can.
    async fn leave_to_next(&self, slot: &Slot, device: &Arc<dyn Attached>) {
        match device.hand_over().await {
            Ok(recovery) => {
                let remembered = slot.remember(|r| r.device = Some(recovery));
                if let Err(e) = self.context.state.remember(&remembered) {
                    tracing::error!(volume = %slot.volume(), error = e.message, "the next daemon may not find the device");
                }
                tracing::info!(volume = %slot.volume(), "left to the next daemon");
            }
            Err(error) => {
                tracing::error!(volume = %slot.volume(), %error, "the device could not be left to the next daemon");
            }
        }
    }
}
