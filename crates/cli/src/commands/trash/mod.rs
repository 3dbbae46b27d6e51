//! `restblk trash …`: log volumes that were deleted and can be restored.

mod list;
mod purge;
mod restore;

use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Subcommand;
use restblk_api::TrashEntry;
use restblk_types::{ErrorKind, VolumeRef};

#[derive(Debug, Subcommand)]
pub(crate) enum Trash {
    #[command(alias = "ls")]
    List(list::List),
    Restore(restore::Restore),
    Purge(purge::Purge),
}

impl Trash {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Restore(restore) => restore.run(session).await,
            Self::Purge(purge) => purge.run(session).await,
        }
    }
}

/// The one entry that a person means by POOL/NAME or POOL/ID; several volumes of one name may be in the trash.
async fn find(session: &Session, what: &str, named: &VolumeRef) -> Result<TrashEntry> {
    let entries = session.call(what, session.client.trash(&named.pool)).await?;
    let name = named.volume.as_str();
    if let Some(entry) = entries.iter().find(|entry| entry.id == name) {
        return Ok(entry.clone());
    }
    let mut found = entries
        .into_iter()
        .filter(|entry| entry.volume.volume == named.volume);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (None, _) => {
            let failure = Failure::new(
                ErrorKind::NotFound,
                format!("failed to {what}: it is not in the trash"),
            );
            Err(failure.hint(format!("`restblk trash list {}` tells what is", named.pool)))
        }
        (Some(_), Some(_)) => {
            let message = format!("failed to {what}: several volumes of that name are in the trash");
            let hint = format!(
                "name one by its id: `restblk trash list {}`, then {}/ID",
                named.pool, named.pool
            );
            Err(Failure::new(ErrorKind::Invalid, message).hint(hint))
        }
    }
}
