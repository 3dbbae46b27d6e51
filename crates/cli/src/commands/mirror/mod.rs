//! `restblk mirror …`: the servers through which a pool's repository is reached.

mod add;
mod list;
mod remove;

use crate::failure::Result;
use crate::session::Session;
use clap::Subcommand;

pub(super) use list::table;

#[derive(Debug, Subcommand)]
pub(crate) enum Mirror {
    #[command(alias = "ls")]
    List(list::List),
    Add(add::Add),
    #[command(alias = "rm")]
    Remove(remove::Remove),
}

impl Mirror {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Add(add) => add.run(session).await,
            Self::Remove(remove) => remove.run(session).await,
        }
    }
}
