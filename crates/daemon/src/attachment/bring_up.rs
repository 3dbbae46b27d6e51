//! From a remembered attachment to a live one: what attach and recover have in common.

use super::{
    Attachments,
    opened::Opened,
    slot::{Live, Served},
};
use crate::{
    error,
    error::Result,
    metered::Metered,
    state::{Remembered, make_private},
};
use restblk_api::{ErrorBody, TransportChoice};
use restblk_block::{BlockDevice, Checked, Limited, ReadOnly};
use restblk_device::{AttachSpec, Attached, Recovery};
use restblk_engine::{Lease, Repository, in_blocks};
use restblk_store::clean_up;
use restblk_types::{ErrorKind, VolumeName};
use std::sync::Arc;

impl Attachments {
    /// Lets a lease go; where the store does not answer it stays, and says so.
    pub(super) async fn let_go(&self, lease: &Lease) {
        if let Err(error) = clean_up(lease.release()).await {
            tracing::warn!(
                volume = %lease.record().volume, %error,
                "the volume's attachment record stays on the store: this host's next attach clears it, another's needs --force"
            );
        }
    }

    /// Removes a record that says this host holds the volume, where it is none of this host's attachments: what an attach
    /// or a detach left that the store's outage cut off. A daemon remembers an attachment before it takes the lease, and
    /// one daemon alone has the host's id, so what it does not remember is nobody's. Another boot's record is left
    /// alone: a copy of this machine has the same id.
    pub(crate) async fn clear_left_over(
        &self,
        repository: &Arc<Repository>,
        name: &VolumeName,
    ) -> Result<bool> {
        let found = repository.volume(name).await.map_err(error::engine)?;
        let Some(left) = found.attachment.filter(|held| {
            held.host == self.context.state.host()
                && held.boot_id == self.context.boot_id
                && !self.knows(held.id)
        }) else {
            return Ok(false);
        };
        tracing::warn!(volume = %name, since = left.since, "an attachment record that this host had left behind is removed");
        repository.release(name, left.id).await.map_err(error::engine)?;
        Ok(true)
    }

    /// Makes the volume, or the snapshot of it that is meant, a device, or takes over the one that an earlier daemon left.
    pub(super) async fn serve(
        &self,
        remembered: &Remembered,
        opened: &Arc<Opened>,
        left: Option<Recovery>,
    ) -> Result<Live> {
        let device = self.face(remembered, opened)?;
        let (served, limits) = self.make_device(remembered, Arc::clone(&device), left).await?;
        Ok(Live {
            opened: Arc::clone(opened),
            device,
            served,
            limits,
            keeper: None,
        })
    }

    /// What a transport is given: checked, counted, limited.
    fn face(&self, remembered: &Remembered, opened: &Opened) -> Result<Arc<dyn BlockDevice>> {
        let metrics = self.context.metrics.volume(&remembered.volume);
        let limiters = vec![Arc::clone(&opened.limiter), Arc::clone(&opened.pool.limiter)];
        let bare: Arc<dyn BlockDevice> = match &remembered.volume.snapshot {
            Some(_) => {
                let block_size = opened.volume.device().geometry().block_size;
                in_blocks(super::snapshots::view(opened, &remembered.volume)?, block_size)
            }
            None => opened.volume.device(),
        };
        let bare = if remembered.read_only && !bare.geometry().features.read_only {
            Arc::new(ReadOnly(bare))
        } else {
            bare
        };
        let limited = Limited::new(bare, limiters, Arc::clone(&metrics.throttled_us));
        Ok(Arc::new(Checked(Metered::new(limited, metrics))))
    }

    async fn make_device(
        &self,
        remembered: &Remembered,
        device: Arc<dyn BlockDevice>,
        left: Option<Recovery>,
    ) -> Result<(Served, Vec<String>)> {
        let label = remembered.volume.to_string();
        let choice: TransportChoice = remembered
            .transport
            .parse()
            .map_err(|e| ErrorBody::new(ErrorKind::Invalid, e))?;
        if choice == TransportChoice::NbdExport {
            let added = self.context.exports.add(&label, "restblk volume", device);
            added.map_err(|e| ErrorBody::new(e.kind(), e.to_string()))?;
            let uris = self
                .context
                .nbd_uris
                .iter()
                .map(|uri| export_uri(uri, &label))
                .collect();
            return Ok((Served::Export(label, uris), Vec::new()));
        }
        let run_dir = self.run_dir(remembered);
        make_private(&run_dir)?;
        let spec = AttachSpec {
            label,
            device,
            queues: remembered.queues,
            queue_depth: 0,
            run_dir,
        };
        let (attached, limits): (Box<dyn Attached>, _) = match left {
            Some(left) => {
                let transport = self.context.transports.get(left.kind())?;
                let limits = transport.probe().await.limits;
                let attached = transport.recover(spec, left).await.map_err(error::device)?;
                let_go_of_inherited_mounts(&*attached).await;
                (attached, limits)
            }
            None => {
                let (transport, found) = self.context.transports.choose(choice).await?;
                (transport.attach(spec).await.map_err(error::device)?, found.limits)
            }
        };
        Ok((Served::Device(Arc::from(attached)), limits))
    }

    fn run_dir(&self, remembered: &Remembered) -> std::path::PathBuf {
        self.context
            .run_dir
            .join("attachments")
            .join(remembered.id.to_string())
    }

    /// Removes the folder of an attachment that is over.
    pub(super) fn clear_run_dir(&self, remembered: &Remembered) {
        let dir = self.run_dir(remembered);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %dir.display(), %error, "a folder stays");
            }
            _ => {}
        }
    }
}

/// What was mounted on the device when this daemon started is also in its own namespace.
async fn let_go_of_inherited_mounts(attached: &dyn Attached) {
    let Some(name) = attached
        .path()
        .file_name()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
    else {
        return;
    };
    // Its last unmount may write to the device, which is served by now.
    if let Err(error) = tokio::task::spawn_blocking(move || restblk_device::inherited::let_go(&name)).await {
        tracing::error!(%error, "mounts that this process inherited stay");
    }
}

/// An NBD URI names its export in the path, before the query that holds a Unix socket.
fn export_uri(server: &str, export: &str) -> String {
    let export = export.replace('/', "%2F");
    match server.split_once('?') {
        Some((base, query)) => {
            // `nbd+unix:///?socket=…`: no host, so the slashes before the path are not to be trimmed.
            let base = base
                .strip_suffix('/')
                .filter(|b| !b.ends_with(":/"))
                .unwrap_or(base);
            format!("{base}/{export}?{query}")
        }
        None => format!("{}/{export}", server.trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::export_uri;

    #[test]
    fn clients_get_a_uri_they_can_use() {
        assert_eq!(
            export_uri("nbd://127.0.0.1:10809", "main/a"),
            "nbd://127.0.0.1:10809/main%2Fa"
        );
        assert_eq!(
            export_uri("nbd+unix://?socket=/run/x.sock", "main/a"),
            "nbd+unix:///main%2Fa?socket=/run/x.sock"
        );
        assert_eq!(
            export_uri("nbd+unix:///?socket=/run/x.sock", "main/a"),
            "nbd+unix:///main%2Fa?socket=/run/x.sock"
        );
    }
}
