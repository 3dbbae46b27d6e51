//! `restblk snapshot …`: states of log volumes that stay.

mod create;
mod delete;
mod list;
mod protect;
mod rollback;

use crate::failure::Result;
use crate::session::Session;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    Create(create::Create),
    #[command(alias = "ls")]
    List(list::List),
    #[command(alias = "rm")]
    Delete(delete::Delete),
    /// Guard a snapshot against its deletion
    Protect(protect::Protect),
    /// Let a snapshot be deleted again
    Unprotect(protect::Protect),
    Rollback(rollback::Rollback),
}

impl Snapshot {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Delete(delete) => delete.run(session).await,
            Self::Protect(protect) => protect.run(session, true).await,
            Self::Unprotect(protect) => protect.run(session, false).await,
            Self::Rollback(rollback) => rollback.run(session).await,
        }
    }
}
