//! `restblk snapshot delete`: let go of what a snapshot alone keeps.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{SnapshotArg, with_alternatives};
use clap::Args;

/// Delete a snapshot; the volume and its other snapshots stay as they are
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The volume and its snapshot
    #[arg(value_name = "POOL/NAME@SNAPSHOT", add = complete::snapshots())]
    snapshot: SnapshotArg,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Delete {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let (snapshot, _) = self.snapshot.resolve(session).await?;
        if !self.yes && !session.confirm(&format!("Delete {snapshot}?")) {
            session.note("nothing was deleted");
            return Ok(());
        }
        let what = format!("delete {snapshot}");
        match session
            .call(&what, session.client.delete_snapshot(&snapshot))
            .await
        {
            Ok(()) => {
                session.note(format!("deleted {snapshot}"));
                Ok(())
            }
            Err(failure) => Err(with_alternatives(session, failure, &snapshot).await),
        }
    }
}
