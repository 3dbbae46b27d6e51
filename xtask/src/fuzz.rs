//! `fuzz`: every decoder of bytes from a store or a disk, tried by libFuzzer (fuzz/).
//!
//! The targets are compiled with the coverage that libFuzzer needs, by flags that a stable compiler has. What was found to reach new code is
//! kept under target/fuzz/corpus, so that the next run goes on from there.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::tree::Tree;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which target; all without it
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// What makes a program tell libFuzzer where it has been, and `restblk_format` ignore checksums.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
    "-Ccodegen-units=1",
];

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    let folder = tree.root.join("fuzz");
    let mut targets = targets(&folder.join("src/bin"))?;
    if let Some(wanted) = &arguments.target {
        targets.retain(|target| target == wanted);
    }
    if targets.is_empty() {
        bail!("there is no such target; they are the files of fuzz/src/bin");
    }
    let built = tree.root.join("target/fuzz");
    let host = process::capture(Command::new("rustc").args(["--print", "host-tuple"]))?;
    // With a target of its own, build scripts and macros are compiled without the flags.
    process::run(
        process::cargo()
            .args(["build", "--release", "--bins", "--locked", "--manifest-path"])
            .arg(folder.join("Cargo.toml"))
            .args(["--target", host.trim(), "--target-dir"])
            .arg(&built)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f")),
    )?;
    let programs = built.join(host.trim()).join("release");
    let mut told = Vec::new();
    for target in &targets {
        let corpus = built.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let mut command = Command::new(programs.join(target));
        command
            .arg(format!("-max_total_time={}", arguments.seconds))
            .args([
                "-max_len=4096",
                "-rss_limit_mb=1024",
                "-timeout=10",
                "-print_final_stats=1",
            ])
            .arg(format!("-artifact_prefix={}/", built.display()))
            .arg(&corpus);
        let (good, output) = process::run_and_keep(&mut command)?;
        if !good {
            bail!(
                "{target}: a decoder failed; the last lines name the input, by which the program fails again"
            );
        }
        let runs = output
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let reached = output
            .lines()
            .rev()
            .find_map(|line| line.split("cov: ").nth(1)?.split(' ').next());
        told.push(format!(
            "{target} {} inputs, {} edges",
            runs.map_or("?", str::trim),
            reached.unwrap_or("?")
        ));
    }
    println!("figure: no input made a decoder fail: {}", told.join("; "));
    Ok(ExitCode::SUCCESS)
}

fn targets(folder: &std::path::Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
