//! `restblk snapshot list`: the snapshots of a volume.

use crate::complete;
use crate::failure::Result;
use crate::output::Table;
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;
use restblk_api::Snapshot;

/// List a volume's snapshots, oldest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
}

impl List {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("list the snapshots of {volume}");
        match session.call(&what, session.client.snapshots(&volume)).await {
            Ok(found) => {
                let none =
                    format!("there are no snapshots; `restblk snapshot create {volume}@NAME` makes one");
                session.list(&found, table, &none)
            }
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}

fn table(snapshots: &[Snapshot]) -> Table {
    let mut table = Table::new(&["SNAPSHOT", "SIZE", "CREATED", "PROTECTED", "CLONES"], &[1, 4]);
    table.extend(snapshots.iter().map(|snapshot| {
        [
            snapshot.snapshot.to_string(),
            snapshot.size.to_string(),
            snapshot.created_at.clone(),
            if snapshot.protected { "yes" } else { "no" }.to_owned(),
            snapshot.clones.to_string(),
        ]
    }));
    table
}
