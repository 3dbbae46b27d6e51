//! `restblk unexport`: end an export.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::VolumeArg;
use clap::Args;
use restblk_api::{DetachRequest, TransportChoice};
use restblk_types::ErrorKind;

/// Serve a volume to NBD clients no longer
///
/// Refused while a client is connected.
#[derive(Debug, Args)]
pub(crate) struct Unexport {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::exported())]
    volume: VolumeArg,
    /// End it although clients are connected: they get errors, and what they did not flush is lost
    #[arg(short, long)]
    force: bool,
}

impl Unexport {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("unexport {volume}");
        let attachment = session.call(&what, session.client.attachment(&volume)).await?;
        if attachment.transport != TransportChoice::NbdExport {
            let device = attachment
                .device
                .as_deref()
                .unwrap_or(attachment.transport.as_str());
            return Err(Failure::new(
                ErrorKind::Invalid,
                format!("it is attached as {device}, not exported"),
            )
            .what(what)
            .hint(format!("restblk detach {volume}")));
        }
        session
            .call(
                &what,
                session
                    .client
                    .detach(&volume, &DetachRequest { force: self.force }),
            )
            .await?;
        session.note(format!("{volume} is exported no longer"));
        Ok(())
    }
}
