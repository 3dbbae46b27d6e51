//! `restblk man`: the manual pages, one a command.

use crate::cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Args;
use restblk_types::ErrorKind;
use std::path::PathBuf;

/// Write the manual pages into a directory
///
/// To read them from there: man ./restblk.1
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Directory; it is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, session: &Session) -> Result {
        let pages = cli::command().after_long_help(format!("Exit codes:\n\n{}", Exit::table()));
        let written = std::fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(pages, &self.directory));
        written.map_err(|error| {
            let message = format!(
                "failed to write the manual pages to {}: {error}",
                self.directory.display()
            );
            Failure::new(ErrorKind::Denied, message)
        })?;
        session.note(format!(
            "next: man {}",
            self.directory.join("restblk.1").display()
        ));
        Ok(())
    }
}
