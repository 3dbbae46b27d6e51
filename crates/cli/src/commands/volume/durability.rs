//! `restblk volume durability`: what a flush waits for.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, durability, with_alternatives};
use clap::Args;
use restblk_types::Durability;

/// Set what a flush of a log volume waits for, attached or not
///
/// local: this host's disk, the store follows within a second or so while it is there. remote: the store, so that nothing that was flushed
/// is lost with this host.
#[derive(Debug, Args)]
pub(crate) struct SetDurability {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    /// local or remote
    #[arg(value_parser = durability, add = complete::durabilities())]
    durability: Durability,
}

impl SetDurability {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("set what a flush of {volume} waits for");
        let set = session.client.set_durability(&volume, self.durability);
        match session.call(&what, set).await {
            Ok(set) => session.result(&set, |set| format!("{}\n", set.volume)),
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}
