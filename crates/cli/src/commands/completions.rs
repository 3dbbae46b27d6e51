//! `restblk completions`: the script that has a shell ask this program what can stand where.

use crate::complete;
use crate::failure::{Failure, Result};
use clap::Args;
use clap_complete::Shell;
use restblk_types::ErrorKind;
use std::io::Write;

/// Print completions for a shell: of commands, options, and the names of pools and volumes
///
/// For bash, once for all users: restblk completions bash > /usr/share/bash-completion/completions/restblk.
/// Print it again after an upgrade.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result {
        let mut script = Vec::new();
        if !complete::write_script(&self.shell.to_string(), &mut script)? {
            return Err(Failure::new(
                ErrorKind::Unsupported,
                format!("failed to complete for {}: it cannot ask programs", self.shell),
            ));
        }
        Ok(std::io::stdout().write_all(&script)?)
    }
}
