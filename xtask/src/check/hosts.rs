//! Holds that no file names the host of a package registry: where packages come from is the machine's affair
//! (apt's sources, cargo's configuration), and a mirror must be able to stand in for each.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::process::capture;
use crate::report::Outcome;
use crate::tree::Tree;

/// The hosts, in parts, so that this file does not name them either.
const HOSTS: &[&[&str]] = &[
    &["crates", "io"],
    &["deb", "debian", "org"],
    &["ftp", "debian", "org"],
    &["security", "debian", "org"],
    &["snapshot", "debian", "org"],
    &["deb", "nodesource", "com"],
    &["pypi", "org"],
    &["files", "pythonhosted", "org"],
    &["npmjs", "org"],
    &["npmjs", "com"],
    &["proxy", "golang", "org"],
    &["docker", "io"],
    &["ghcr", "io"],
    &["quay", "io"],
];

/// Written by cargo, not by us.
const LOCKS: &[&str] = &["Cargo.lock"];

pub(super) fn check(tree: &Tree) -> Result<Outcome> {
    let hosts: Vec<String> = HOSTS.iter().map(|parts| parts.join(".")).collect();
    let files = capture(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&tree.root),
    )?;
    let mut found = 0;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        if LOCKS.iter().any(|lock| file.ends_with(lock)) {
            continue;
        }
        // a folder, a file deleted but not yet committed, bytes: nothing that names a host
        let Ok(text) = fs::read_to_string(tree.root.join(file)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if let Some(host) = hosts.iter().find(|host| line.contains(host.as_str())) {
                println!("{file}:{}: names {host}", number + 1);
                found += 1;
            }
        }
    }
    Ok(if found == 0 {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("{found} lines name a registry's host"))
    })
}
