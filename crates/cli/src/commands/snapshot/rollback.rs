//! `restblk snapshot rollback`: make a volume what it was.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{SnapshotArg, with_alternatives};
use clap::Args;

/// Make a volume what its snapshot is
///
/// What was written since is lost, and so is a larger size. The snapshots stay. The volume must not be attached.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The volume and its snapshot
    #[arg(value_name = "POOL/NAME@SNAPSHOT", add = complete::snapshots())]
    snapshot: SnapshotArg,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Rollback {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let (snapshot, _) = self.snapshot.resolve(session).await?;
        let volume = snapshot.whole();
        let question = format!("Roll {volume} back to {snapshot}, and lose what was written since?");
        if !self.yes && !session.confirm(&question) {
            session.note("nothing was changed");
            return Ok(());
        }
        let what = format!("roll {volume} back");
        match session.call(&what, session.client.roll_back(&snapshot)).await {
            Ok(()) => {
                session.note(format!("{volume} is what {snapshot} is"));
                Ok(())
            }
            Err(failure) => Err(with_alternatives(session, failure, &snapshot).await),
        }
    }
}
