//! `restblk delete`: delete a volume and what is in it.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::Deletion;
use restblk_types::{ErrorKind, Seconds};

/// Delete a volume and all that is in it
///
/// Asks before, on a terminal. An attached volume is refused: detach it first. A log volume that is kept goes to the trash with its snapshots,
/// from which `restblk trash restore` brings it back; its clones go on reading.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::free_volumes())]
    volume: VolumeArg,
    /// Keep it in the trash for so long, such as 7d: 0 until no clone reads from it any more
    #[arg(long, value_name = "TIME")]
    keep: Option<Seconds>,
    /// Delete it for good at once, whatever the daemon's configuration says (keep, in its section trash)
    #[arg(long, conflicts_with = "keep")]
    now: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let (how, question) = match (self.now, self.keep) {
            (true, _) => (
                Deletion::Now,
                format!("Delete {volume} and all that is in it, for good?"),
            ),
            (false, Some(Seconds(seconds))) => {
                (Deletion::Keep(seconds), format!("Move {volume} to the trash?"))
            }
            (false, None) => (
                Deletion::AsConfigured,
                format!("Delete {volume} and all that is in it?"),
            ),
        };
        if !self.yes && !session.confirm(&question) {
            session.note("nothing was deleted");
            return Ok(());
        }
        match session
            .call(
                &format!("delete {volume}"),
                session.client.delete_volume(&volume, how),
            )
            .await
        {
            Ok(None) => {
                session.note(format!("deleted {volume}"));
                Ok(())
            }
            Ok(Some(entry)) => {
                session.note(format!(
                    "{volume} is in the trash until {}; restblk trash restore {volume} brings it back",
                    entry.kept_until
                ));
                Ok(())
            }
            Err(failure) => Err(self.advise(session, failure, &volume).await),
        }
    }

    async fn advise(
        &self,
        session: &Session,
        failure: Failure,
        volume: &restblk_types::VolumeRef,
    ) -> Failure {
        if failure.wants_hint(ErrorKind::Busy) {
            return failure.hint(format!(
                "`restblk show {volume}` tells who has it; `restblk detach {volume}` first"
            ));
        }
        with_alternatives(session, failure, volume).await
    }
}
