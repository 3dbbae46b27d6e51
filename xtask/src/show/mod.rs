//! `show`: the claims this project makes, each one command that sets up what it needs, does the thing, prints its figure
//! last (`figure: …`), ends with 0 only if it holds, and cleans up.
//!
//! A claim is a script tests/show/GROUP/NAME.sh (or .py) with `# claim: …` in its head, or, where shelling out is not
//! the work, a function here, listed in its group's module.

mod evidence;
mod foundation;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::report::{Outcome, Report};
use crate::script::{self, Script};
use crate::setup;
use crate::tree::Tree;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// GROUP, GROUP/NAME or `all`; without it the claims are listed
    claims: Vec<String>,
    /// Write the figures into docs/evidence.md
    #[arg(long)]
    record: bool,
}

/// Without a `timeout:` in its head, a claim has this long.
const LIMIT: Duration = Duration::from_secs(900);

/// One claim.
struct Claim {
    group: String,
    name: String,
    /// What is claimed, in one line.
    claim: String,
    proof: Proof,
}

enum Proof {
    Script(Script),
    /// Returns the figure. What it needs built, it builds.
    Function(fn(&Tree) -> Result<String>),
}

impl Claim {
    fn path(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Whether the release build must be there; a script that does not call it says `# programs: none`.
    fn uses_programs(&self) -> bool {
        matches!(&self.proof, Proof::Script(script) if script.says("programs") != Some("none"))
    }

    /// Shows the claim; returns how that ended, and the figure.
    fn show(&self, tree: &Tree) -> Result<(Outcome, Option<String>)> {
        match &self.proof {
            Proof::Function(prove) => {
                let figure = prove(tree)?;
                println!("figure: {figure}");
                Ok((Outcome::Passed, Some(figure)))
            }
            Proof::Script(script) => {
                let finished = script.run(tree, &[], script.limit(LIMIT)?, true)?;
                let figure = finished
                    .output
                    .lines()
                    .rev()
                    .find_map(|line| line.strip_prefix("figure: "));
                match (finished.outcome, figure) {
                    (Outcome::Passed, None) => {
                        Ok((Outcome::Failed("it printed no `figure: `".to_owned()), None))
                    }
                    (outcome, figure) => Ok((outcome, figure.map(str::to_owned))),
                }
            }
        }
    }
}

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    let claims = all(tree)?;
    if arguments.claims.is_empty() {
        for claim in &claims {
            println!("{:<40} {}", claim.path(), claim.claim);
        }
        println!(
            "{} claims; show one with `cargo xtask show GROUP/NAME`, or a group",
            claims.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let chosen =
        |wanted: &str, claim: &Claim| wanted == "all" || wanted == claim.group || wanted == claim.path();
    if let Some(wanted) = arguments
        .claims
        .iter()
        .find(|wanted| !claims.iter().any(|claim| chosen(wanted, claim)))
    {
        bail!("there is no claim or group {wanted}; `cargo xtask show` lists them");
    }

    let wanted: Vec<_> = claims
        .iter()
        .filter(|claim| arguments.claims.iter().any(|wanted| chosen(wanted, claim)))
        .collect();

    setup::packages(tree, &[setup::BUILD, setup::RUN, setup::TEST])?;
    setup::guest(tree)?;
    for claim in &wanted {
        if let Proof::Script(script) = &claim.proof {
            script.tools().try_for_each(setup::tool)?;
        }
    }
    if wanted.iter().any(|claim| claim.uses_programs()) {
        setup::build(tree)?;
    }
    let mut report = Report::new();
    for claim in &wanted {
        println!("== {}: {}", claim.path(), claim.claim);
        let started = Instant::now();
        let (outcome, figure) = claim
            .show(tree)
            .unwrap_or_else(|error| (Outcome::Failed(format!("{error:#}")), None));
        let held = matches!(outcome, Outcome::Passed);
        if let (true, true, Some(figure)) = (arguments.record, held, figure) {
            evidence::record(tree, &claim.path(), &claim.claim, &figure)?;
        }
        // one claim alone: its figure is the last line
        if let ([_], true) = (&wanted[..], held) {
            return Ok(ExitCode::SUCCESS);
        }
        report.add(claim.path(), outcome, started.elapsed());
    }
    Ok(report.finish())
}

/// All claims: functions first, then scripts, by group and name.
fn all(tree: &Tree) -> Result<Vec<Claim>> {
    let mut claims = foundation::claims();
    let folder = tree.root.join("tests/show");
    if folder.is_dir() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            for script in script::discover(&path)? {
                let Some(claim) = script.says("claim").map(str::to_owned) else {
                    continue;
                };
                claims.push(Claim {
                    group: path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    name: script.name.clone(),
                    claim,
                    proof: Proof::Script(script),
                });
            }
        }
    }
    claims.sort_by_key(Claim::path);
    if let Some(pair) = claims.windows(2).find(|pair| pair[0].path() == pair[1].path()) {
        bail!("there are two claims {}", pair[0].path());
    }
    Ok(claims)
}
