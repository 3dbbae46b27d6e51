//! `bench`: runs the scripts of bench/, which print their tables. A bench says what it measures: `# bench: …`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::report::Outcome;
use crate::script;
use crate::setup;
use crate::tree::Tree;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which bench, or `all`; without it they are listed
    name: Option<String>,
    /// Arguments for the script
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Without a `timeout:` in its head, a bench has this long.
const LIMIT: Duration = Duration::from_secs(1800);

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    let mut benches = script::discover(&tree.root.join("bench"))?;
    // without the line it is a part of another bench
    benches.retain(|bench| bench.says("bench").is_some());
    let Some(name) = &arguments.name else {
        for bench in &benches {
            println!("{:<24} {}", bench.name, bench.says("bench").unwrap_or_default());
        }
        println!("{} benches; run one with `cargo xtask bench NAME`", benches.len());
        return Ok(ExitCode::SUCCESS);
    };
    benches.retain(|bench| name == "all" || bench.name == *name);
    if benches.is_empty() {
        bail!("there is no bench {name}; `cargo xtask bench` lists them");
    }
    setup::packages(tree, &[setup::BUILD, setup::RUN, setup::TEST])?;
    for bench in &benches {
        bench.tools().try_for_each(setup::tool)?;
    }
    setup::build(tree)?;
    let mut failed = false;
    for bench in benches {
        println!("== {}: {}", bench.name, bench.says("bench").unwrap_or_default());
        let finished = bench.run(tree, &arguments.arguments, bench.limit(LIMIT)?, true)?;
        if let Outcome::Failed(why) | Outcome::Skipped(why) = finished.outcome {
            println!("{}: not measured: {why}", bench.name);
            failed = true;
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
