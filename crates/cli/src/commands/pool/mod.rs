//! `restblk pool …`: the repositories of volumes that this host knows.

mod create;
mod delete;
mod limit;
mod list;
mod show;

use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Subcommand;
use restblk_api::PoolState;
use restblk_types::ErrorKind;

#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    Create(Box<create::Create>),
    #[command(alias = "ls")]
    List(list::List),
    Show(show::Show),
    Limit(limit::Limit),
    #[command(alias = "rm")]
    Delete(delete::Delete),
}

impl Pool {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Show(show) => show.run(session).await,
            Self::Limit(limit) => limit.run(session).await,
            Self::Delete(delete) => delete.run(session).await,
        }
    }
}

/// The state in a word.
fn state(state: PoolState) -> &'static str {
    match state {
        PoolState::Ready => "ready",
        PoolState::Unreachable => "unreachable",
        PoolState::Refused => "refused",
    }
}

/// Says where pools are listed, where one was not found.
pub(super) fn advise(failure: Failure) -> Failure {
    if failure.wants_hint(ErrorKind::NotFound) {
        return failure.hint("`restblk pool list` shows the pools");
    }
    failure
}
