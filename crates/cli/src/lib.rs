//! The `restblk` program: one file a command under `commands/`, on the client of the control API.
//!
//! - `cli.rs` is the root of the definitions; help, man pages, completions and docs/cli.md all come from them.
//! - `exit.rs` is the one table of exit codes, `failure.rs` the one form of an error with its hint.
//! - `session.rs` is what a command works with: the client, how to print, how to wait.
//!
//! Standard output carries results alone, so that scripts can take them; words, warnings and progress go to standard
//! error. Nothing here starts a thread before `restblk daemon` has been given the process.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod cli;
mod commands;
mod complete;
mod exit;
mod failure;
mod output;
mod reference;
mod session;
mod values;

use clap::FromArgMatches;
use clap::error::ContextKind;
use std::ffi::OsString;
use std::process::ExitCode;

use cli::{Cli, OutputFormat};
use exit::Exit;
use failure::Failure;

/// Runs the program with these arguments, the first of which is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if complete::answered(&args) {
        return ExitCode::SUCCESS;
    }
    let matches = match cli::command()
        .color(cli::color_of(&args))
        .try_get_matches_from(&args)
    {
        Ok(matches) => matches,
        Err(error) => return refuse(&args, error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return refuse(&args, error),
    };
    let style = output::Style::new(cli.global.color);
    let format = cli.global.output;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(format, style);
            failure.exit.into()
        }
    }
}

/// Help and version asked for, or arguments that cannot be understood.
fn refuse(args: &[OsString], mut error: clap::Error) -> ExitCode {
    // A list with the hidden ones among them; --help has them in order.
    error.remove(ContextKind::ValidSubcommand);
    let exit = Exit::from_usage(error.kind());
    if exit != Exit::Ok && cli::format_of(args) == OutputFormat::Json {
        Failure::usage(exit, &error).report(OutputFormat::Json, output::Style::plain());
    } else {
        // A closed pipe is nothing to complain about.
        let _ = error.print();
    }
    exit.into()
}
