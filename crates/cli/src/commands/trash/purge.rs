//! `restblk trash purge`: remove a deleted volume for good.

use super::find;
use crate::failure::Result;
use crate::session::Session;
use crate::values::VolumeArg;
use clap::Args;

/// Remove a deleted volume for good, before its time
///
/// Asks before, on a terminal. One from which clones still read is refused: it goes by itself after the last of them.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// Pool and name that it had, or pool and id (restblk trash list)
    #[arg(value_name = "POOL/NAME")]
    volume: VolumeArg,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Purge {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let named = self.volume.resolve(session).await?;
        let what = format!("purge {named}");
        let entry = find(session, &what, &named).await?;
        let question = format!(
            "Remove {}, deleted at {}, and all that is in it for good?",
            entry.volume, entry.deleted_at
        );
        if !self.yes && !session.confirm(&question) {
            session.note("nothing was removed");
            return Ok(());
        }
        let purged = session.client.purge_volume(&named.pool, &entry.id);
        session.call(&what, purged).await?;
        session.note(format!("purged {}", entry.volume));
        Ok(())
    }
}
