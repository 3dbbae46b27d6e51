//! `setup`: makes this machine able to build and test, and does nothing where nothing is missing.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::process::{self, run, run_quietly};
use crate::tree::Tree;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the guest (kernels and root file system)
    #[arg(long)]
    no_guest: bool,
}

/// What a package is for, as the first word of its line in xtask/packages.
pub(crate) const BUILD: &str = "build";
pub(crate) const RUN: &str = "run";
pub(crate) const TEST: &str = "test";

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    packages(tree, &[BUILD, RUN, TEST])?;
    for (name, _) in TOOLS {
        tool(name)?;
    }
    if !arguments.no_guest {
        guest(tree)?;
    }
    println!("xtask: all is installed");
    Ok(ExitCode::SUCCESS)
}

/// Installs those Debian packages of xtask/packages that are for one of `uses` and missing.
pub(crate) fn packages(tree: &Tree, uses: &[&str]) -> Result<()> {
    let list = fs::read_to_string(tree.root.join("xtask/packages")).context("cannot read xtask/packages")?;
    let wanted: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(what_for, _)| uses.contains(what_for))
        .map(|(_, package)| package.trim())
        .collect();
    if !process::is_installed("dpkg-query") {
        println!(
            "xtask: not a Debian system; install the equivalents of: {}",
            wanted.join(" ")
        );
        return Ok(());
    }
    // dpkg-query fails when it does not know one of them, and still lists the others
    let output = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(&wanted)
        .output()
        .context("cannot start dpkg-query")?;
    let known = String::from_utf8_lossy(&output.stdout).into_owned();
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|package| !known.lines().any(|line| line == format!("{package} installed")))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("xtask: installing {}", missing.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    let install = |command: &mut Command| {
        run_quietly(command).with_context(|| {
            format!(
                "cannot install Debian packages; as root, run `apt-get install {}`",
                missing.join(" ")
            )
        })
    };
    install(apt().arg("update"))?;
    install(
        apt()
            .args([
                "-o",
                "Dpkg::Use-Pty=0",
                "install",
                "-y",
                "--no-install-recommends",
            ])
            .args(&missing),
    )
}

/// Published Rust programs that checks and claims run, built once a machine into the cache of tools.
///
/// A script asks for one with `# tools: NAME`. `fsx` is held to a version, because its operations follow from the seed only
/// within one.
const TOOLS: [(&str, &str); 2] = [("cargo-deny", "cargo-deny"), ("fsx", "fsx@0.3.2")];

/// Those that restblk is measured against: built where a bench asks for them, and as their authors release them.
const PEERS: [(&str, &str); 1] = [("zerofs", "zerofs@0.19.1")];

/// Builds one of the tools where there is none: cargo-deny takes 140 s on two cores, fsx 30 s, zerofs 15 minutes.
pub(crate) fn tool(name: &str) -> Result<()> {
    let mut known = TOOLS.iter().chain(&PEERS);
    let Some((_, package)) = known.find(|(tool, _)| *tool == name) else {
        bail!("there is no tool {name}; xtask/src/setup.rs lists them");
    };
    let tools = Tree::tools();
    // a cargo-deny is as good as another
    let anywhere = name.starts_with("cargo-") && process::is_installed(name);
    if anywhere || tools.join("bin").join(name).is_file() {
        return Ok(());
    }
    println!(
        "xtask: building {name} into {} (some minutes, once)",
        tools.display()
    );
    let build = tools.join("build");
    run(process::cargo()
        .args(["install", "--quiet", "--locked", package, "--root"])
        .arg(&tools)
        .env("CARGO_TARGET_DIR", &build)
        // cargo runs us with the tree's own settings
        .env_remove("RUSTFLAGS")
        .current_dir("/"))?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

/// Builds the guest's kernels and root file system.
pub(crate) fn guest(tree: &Tree) -> Result<()> {
    run(&mut Command::new(tree.root.join("vm/setup")))
}

/// Builds `restblk` as a release, which scripts run.
pub(crate) fn build(tree: &Tree) -> Result<()> {
    run(process::cargo()
        .args([
            "build",
            "--release",
            "--workspace",
            "--bins",
            "--examples",
            "--exclude",
            "xtask",
        ])
        .current_dir(&tree.root))?;
    if !tree.restblk().is_file() {
        bail!(
            "the build made no {}: has restblk-cli a program `restblk`?",
            tree.relative(&tree.restblk()).display()
        );
    }
    Ok(())
}
