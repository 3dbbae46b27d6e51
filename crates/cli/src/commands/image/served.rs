//! A volume that is served over NBD for the time of one command, and to this host alone.

use crate::commands::attach::attach;
use crate::failure::{Failure, Result};
use crate::session::Session;
use restblk_api::{AttachRequest, Attachment, DetachRequest, TransportChoice};
use restblk_types::{ErrorKind, KeySecret, VolumeRef};

/// It has to be ended: nothing is asked of the daemon by a drop.
pub(super) struct Served {
    volume: VolumeRef,
    pub(super) uri: String,
    pub(super) size: u64,
}

impl Served {
    pub(super) async fn begin(
        session: &Session,
        volume: &VolumeRef,
        read_only: bool,
        key: Option<KeySecret>,
    ) -> Result<Self> {
        let request = AttachRequest {
            volume: volume.clone(),
            transport: TransportChoice::NbdExport,
            persist: false,
            read_only,
            force: false,
            queues: 0,
            alias: None,
            key,
        };
        let exported = attach(session, request).await?;
        let uri = local(&exported);
        let served = Self {
            volume: volume.clone(),
            uri: uri.clone().unwrap_or_default(),
            size: exported.size.0,
        };
        if uri.is_some() {
            return Ok(served);
        }
        served.end(session, false).await?;
        let message = "the daemon's NBD server listens on no Unix socket";
        Err(Failure::new(ErrorKind::Unsupported, message).hint("see nbd.listen in its configuration"))
    }

    /// Ends it; with `force`, also where the program that used it has not ended properly.
    pub(super) async fn end(self, session: &Session, force: bool) -> Result {
        let what = format!("unexport {}", self.volume);
        let request = DetachRequest { force };
        session
            .call(&what, session.client.detach(&self.volume, &request))
            .await
    }
}

fn local(exported: &Attachment) -> Option<String> {
    let mut uris = exported.nbd_uris.iter();
    uris.find(|uri| uri.starts_with("nbd+unix:")).cloned()
}
