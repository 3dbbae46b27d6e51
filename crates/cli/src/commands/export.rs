//! `restblk export`: serve a volume to NBD clients instead of making it a device.

use super::attach::{attach, path};
use super::keys::KeyFiles;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::VolumeArg;
use clap::Args;
use restblk_api::{AttachRequest, TransportChoice};

/// Serve a volume to NBD clients (QEMU, libnbd, nbd-client)
///
/// Prints the NBD URIs, one a line, on standard output: qemu-img info "$(restblk export main/disk1 | head -n 1)"
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::free_volumes())]
    volume: VolumeArg,
    /// Come back after a restart of the daemon or of the host
    #[arg(short, long)]
    persist: bool,
    /// Let no write through
    #[arg(short, long)]
    read_only: bool,
    /// Take the volume away from the host that holds it. If that host still writes, what is on the volume is destroyed:
    /// only for a host that is known to be dead
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    key: KeyFiles,
}

impl Export {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let request = AttachRequest {
            volume,
            transport: TransportChoice::NbdExport,
            persist: self.persist,
            read_only: self.read_only,
            force: self.force,
            queues: 0,
            alias: None,
            key: self.key.read()?,
        };
        let exported = attach(session, request).await?;
        session.result(&exported, path)?;
        session.note(format!(
            "next: nbdinfo URI; `restblk unexport {}` ends it",
            exported.volume
        ));
        Ok(())
    }
}
