//! `restblk snapshot protect` and `unprotect`.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{SnapshotArg, with_alternatives};
use clap::Args;
use restblk_api::Protection;

#[derive(Debug, Args)]
pub(crate) struct Protect {
    /// The volume and its snapshot
    #[arg(value_name = "POOL/NAME@SNAPSHOT", add = complete::snapshots())]
    snapshot: SnapshotArg,
}

impl Protect {
    pub(crate) async fn run(&self, session: &Session, protected: bool) -> Result {
        let (snapshot, _) = self.snapshot.resolve(session).await?;
        let what = format!("{} {snapshot}", if protected { "protect" } else { "unprotect" });
        let protection = Protection { protected };
        let done = session.client.protect_snapshot(&snapshot, protection);
        match session.call(&what, done).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(with_alternatives(session, failure, &snapshot).await),
        }
    }
}
