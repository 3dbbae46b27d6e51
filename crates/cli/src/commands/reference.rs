//! `restblk __reference`: docs/cli.md, from the definitions. Hidden: for whoever builds the project.

use crate::failure::Result;
use crate::reference;
use crate::session::Session;
use clap::Args;

/// Print the reference of all commands as Markdown
#[derive(Debug, Args)]
pub(crate) struct Reference {}

impl Reference {
    pub(crate) fn run(&self, session: &Session) -> Result {
        session.result(&reference::markdown(), Clone::clone)
    }
}
