//! `restblk completions`: completion of commands and options for a shell.

use crate::cli;
use crate::failure::Result;
use clap::Args;
use clap_complete::Shell;
use std::io::Write;

/// Print completions for a shell
///
/// For bash, once for all users: restblk completions bash > /usr/share/bash-completion/completions/restblk
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli::command(), "restblk", &mut script);
        Ok(std::io::stdout().write_all(&script)?)
    }
}
