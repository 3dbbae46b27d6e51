//! Detach.

use super::{
    Attachments, not_attached,
    opened::Then,
    slot::{Live, Served, Slot, holders},
};
use crate::{error, error::Result, patience, patience::turn};
use restblk_api::{ErrorBody, Holder};
use restblk_types::{ErrorKind, VolumeRef};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A program that has just ended may still be a client for so long.
const LEAVING: Duration = Duration::from_millis(500);

impl Attachments {
    /// Detaches a volume; `Busy`, with who uses it, while it is in use and `force` was not asked for.
    pub(crate) async fn detach(&self, volume: &VolumeRef, force: bool) -> Result<()> {
        let slot = self.slot(volume).ok_or_else(|| not_attached(volume))?;
        let _operation = turn(&slot.operation, "detach", volume).await?;
        if self.slot(volume).is_none_or(|now| !Arc::ptr_eq(&now, &slot)) {
            return Err(not_attached(volume));
        }
        self.refuse_in_use(&slot, force).await?;
        self.bring_home(&slot, force).await?;
        let remembered = slot.remembered();
        self.names.remove(volume, remembered.alias.as_deref());
        if let Some(served) = slot.served() {
            // What a device that was ended still holds nobody takes any more.
            let ended = slot.with_live(|live| live.opened.volume.failure().is_some());
            if let Err(e) = self.stop(&served, force || ended == Some(true)).await {
                if let Served::Device(device) = &served {
                    // The device is still there, and so is its name.
                    let _ = self
                        .names
                        .create(volume, remembered.alias.as_deref(), device.path());
                }
                return Err(e);
            }
        } else if let Some(left) = remembered
            .device
            .clone()
            .filter(|_| remembered.boot_id == self.context.boot_id)
        {
            // Never recovered in this life: what the earlier daemon left is cleared away.
            self.context
                .transports
                .get(left.kind())?
                .clean(left)
                .await
                .map_err(error::device)?;
        }
        match slot.deactivate("detached") {
            Some(live) => {
                if let Some(keeper) = &live.keeper {
                    keeper.abort();
                }
                self.close_volume(&live.opened, Then::LetGo).await;
            }
            None => self.let_go_unopened(&slot).await,
        }
        self.context.state.forget_attachment(volume)?;
        self.clear_run_dir(&remembered);
        self.vacate(&slot);
        tracing::info!(%volume, "detached");
        Ok(())
    }

    /// Brings what was written to the store while there still is a device to go back to. With `force` what cannot be brought there
    /// stays in the journal.
    async fn bring_home(&self, slot: &Slot, force: bool) -> Result<()> {
        let is_volume = slot.volume().snapshot.is_none();
        let Some(volume) = slot
            .with_live(|live| live.opened.volume.clone())
            .filter(|_| is_volume && !force)
        else {
            return Ok(());
        };
        if volume.failure().is_some() {
            return Ok(());
        }
        let drained = tokio::time::timeout(patience::WORK, volume.drain()).await;
        let error = match drained {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => ErrorBody::new(error.kind(), format!("detach {}: {error}", slot.volume())),
            Err(_) => ErrorBody::new(
                ErrorKind::Unavailable,
                format!(
                    "detach {}: what was written last is not on the store after {} s",
                    slot.volume(),
                    patience::WORK.as_secs()
                ),
            ),
        };
        Err(error.hint(
            "mend the store and detach again; --force detaches all the same: what the store has not stays in this host's \
             journal, and its next attach here brings it there",
        ))
    }

    /// The connections to an export; unless `force` says not to wait, of clients that do not leave within a moment.
    async fn clients(&self, export: &str, force: bool) -> usize {
        let deadline = Instant::now() + LEAVING;
        loop {
            let exports = self.context.exports.list();
            let open = exports
                .iter()
                .find(|e| e.name == export)
                .map_or(0, |e| e.connections);
            if open == 0 || force || Instant::now() > deadline {
                return open;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn refuse_in_use(&self, slot: &Slot, force: bool) -> Result<()> {
        let users: Vec<Holder> = match slot.served() {
            Some(Served::Device(device)) => holders(device.path().to_owned()).await,
            Some(Served::Export(name, _)) => {
                let open = self.clients(&name, force).await;
                let one = Holder {
                    kind: "client".into(),
                    description: format!("open by {open} NBD connection(s)"),
                };
                (open > 0).then_some(one).into_iter().collect()
            }
            None => Vec::new(),
        };
        if users.is_empty() || force {
            return Ok(());
        }
        let who: Vec<_> = users.iter().map(|u| u.description.as_str()).collect();
        Err(ErrorBody::new(
            ErrorKind::Busy,
            format!("detach {}: it is {}", slot.volume(), who.join(", ")),
        )
        .hint("unmount or close it first; --force detaches all the same, and its users get I/O errors"))
    }

    /// Ends the serving. With `force` also of a device that cannot be emptied first, such as that of a lost volume.
    async fn stop(&self, served: &Served, force: bool) -> Result<()> {
        let device = match served {
            Served::Device(device) => device,
            Served::Export(name, _) => {
                let removed = self.context.exports.remove(name).await;
                return removed.map_err(|e| ErrorBody::new(e.kind(), e.to_string()));
            }
        };
        let error = match device.detach().await {
            Ok(()) => return Ok(()),
            Err(error) if !force => {
                return Err(error::device(error).hint(
                    "mend what it says and detach again; --force gives the device up with what was not written yet",
                ));
            }
            Err(error) => error,
        };
        tracing::warn!(device = %device.path().display(), %error, "the device is removed by force");
        let left = device.hand_over().await.map_err(error::device)?;
        let transport = self.context.transports.get(left.kind())?;
        transport.clean(left).await.map_err(error::device)
    }

    /// Ends the serving of an attachment that failed half-way.
    pub(super) async fn end(&self, slot: &Slot, live: &Live) {
        if let Err(e) = self.stop(&live.served, true).await {
            tracing::error!(volume = %slot.volume(), error = e.message, "a device of a failed attach stays");
        }
    }

    /// Lets the lease go of an attachment whose volume was never opened in this daemon's life.
    async fn let_go_unopened(&self, slot: &Slot) {
        if let Err(e) = self.let_go_remembered(&slot.remembered()).await {
            tracing::warn!(
                volume = %slot.volume(), error = e.message,
                "the volume's attachment record stays on the store: this host's next attach clears it, another's needs --force"
            );
        }
    }
}
