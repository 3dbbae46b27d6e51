//! `guest`: runs a command in a guest that sees this tree. The work is done by vm/run-tree, which scripts call as well.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::script::{self, Finished, Script};
use crate::setup;
use crate::tree::Tree;

#[derive(clap::Args)]
#[command(trailing_var_arg = true)]
pub(crate) struct Arguments {
    /// Options of vm/run (-k KERNEL, -t SECONDS, -m MiB, -M "MODULES", -d SIZE, -e K=V …), then `--` and the command
    #[arg(required = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Without a `timeout:` in its head, a test in a guest has this long.
const LIMIT: Duration = Duration::from_secs(300);
/// What vm/run may take beyond the time limit it was given: a first boot that came to nothing (120 s), and the end.
const GRACE: Duration = Duration::from_secs(150);
/// How vm/run begins what it has to say.
const RIG_SAYS: &str = "vm: ";

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    setup::guest(tree)?;
    let mut command = Command::new(tree.root.join("vm/run-tree"));
    script::give_environment(tree, &mut command);
    // the parser keeps the `--` behind options, and drops one that comes first
    if arguments
        .arguments
        .first()
        .is_some_and(|first| !first.starts_with('-'))
    {
        command.arg("--");
    }
    let status = command
        .args(&arguments.arguments)
        .status()
        .context("cannot start vm/run-tree")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs `script` in a guest with `kernel`. Its head may ask for `timeout:`, `memory:` (MiB), `processors:`, `modules:`
/// and `disks:` (sizes). One that boots more than once, or looks at guests from outside, says `runs: on the host`; it is given
/// KERNEL and starts its guests by `in_guest` (tests/lib.sh).
pub(crate) fn script(tree: &Tree, script: &Script, kernel: &str, in_sight: bool) -> Result<Finished> {
    let limit = script.limit(LIMIT)?;
    let mut command = script::limited(limit + GRACE);
    let name = format!("{}-{kernel}", script.name);
    if script.says("runs") == Some("on the host") {
        command
            .arg(script.interpreter())
            .arg(&script.path)
            .env("KERNEL", kernel);
    } else {
        in_guest(tree, script, kernel, limit, &mut command);
    }
    let finished = script::run(tree, command, &name, limit, in_sight)?;
    // Such as that a boot had to be tried again: to be seen even where all went well in the end.
    if !in_sight {
        let said = finished.output.lines().filter(|line| line.starts_with(RIG_SAYS));
        said.for_each(|line| println!("   {line}"));
    }
    Ok(finished)
}

/// Completes `command` to run the script inside.
fn in_guest(tree: &Tree, script: &Script, kernel: &str, limit: Duration, command: &mut Command) {
    command
        .arg(tree.root.join("vm/run-tree"))
        .args(["-k", kernel, "-t", &limit.as_secs().to_string()]);
    for (key, option) in [("memory", "-m"), ("processors", "-s"), ("modules", "-M")] {
        if let Some(value) = script.says(key) {
            command.args([option, value]);
        }
    }
    for size in script.says("disks").unwrap_or_default().split_whitespace() {
        command.args(["-d", size]);
    }
    command.arg("--").arg(script.interpreter()).arg(&script.path);
}
