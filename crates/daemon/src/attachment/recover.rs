//! After a start of the daemon: the attachments of its predecessor, and those that persist over a reboot.
//!
//! | remembered | done |
//! |---|---|
//! | a device of this boot | taken over; a transport whose device died with the daemon makes it anew |
//! | no device, this boot (the daemon died in mid-attach) | attached |
//! | persistent, of another boot | attached afresh |
//! | not persistent, of another boot | what it left in a journal goes to the store, its lease is let go, and it is forgotten |
//!
//! An encrypted volume whose key the earlier daemon could not leave, and the configuration does not name, waits for an attach that gives it.
//! A store or pool that does not answer yet is waited for: I/O of a surviving device waits in the kernel meanwhile.

use super::{Attachments, journal, opened::Then, slot::Slot};
use crate::{error, error::Result, patience::bounded, state::Remembered};
use restblk_api::{Attachment, ErrorBody};
use restblk_engine::Takeover;
use restblk_types::{ErrorKind, KeySecret};
use std::{sync::Arc, time::Duration};

/// Pauses between tries.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

impl Attachments {
    /// Begins to recover everything that is remembered; returns when each was tried once, or after a short while.
    pub(crate) async fn recover_all(self: &Arc<Self>) {
        let mut first_tries = tokio::task::JoinSet::new();
        for remembered in self.context.state.attachments() {
            let slot = match self.reserve(remembered) {
                Ok(slot) => slot,
                Err(e) => {
                    tracing::error!(error = e.message, "an attachment is not recovered");
                    continue;
                }
            };
            let (tell, told) = tokio::sync::oneshot::channel::<()>();
            let task = Arc::clone(self).recover(slot, tell);
            tokio::spawn(task);
            first_tries.spawn(async move { told.await.ok() });
        }
        let all = async { while first_tries.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    }

    async fn recover(self: Arc<Self>, slot: Arc<Slot>, tried: tokio::sync::oneshot::Sender<()>) {
        let remembered = slot.remembered();
        if remembered.boot_id != self.context.boot_id {
            slot.remember(|r| r.device = None);
            if !remembered.persist {
                self.forget_old(&slot).await;
                return;
            }
        }
        if let Ok(pool) = self.context.pools.get(&remembered.volume.pool) {
            pool.tried().await;
        }
        if self.try_recover(&slot).await {
            return;
        }
        drop(tried);
        self.keep_recovering(slot).await;
    }

    /// Tries until it works, the attachment is detached, or there is no point.
    pub(super) async fn keep_recovering(self: Arc<Self>, slot: Arc<Slot>) {
        let mut pause = RETRY_MIN;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            let current = self
                .slot(slot.volume())
                .is_some_and(|now| Arc::ptr_eq(&now, &slot));
            if !current || self.try_recover(&slot).await {
                return;
            }
        }
    }

    /// One try; true where no other is needed.
    async fn try_recover(self: &Arc<Self>, slot: &Arc<Slot>) -> bool {
        let _operation = slot.operation.lock().await;
        let current = self
            .slot(slot.volume())
            .is_some_and(|now| Arc::ptr_eq(&now, slot));
        if slot.is_active() || !current {
            return true;
        }
        let remembered = slot.remembered();
        match bounded(self.recover_in(slot, &remembered)).await {
            Ok(()) => true,
            Err(e) if e.kind == ErrorKind::Busy || e.kind == ErrorKind::Fenced => {
                // Another host has it. A device that waits for us would wait for ever: its users must get errors.
                tracing::error!(volume = %slot.volume(), error = e.message, "not recovered: the volume belongs to somebody else now");
                if let Some(left) = remembered
                    .device
                    .filter(|_| remembered.boot_id == self.context.boot_id)
                {
                    let cleaned = match self.context.transports.get(left.kind()) {
                        Ok(transport) => transport.clean(left).await.map_err(error::device),
                        Err(e) => Err(e),
                    };
                    if let Err(e) = cleaned {
                        tracing::error!(volume = %slot.volume(), error = e.message, "the device of a lost volume stays");
                    }
                }
                slot.deactivate(&e.message);
                true
            }
            Err(e) => {
                tracing::warn!(volume = %slot.volume(), error = e.message, "not recovered yet");
                slot.waiting(&e.message);
                false
            }
        }
    }

