//! What to say of a volume that somebody holds: who, and what to do, which depends on who it is.

use super::{
    Attachments,
    slot::{Served, Slot},
};
use crate::error;
use restblk_api::ErrorBody;
use restblk_engine::{EngineError, Repository};
use restblk_format::LayoutKind;
use restblk_types::{ErrorKind, VolumeRef};

const TWO_WRITERS: &str = "two hosts writing at once destroy what is on the volume";

impl Attachments {
    /// The refusal to do something (`delete`, `attach`) with a volume that is held.
    pub(crate) async fn held(
        &self,
        doing: &str,
        volume: &VolumeRef,
        repository: &Repository,
        refusal: EngineError,
    ) -> ErrorBody {
        let found = repository.volume(&volume.volume).await.ok();
        let is_log = found
            .as_ref()
            .is_some_and(|found| found.record.layout == LayoutKind::Log);
        let Some(holder) = found.and_then(|found| found.attachment) else {
            let refusal = error::engine(refusal);
            // A log volume is held by its snapshots and clones, too, and says so.
            let hint = "it was let go just now, or the store does not answer: try again";
            return if is_log { refusal } else { refusal.hint(hint) };
        };
        let slot = self
            .slots()
            .values()
            .find(|s| s.remembered().holder() == holder.id)
            .cloned();
        if let Some(slot) = slot {
            let message = format!(
                "{doing} {volume}: it is attached to this host{}",
                place(&slot, volume)
            );
            return ErrorBody::new(ErrorKind::Busy, message)
                .hint(format!("restblk detach {}, then {doing} it", slot.volume()));
        }
        let is_open = self
            .openings
            .all()
            .iter()
            .any(|opened| opened.lease.id() == holder.id);
        if is_open {
            let message = format!("{doing} {volume}: something is done to it on this host");
            return ErrorBody::new(ErrorKind::Busy, message).hint(format!(
                "wait for that; restblk show {volume} tells whether it is converted, which restblk convert {volume} --cancel takes back"
            ));
        }
        let hint = if holder.host == self.context.state.host() {
            format!(
                "the record has this host's id, and is another boot's: unless a copy of this machine has the volume, take \
                 it over with restblk attach --force {volume}; {TWO_WRITERS}"
            )
        } else {
            format!(
                "detach it on {}; if that host is dead for certain, take it over with restblk attach --force {volume}: \
                 {TWO_WRITERS}",
                holder.hostname
            )
        };
        error::engine(refusal).hint(hint)
    }
}

/// " as POOL/NAME", where another pool of this host is the same repository, and " at /dev/…".
fn place(slot: &Slot, asked: &VolumeRef) -> String {
    let name = match slot.volume() {
        volume if volume == asked => String::new(),
        volume => format!(" as {volume}"),
    };
    match slot.served() {
        Some(Served::Device(device)) => format!("{name} at {}", device.path().display()),
        Some(Served::Export(..)) => format!("{name}, exported by NBD"),
        None => name,
    }
}
