//! `restblk image …`: volumes to and from disk images, by qemu-img, which knows their formats.

mod export;
mod import;
mod qemu;
mod served;

use crate::failure::Result;
use crate::session::Session;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    Export(export::Export),
    Import(import::Import),
}

impl Image {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::Export(export) => export.run(session).await,
            Self::Import(import) => import.run(session).await,
        }
    }
}
