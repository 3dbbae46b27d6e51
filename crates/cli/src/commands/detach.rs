//! `restblk detach`: take a device away; the volume stays.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::VolumeArg;
use clap::Args;
use restblk_api::{Attachment, DetachRequest};
use restblk_types::{ErrorKind, VolumeRef};
use std::path::Path;

/// Detach a volume: its device goes, the volume stays
///
/// Refused while the device is open or mounted; the error says by whom.
#[derive(Debug, Args)]
pub(crate) struct Detach {
    /// Pool and name of the volume, or the path of its device
    #[arg(value_name = "POOL/NAME|DEVICE", add = complete::attached())]
    target: String,
    /// Detach although the device is in use: its users get I/O errors, and what they did not flush is lost
    #[arg(short, long)]
    force: bool,
}

impl Detach {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("detach {}", self.target);
        let volume = if self.target.starts_with('/') {
            let attachments = session.call(&what, session.client.attachments()).await?;
            by_device(&attachments, Path::new(&self.target)).ok_or_else(|| no_device(&what, &attachments))?
        } else {
            VolumeArg(self.target.clone()).resolve(session).await?
        };
        let request = DetachRequest { force: self.force };
        match session
            .call(&what, session.client.detach(&volume, &request))
            .await
        {
            Ok(()) => {
                session.note(format!("detached {volume}"));
                Ok(())
            }
            Err(failure) if failure.wants_hint(ErrorKind::Busy) => {
                Err(failure.hint("unmount or close the device first; `restblk devices` tells who uses it"))
            }
            Err(failure) if failure.wants_hint(ErrorKind::NotFound) => {
                Err(failure.hint("`restblk devices` shows what is attached"))
            }
            Err(failure) => Err(failure),
        }
    }
}

/// The volume behind a path: the kernel's node, either link, or a further link to one of them.
fn by_device(attachments: &[Attachment], path: &Path) -> Option<VolumeRef> {
    let real = path.canonicalize().ok();
    let alias = |attachment: &Attachment| {
        let name = attachment.alias.as_ref()?;
        Some(path == Path::new("/dev/restblk/by-name").join(name))
    };
    let found = attachments.iter().find(|attachment| {
        let nodes = [attachment.device.as_deref(), attachment.link.as_deref()];
        let matches = |node: &str| path == Path::new(node) || real.as_deref() == Some(Path::new(node));
        nodes.into_iter().flatten().any(matches) || alias(attachment) == Some(true)
    });
    found.map(|attachment| attachment.volume.clone())
}

fn no_device(what: &str, attachments: &[Attachment]) -> Failure {
    let failure = Failure::new(ErrorKind::NotFound, "no volume is attached there").what(what);
    let devices: Vec<&str> = attachments
        .iter()
        .filter_map(|attachment| attachment.device.as_deref())
        .collect();
    match devices.as_slice() {
        [] => failure.hint("nothing is attached"),
        devices => failure.hint(format!("attached are {}", devices.join(", "))),
    }
}
