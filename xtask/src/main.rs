//! Everything a developer runs, behind one command: `cargo xtask --help`.
//!
//! Each module is one subcommand. What they run is found in the file system (tests/e2e, tests/show, bench), so that a
//! new test, claim or bench is a file dropped in its place and nothing else.

mod bench;
mod check;
mod fuzz;
mod guest;
mod process;
mod quickstart;
mod report;
mod script;
mod setup;
mod show;
mod test;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Everything a developer of restblk runs"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing need: Debian packages, tools in Rust, the guest
    Setup(setup::Arguments),
    /// What holds without devices: format, lints, licences, direction of crates, unit tests
    Check(check::Arguments),
    /// All tests, as CI runs them: setup, check, end to end natively and in guests
    Test(test::Arguments),
    /// Show that a claim holds: without a name lists the claims
    Show(show::Arguments),
    /// Run the benches of bench/
    Bench(bench::Arguments),
    /// Try every decoder with inputs that nobody wrote
    Fuzz(fuzz::Arguments),
    /// From nothing to a mounted volume (scripts/quickstart.sh)
    Quickstart(quickstart::Arguments),
    /// Run a command in a guest with this tree and its target folder shared read-only
    Guest(guest::Arguments),
}

fn main() -> ExitCode {
    let tree = tree::Tree::find();
    let done = match Arguments::parse().command {
        Command::Setup(arguments) => setup::main(&tree, &arguments),
        Command::Check(arguments) => check::main(&tree, &arguments),
        Command::Test(arguments) => test::main(&tree, &arguments),
        Command::Show(arguments) => show::main(&tree, &arguments),
        Command::Bench(arguments) => bench::main(&tree, &arguments),
        Command::Fuzz(arguments) => fuzz::main(&tree, &arguments),
        Command::Quickstart(arguments) => quickstart::main(&tree, &arguments),
        Command::Guest(arguments) => guest::main(&tree, &arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
