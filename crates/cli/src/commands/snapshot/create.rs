//! `restblk snapshot create`: keep what a volume has now.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{SnapshotArg, with_alternatives};
use clap::Args;
use restblk_api::CreateSnapshot;

/// Keep what a log volume has now, attached or not
///
/// It takes no time and no space of its own. What programs and the page cache have not written yet is not in it: sync or fsfreeze
/// before, where that matters. Attach it to read it: restblk attach POOL/NAME@SNAPSHOT
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The volume and the name of its new snapshot
    #[arg(value_name = "POOL/NAME@SNAPSHOT", add = complete::volumes())]
    snapshot: SnapshotArg,
}

impl Create {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let (snapshot, name) = self.snapshot.resolve(session).await?;
        let request = CreateSnapshot { name };
        let what = format!("make {snapshot}");
        let made = session
            .call(&what, session.client.create_snapshot(&snapshot, &request))
            .await;
        match made {
            Ok(made) => session.result(&made, |made| format!("{}\n", made.snapshot)),
            Err(failure) => Err(with_alternatives(session, failure, &snapshot).await),
        }
    }
}
