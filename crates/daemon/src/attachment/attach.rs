//! Attach: from a request to a device, or to nothing left behind.

use super::{
    Attachments,
    names::Names,
    opened::{Opened, Then},
    slot::{Live, Served, Slot},
    streams::check_whole,
};
use crate::{clock, error::Result, state::Remembered};
use restblk_api::{AttachRequest, Attachment};
use restblk_engine::Takeover;
use restblk_types::{AttachmentId, KeySecret, VolumeId};
use std::sync::Arc;

impl Attachments {
    /// Attaches a volume; what was done before an error is undone.
    pub(crate) async fn attach(self: &Arc<Self>, request: AttachRequest) -> Result<Attachment> {
        if let Some(alias) = &request.alias {
            Names::check_alias(alias)?;
        }
        if let Some(slot) = self.slot(&request.volume).filter(|slot| slot.is_waiting())
            && let Some(key) = request.key
        {
            return self.unlock(&slot, key).await;
        }
        let remembered = Remembered {
            volume: request.volume.clone(),
            volume_id: VolumeId::from_bytes([0; 16]),
            id: AttachmentId::random(),
            held_as: None,
            transport: request.transport.as_str().to_owned(),
            device: None,
            boot_id: self.context.boot_id.clone(),
            persist: request.persist,
            read_only: request.read_only || request.volume.snapshot.is_some(),
            queues: request.queues,
            alias: request.alias.clone(),
            since: clock::now(),
        };
        let slot = self.reserve(remembered)?;
        let _operation = slot.operation.lock().await;
        let takeover = if request.force {
            Takeover::Forced
        } else {
            Takeover::Refused
        };
        match self.attach_in(&slot, takeover, request.key).await {
            Ok(()) => Ok(slot.describe(&self.names).await),
            Err(e) => {
                self.undo(&slot);
                Err(e)
            }
        }
    }

    async fn attach_in(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        takeover: Takeover,
        key: Option<KeySecret>,
    ) -> Result<()> {
        let remembered = slot.remembered();
        // An unknown pool, volume or transport is found before anything is written.
        let pool = self.context.pools.open(&remembered.volume.pool)?;
        let info = pool
            .repository
            .volume(&remembered.volume.volume)
            .await
            .map_err(crate::error::engine)?;
        if remembered.persist && info.record.encryption.is_some() {
            self.context.keys.check_persistent(&remembered.volume)?;
        }
        let remembered = slot.remember(|r| r.volume_id = info.record.id);
        self.context.state.remember(&remembered)?;
        let opened = self
            .open_volume(
                &remembered.volume,
                remembered.id,
                takeover,
                remembered.read_only,
                key,
            )
            .await?;
        let served = match check_whole(&opened, "attach", &remembered.volume) {
            Ok(()) => self.serve_held(slot, &opened).await,
            Err(e) => Err(e),
        };
        let live = match served {
            Ok(live) => live,
            Err(e) => {
                self.close_volume(&opened, Then::LetGo).await;
                return Err(e);
            }
        };
        let served = live.served.clone();
        slot.activate(live);
        if let Err(e) = self.settle(slot, &served) {
            let live = slot.deactivate(&e.message);
            if let Some(live) = live {
                self.end(slot, &live).await;
                self.close_volume(&live.opened, Then::LetGo).await;
            }
            return Err(e);
        }
        Ok(())
    }

    /// Remembers under which id the volume is held, before there is a device that a later daemon must find.
    async fn serve_held(&self, slot: &Slot, opened: &Arc<Opened>) -> Result<Live> {
        let held_as = Some(opened.lease.id()).filter(|id| *id != slot.remembered().id);
        let remembered = slot.remember(|r| r.held_as = held_as);
        if held_as.is_some() {
            self.context.state.remember(&remembered)?;
        }
        self.serve(&remembered, opened, None).await
    }

    /// Remembers the device, gives it its names, and watches over it.
    pub(super) fn settle(self: &Arc<Self>, slot: &Arc<Slot>, served: &Served) -> Result<()> {
        if let Served::Device(device) = served {
            let recovery = device.recovery();
            let boot = self.context.boot_id.clone();
            let remembered = slot.remember(|r| {
                r.device = Some(recovery);
                r.boot_id = boot;
            });
            self.context.state.remember(&remembered)?;
            self.names
                .create(slot.volume(), remembered.alias.as_deref(), device.path())?;
            tracing::info!(volume = %slot.volume(), device = %device.path().display(), resumed = device.resumed(), "attached");
        } else {
            tracing::info!(volume = %slot.volume(), "exported");
        }
        self.watch(slot);
        Ok(())
    }

    /// Forgets an attachment that did not come to be.
    fn undo(&self, slot: &Arc<Slot>) {
        let remembered = slot.remembered();
        self.names.remove(slot.volume(), remembered.alias.as_deref());
        self.clear_run_dir(&remembered);
        if let Err(e) = self.context.state.forget_attachment(slot.volume()) {
            tracing::warn!(volume = %slot.volume(), error = e.message, "a failed attach is still remembered");
        }
        self.vacate(slot);
    }
}
