//! Holds that every crate of ours has its place in deny.toml, where the direction of the crates is written down: a crate
//! that is not named there could be depended upon by any other.

use std::fs;

use anyhow::{Context, Result};

use crate::report::Outcome;
use crate::tree::Tree;

/// The crates nobody depends upon.
const PROGRAMS: &[&str] = &["restblk-cli", "restblk-model"];

pub(super) fn check(tree: &Tree) -> Result<Outcome> {
    let rules = fs::read_to_string(tree.root.join("deny.toml")).context("cannot read deny.toml")?;
    let mut missing = Vec::new();
    for entry in fs::read_dir(tree.root.join("crates")).context("cannot list crates/")? {
        let manifest = entry?.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            continue;
        };
        let name = text
            .lines()
            .find_map(|line| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned()));
        let name = name.with_context(|| format!("{}: no name", manifest.display()))?;
        if !PROGRAMS.contains(&name.as_str())
            && !rules.lines().any(|line| line == format!("crate = \"{name}\""))
        {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(Outcome::Passed);
    }
    missing.sort();
    Ok(Outcome::Failed(format!(
        "deny.toml does not say who may depend on {}",
        missing.join(", ")
    )))
}
