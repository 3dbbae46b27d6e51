//! `quickstart`: builds, then hands over to scripts/quickstart.sh, which a user without cargo can read and run as well.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::script;
use crate::setup;
use crate::tree::Tree;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Take away what an earlier quickstart left: mounts, devices, processes, files
    #[arg(long)]
    clean: bool,
    /// Arguments for the script
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    let program = tree.root.join("scripts/quickstart.sh");
    if !program.is_file() {
        bail!("there is no {}", tree.relative(&program).display());
    }
    // to take away needs no more than what was built to put there
    if !(arguments.clean && tree.restblk().is_file()) {
        setup::packages(tree, &[setup::BUILD, setup::RUN])?;
        setup::build(tree)?;
    }
    let mut command = Command::new("bash");
    script::give_environment(tree, &mut command);
    command
        .arg(&program)
        .args(arguments.clean.then_some("--clean"))
        .args(&arguments.arguments);
    let status = command.status().context("cannot start bash")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
