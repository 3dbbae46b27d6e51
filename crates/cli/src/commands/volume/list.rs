//! `restblk list`: the volumes.

use crate::complete;
use crate::failure::{Failure, Result};
use crate::output::Table;
use crate::session::Session;
use clap::Args;
use restblk_api::{Volume, VolumeState};
use restblk_types::{NameError, PoolName};

/// List volumes
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this pool
    #[arg(add = complete::pools())]
    pool: Option<String>,
}

impl List {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let pool: Option<PoolName> = self
            .pool
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: NameError| Failure::from(error))?;
        let volumes = session
            .call("list the volumes", session.client.volumes(pool.as_ref()))
            .await?;
        session.list(
            &volumes,
            table,
            "there are no volumes; `restblk create POOL/NAME SIZE` makes one",
        )
    }
}

fn table(volumes: &[Volume]) -> Table {
    let mut table = Table::new(&["VOLUME", "SIZE", "STATE", "CREATED", "ATTACHED"], &[1]);
    table.extend(volumes.iter().map(|volume| {
        [
            volume.volume.to_string(),
            volume.size.to_string(),
            state(volume.state).to_owned(),
            volume.created_at.clone(),
            attached(volume),
        ]
    }));
    table
}

/// The state in a word.
pub(super) fn state(state: VolumeState) -> &'static str {
    match state {
        VolumeState::Creating => "creating",
        VolumeState::Ready => "ready",
        VolumeState::Deleting => "deleting",
        VolumeState::Trashing => "trashing",
    }
}

/// Who holds the volume, in words; nothing where nobody does.
pub(super) fn attached(volume: &Volume) -> String {
    match &volume.attached_by {
        Some(by) if by.this_host => "here".to_owned(),
        Some(by) => format!("{} since {}", by.hostname, by.since),
        None => String::new(),
    }
}
