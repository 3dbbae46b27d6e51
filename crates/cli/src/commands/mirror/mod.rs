//! `restblk mirror …`: the servers through which a pool's repository is reached.

mod add;
mod drain;
mod list;
mod remove;
mod resume;
mod set;

use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Subcommand;
use restblk_types::{ErrorKind, PoolName};

pub(super) use list::table;

#[derive(Debug, Subcommand)]
pub(crate) enum Mirror {
    #[command(alias = "ls")]
    List(list::List),
    Add(add::Add),
    Set(set::Set),
    Drain(drain::Drain),
    Resume(resume::Resume),
    #[command(alias = "rm")]
    Remove(remove::Remove),
}

impl Mirror {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::List(list) => list.run(session).await,
            Self::Add(add) => add.run(session).await,
            Self::Set(set) => set.run(session).await,
            Self::Drain(drain) => drain.run(session).await,
            Self::Resume(resume) => resume.run(session).await,
            Self::Remove(remove) => remove.run(session).await,
        }
    }
}

/// Says where the mirrors are shown, to whoever named one that is not there.
fn advise(failure: Failure, pool: &PoolName) -> Failure {
    if failure.wants_hint(ErrorKind::NotFound) {
        return failure.hint(format!("`restblk mirror list {pool}` shows the mirrors"));
    }
    failure
}
