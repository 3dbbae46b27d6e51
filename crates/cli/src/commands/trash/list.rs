//! `restblk trash list`: what is in the trash.

use crate::complete;
use crate::failure::Result;
use crate::output::Table;
use crate::session::Session;
use clap::Args;
use restblk_api::{TrashEntry, TrashState};
use restblk_types::PoolName;

/// List what is in the trash, the earliest deleted first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this pool alone
    #[arg(value_name = "POOL", add = complete::pools())]
    pool: Option<PoolName>,
}

impl List {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let pools = match &self.pool {
            Some(pool) => vec![pool.clone()],
            None => {
                let pools = session.call("list the pools", session.client.pools()).await?;
                pools.into_iter().map(|pool| pool.spec.name).collect()
            }
        };
        let mut entries = Vec::new();
        for pool in pools {
            let what = format!("list the trash of {pool}");
            entries.extend(session.call(&what, session.client.trash(&pool)).await?);
        }
        session.list(
            &entries,
            table,
            "the trash is empty; `restblk delete POOL/NAME --keep 7d` moves a volume there",
        )
    }
}

fn table(entries: &[TrashEntry]) -> Table {
    let mut table = Table::new(&["VOLUME", "SIZE", "DELETED", "KEPT UNTIL", "STATE", "ID"], &[1]);
    table.extend(entries.iter().map(|entry| {
        [
            entry.volume.to_string(),
            entry.size.to_string(),
            entry.deleted_at.clone(),
            entry.kept_until.clone(),
            match (entry.state, &entry.restoring_as) {
                (TrashState::Restoring, Some(name)) => format!("restoring as {name}"),
                (TrashState::Restoring, None) => "restoring".to_owned(),
                (TrashState::Kept, _) => "kept".to_owned(),
                (TrashState::Purging, _) => "purging".to_owned(),
            },
            entry.id.clone(),
        ]
    }));
    table
}
