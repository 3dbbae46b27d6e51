//! `restblk cache …`: this host's cache of log volumes.

mod show;
mod warm;

use crate::failure::Result;
use crate::session::Session;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    Show(show::Show),
    Warm(warm::Warm),
}

impl Cache {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::Show(show) => show.run(session).await,
            Self::Warm(warm) => warm.run(session).await,
        }
    }
}