    async fn recover_in(self: &Arc<Self>, slot: &Arc<Slot>, remembered: &Remembered) -> Result<()> {
        let held_as = remembered.holder();
        let own = Takeover::Own(held_as);
        let opened = self
            .open_volume(&remembered.volume, held_as, own, remembered.read_only, None)
            .await?;
        let live = match self.serve(remembered, &opened, remembered.device.clone()).await {
            Ok(live) => live,
            Err(e) => {
                self.close_volume(&opened, Then::Keep).await;
                return Err(e);
            }
        };
        let served = live.served.clone();
        slot.activate(live);
        // A name or a file that cannot be written does not take a working device away.
        if let Err(e) = self.settle(slot, &served) {
            tracing::error!(volume = %slot.volume(), error = e.message, "recovered, but not all of it is in order");
            self.watch(slot);
        }
        Ok(())
    }

    /// Gives an attachment that is to be recovered the key of its volume, and tries it at once.
    pub(super) async fn unlock(self: &Arc<Self>, slot: &Arc<Slot>, key: KeySecret) -> Result<Attachment> {
        let volume = slot.volume();
        let pool = self.context.pools.open(&volume.pool)?;
        let found = pool.repository.record(&volume.volume).await;
        let record = found.map_err(error::engine)?;
        let keys = &self.context.keys;
        let encryption = record.encryption.as_ref();
        if let Some(key) = keys.of(volume, record.id, encryption, Some(key)).await? {
            keys.keep(volume, record.id, &key);
        }
        self.try_recover(slot).await;
        let attachment = slot.describe(&self.names).await;
        match attachment.problem {
            Some(problem) => Err(ErrorBody::new(
                ErrorKind::Unavailable,
                format!("attach {volume}: {problem}"),
            )),
            None => Ok(attachment),
        }
    }

    /// An attachment of another boot that was not to persist.
    async fn forget_old(&self, slot: &Arc<Slot>) {
        while !self.try_forget_old(slot).await {
            tokio::time::sleep(RETRY_MAX).await;
        }
    }

    /// Lets go what an earlier daemon held and this one has not opened. What it left in a volume's journal is brought to the store first:
    /// nobody else has that.
    pub(super) async fn let_go_remembered(&self, remembered: &Remembered) -> Result<()> {
        let (volume, held_as) = (&remembered.volume, remembered.holder());
        if journal::path(&self.context, remembered.volume_id).exists() {
            let own = Takeover::Own(held_as);
            let opened = bounded(self.open_volume(volume, held_as, own, false, None)).await?;
            self.close_volume(&opened, Then::LetGo).await;
            return Ok(());
        }
        let pool = self.context.pools.open(&volume.pool)?;
        let released = pool.repository.release(&volume.volume, held_as).await;
        released.map_err(error::engine)
    }

    /// True where no other try is needed.
    async fn try_forget_old(&self, slot: &Arc<Slot>) -> bool {
        let _operation = slot.operation.lock().await;
        if self
            .slot(slot.volume())
            .is_none_or(|now| !Arc::ptr_eq(&now, slot))
        {
            return true;
        }
        let remembered = slot.remembered();
        let released = self.let_go_remembered(&remembered).await;
        match released {
            Err(e) if e.kind.is_transient() => {
                slot.waiting(&format!(
                    "its attachment record of the last boot cannot be removed yet: {}",
                    e.message
                ));
                return false;
            }
            Err(e) => {
                tracing::warn!(volume = %slot.volume(), error = e.message, "the attachment record of the last boot stays")
            }
            Ok(()) => {}
        }
        if let Err(e) = self.context.state.forget_attachment(slot.volume()) {
            tracing::warn!(volume = %slot.volume(), error = e.message, "an old attachment is still remembered");
        }
        self.vacate(slot);
        true
    }
}
