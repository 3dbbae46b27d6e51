//! Watches over an attachment: is the volume still ours, is its device still there?

use super::{
    Attachments,
    opened::{Opened, Then},
    slot::{Served, Slot},
};
use restblk_types::ErrorKind;
use std::{future, sync::Arc};

impl Attachments {
    pub(super) fn watch(self: &Arc<Self>, slot: &Arc<Slot>) {
        let task = tokio::spawn(Arc::clone(self).keep(Arc::clone(slot)));
        slot.keep(task.abort_handle());
    }

    async fn keep(self: Arc<Self>, slot: Arc<Slot>) {
        let gone = async {
            match slot.served() {
                Some(Served::Device(device)) => device.gone().await,
                _ => future::pending().await,
            }
        };
        tokio::select! {
            why = gone => self.lost(&slot, &why).await,
            () = self.look_after_lease(&slot) => {}
        }
    }

    /// Returns once the volume is no longer ours; the device stays, and fails everything.
    async fn look_after_lease(&self, slot: &Slot) {
        if let Some(opened) = slot.with_live(|live| Arc::clone(&live.opened)) {
            self.keep_lease(&opened).await
        }
    }

    /// Keeps an open volume's lock, and ends the volume once it is no longer ours.
    pub(super) async fn keep_lease<T>(&self, opened: &Opened) -> T {
        loop {
            tokio::time::sleep(self.context.lease_check).await;
            match opened.lease.check().await {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Fenced => {
                    opened.volume.fail(ErrorKind::Fenced, &e.to_string());
                    return future::pending().await;
                }
                // A store that is away tells nothing; data waits for it too.
                Err(error) => {
                    tracing::debug!(volume = %opened.name(), %error, "whose the volume is cannot be told now")
                }
            }
        }
    }

    /// The device has gone behind our back: the volume is let go, a persistent one attached again.
    async fn lost(self: &Arc<Self>, slot: &Arc<Slot>, why: &str) {
        let _operation = slot.operation.lock().await;
        if !slot.is_active() {
            return;
        }
        tracing::error!(volume = %slot.volume(), why, "the device has gone");
        let problem = format!("its device has gone: {why}; detach it, and attach it again");
        let remembered = slot.remember(|r| r.device = None);
        self.names.remove(slot.volume(), remembered.alias.as_deref());
        if let Err(e) = self.context.state.remember(&remembered) {
            tracing::error!(volume = %slot.volume(), error = e.message, "what is remembered of the attachment is out of date");
        }
        let live = slot.deactivate(&problem);
        if let Some(Served::Device(device)) = live.as_ref().map(|live| &live.served)
            && let Err(error) = device.detach().await
        {
            tracing::warn!(volume = %slot.volume(), %error, "not all that the device was made of could be removed");
        }
        let then = if remembered.persist {
            Then::Keep
        } else {
            Then::LetGo
        };
        if let Some(live) = live {
            self.close_volume(&live.opened, then).await;
        }
        if remembered.persist {
            tokio::spawn(Arc::clone(self).keep_recovering(Arc::clone(slot)));
        }
    }
}
