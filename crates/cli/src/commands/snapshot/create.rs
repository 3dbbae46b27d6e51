//! `restblk snapshot create`: keep what a volume has now, or several at one moment.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{SnapshotArg, with_alternatives};
use clap::Args;
use restblk_api::{CreateSnapshot, CreateSnapshots, Snapshot};

/// Keep what log volumes have now, attached or not
///
/// It takes no time and no space of its own. What programs and the page cache have not written yet is not in it: sync or fsfreeze
/// before, where that matters. Attach it to read it: restblk attach POOL/NAME@SNAPSHOT. Snapshots of several volumes are of one moment:
/// what was answered by one of them before a write to another is in them if that is. Where one cannot be made, none is.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The volume and the name of its new snapshot, once for each volume
    #[arg(required = true, value_name = "POOL/NAME@SNAPSHOT", add = complete::volumes())]
    snapshots: Vec<SnapshotArg>,
}

impl Create {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self.snapshots.as_slice() {
            [one] => create_one(session, one).await,
            several => create_several(session, several).await,
        }
    }
}

async fn create_one(session: &Session, argument: &SnapshotArg) -> Result {
    let (snapshot, name) = argument.resolve(session).await?;
    let request = CreateSnapshot { name };
    let what = format!("make {snapshot}");
    let made = session
        .call(&what, session.client.create_snapshot(&snapshot, &request))
        .await;
    match made {
        Ok(made) => session.result(&made, line),
        Err(failure) => Err(with_alternatives(session, failure, &snapshot).await),
    }
}

async fn create_several(session: &Session, arguments: &[SnapshotArg]) -> Result {
    let mut snapshots = Vec::new();
    for argument in arguments {
        snapshots.push(argument.resolve(session).await?.0);
    }
    let names: Vec<String> = snapshots.iter().map(ToString::to_string).collect();
    let what = format!("make {}", names.join(", "));
    let request = CreateSnapshots { snapshots };
    let made = session
        .call(&what, session.client.create_snapshots(&request))
        .await?;
    session.result(&made, |made| made.iter().map(line).collect())
}

fn line(made: &Snapshot) -> String {
    format!("{}\n", made.snapshot)
}
