//! `restblk trash restore`: make a deleted volume a volume again.

use super::find;
use crate::failure::Result;
use crate::session::Session;
use crate::values::VolumeArg;
use clap::Args;
use restblk_api::RestoreVolume;
use restblk_types::VolumeName;

/// Make a deleted volume a volume again, with its snapshots
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Pool and name that it had, or pool and id (restblk trash list)
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeArg,
    /// Give it another name
    #[arg(long = "as", value_name = "NAME")]
    name: Option<VolumeName>,
}

impl Restore {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let named = self.volume.resolve(session).await?;
        let what = format!("restore {named}");
        let entry = find(session, &what, &named).await?;
        let request = RestoreVolume {
            name: self.name.clone(),
        };
        let restored = session.client.restore_volume(&named.pool, &entry.id, &request);
        let restored = session.call(&what, restored).await?;
        session.note(format!("restored {}", restored.volume));
        Ok(())
    }
}
