//! `restblk delete`: delete a volume and what is in it.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_types::ErrorKind;

/// Delete a volume and all that is in it
///
/// Asks before, on a terminal. An attached volume is refused: detach it first.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::free_volumes())]
    volume: VolumeArg,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let question = format!("Delete {volume} and all that is in it?");
        if !self.yes && !session.confirm(&question) {
            session.note("nothing was deleted");
            return Ok(());
        }
        match session
            .call(&format!("delete {volume}"), session.client.delete_volume(&volume))
            .await
        {
            Ok(()) => {
                session.note(format!("deleted {volume}"));
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
