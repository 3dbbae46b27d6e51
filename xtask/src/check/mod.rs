//! `check`: what holds without devices and without root. All of it is part of `test`.

mod crates;
mod hosts;
mod unit;

use std::process::ExitCode;

use anyhow::Result;

use crate::process::{cargo, run, run_quietly};
use crate::report::{Outcome, Report};
use crate::setup;
use crate::tree::Tree;
pub(crate) use unit::on_device;

#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// One step of the check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Tree) -> Result<Outcome>,
}

/// In the order in which they fail fastest.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        run: fmt,
    },
    Step {
        name: "hosts",
        run: hosts::check,
    },
    Step {
        name: "crates",
        run: crates::check,
    },
    Step {
        name: "deny",
        run: deny,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "unit",
        run: unit::without_devices,
    },
    Step {
        name: "schedules",
        run: unit::schedules,
    },
    Step {
        name: "doc",
        run: doc,
    },
];

pub(crate) fn main(tree: &Tree, _: &Arguments) -> Result<ExitCode> {
    setup::packages(tree, &[setup::BUILD])?;
    let mut report = Report::new();
    for step in STEPS {
        report.step(step.name, || (step.run)(tree));
    }
    Ok(report.finish())
}

fn fmt(tree: &Tree) -> Result<Outcome> {
    run(cargo().args(["fmt", "--all", "--check"]).current_dir(&tree.root))?;
    Ok(Outcome::Passed)
}

/// Licences, bans, sources and the direction of the crates. Advisories are not part of it: they change without us.
fn deny(tree: &Tree) -> Result<Outcome> {
    setup::tool("cargo-deny")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::iter::once(Tree::tools().join("bin"));
    run(cargo()
        .args([
            "deny",
            "--log-level",
            "error",
            "check",
            "-A",
            "unused-wrapper",
            "-A",
            "unmatched-skip",
        ])
        .args(["licenses", "bans", "sources"])
        .env(
            "PATH",
            std::env::join_paths(tools.chain(std::env::split_paths(&path)))?,
        )
        .current_dir(&tree.root))?;
    Ok(Outcome::Passed)
}

fn clippy(tree: &Tree) -> Result<Outcome> {
    run(cargo()
        .args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
        .current_dir(&tree.root))?;
    Ok(Outcome::Passed)
}

/// The examples in the documentation, and that it renders without a broken link.
fn doc(tree: &Tree) -> Result<Outcome> {
    run_quietly(
        cargo()
            .args(["test", "--workspace", "--doc", "--locked", "--quiet"])
            .current_dir(&tree.root),
    )?;
    run(cargo()
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--locked",
            "--quiet",
        ])
        .env("RUSTDOCFLAGS", "-D warnings")
        .current_dir(&tree.root))?;
    Ok(Outcome::Passed)
}
