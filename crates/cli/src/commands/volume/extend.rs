//! `restblk extend`: make a volume larger, attached or not.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{NewSize, VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::Attachment;
use restblk_types::{ByteCount, VolumeRef};

/// Make a volume larger, attached or not
///
/// The device grows while it is in use, where its transport can (ublk since Linux 6.16, nbd, loop); else the command says
/// so. The file system on it is grown by its own tool afterwards, such as resize2fs or xfs_growfs. `restblk volume shrink` makes
/// a log volume smaller.
#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    /// New size with a unit, or with a + how much to add: 20G, +10G
    #[arg(value_name = "[+]SIZE")]
    size: NewSize,
}

impl Extend {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        match self.extend(session, &volume).await {
            Ok(()) => Ok(()),
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }

    async fn extend(&self, session: &Session, volume: &VolumeRef) -> Result {
        let what = format!("extend {volume}");
        let size = match self.size {
            NewSize::To(size) => size,
            NewSize::By(more) => {
                let now = session.call(&what, session.client.volume(volume)).await?.size;
                // More than 64 bits of bytes is refused by the daemon, as any size that is too large.
                ByteCount(now.0.saturating_add(more.0))
            }
        };
        let extended = session
            .call(&what, session.client.extend_volume(volume, size))
            .await?;
        session.result(&extended, |extended| {
            format!("{} {}\n", extended.volume, extended.size)
        })?;
        if extended.attached_by.is_some() {
            let attached = session.call(&what, session.client.attachment(volume)).await?;
            match behind(&attached) {
                Some(warning) => session.warn(warning),
                None => {
                    session.note("next: grow what is on the device, such as with resize2fs or xfs_growfs")
                }
            }
        }
        Ok(())
    }
}

/// What to say of a device that did not grow with its volume.
fn behind(attached: &Attachment) -> Option<String> {
    let (device, shown) = (attached.device.as_deref()?, attached.device_size?);
    (shown != attached.size).then(|| {
        format!(
            "{device} keeps its size of {shown}: {} cannot resize it in use on this kernel. When nothing uses it: \
             restblk detach {volume}, then restblk attach {volume}",
            attached.transport.as_str(),
            volume = attached.volume
        )
    })
}
