//! `restblk serve`: the embedded store.

use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Args;
use restblk_types::ErrorKind;
use std::path::PathBuf;

/// Serve a directory as a CDMI store
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Directory that holds the data
    root: PathBuf,
}

impl Serve {
    pub(crate) fn run(&self, _session: &Session) -> Result {
        Err(Failure::new(
            ErrorKind::Unsupported,
            format!("this build cannot serve {}", self.root.display()),
        ))
    }
}
