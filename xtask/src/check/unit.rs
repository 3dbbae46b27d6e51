//! The tests of the crates, by cargo-nextest where it is installed and by cargo's own harness otherwise.
//!
//! A test that needs a device, root or FUSE has `on_device` in its path (see .config/nextest.toml).

use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, is_installed, run_and_keep};
use crate::report::Outcome;
use crate::tree::Tree;

/// The tests that run anywhere.
pub(super) fn without_devices(tree: &Tree) -> Result<Outcome> {
    let mut command = cargo();
    if is_installed("cargo-nextest") {
        command.args([
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-tests",
            "pass",
            "-E",
            "not test(on_device)",
        ]);
    } else {
        command.args([
            "test",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
            "--locked",
        ]);
        command.args(["--", "--skip", "on_device"]);
    }
    counted(tree, &mut command)
}

/// The tests that need a device, one at a time.
pub(crate) fn on_device(tree: &Tree) -> Result<Outcome> {
    let mut command = cargo();
    if is_installed("cargo-nextest") {
        command.args([
            "nextest",
            "run",
            "--workspace",
            "--locked",
            "--no-tests",
            "pass",
            "-E",
            "test(on_device)",
        ]);
    } else {
        command.args([
            "test",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
            "--locked",
        ]);
        command.args(["on_device", "--", "--test-threads", "1"]);
    }
    counted(tree, &mut command)
}

/// The test of the orders of threads, which takes locks of its own.
pub(super) fn schedules(tree: &Tree) -> Result<Outcome> {
    let mut command = cargo();
    command.args(["test", "--package", "restblk-cache", "--features", "shuttle"]);
    command.args(["--locked", "--lib", "schedules"]);
    counted(tree, &mut command)
}

fn counted(tree: &Tree, command: &mut Command) -> Result<Outcome> {
    let (whole, output) = run_and_keep(command.current_dir(&tree.root))?;
    let (passed, failed) = count(&output);
    Ok(Outcome::Counted {
        passed,
        failed,
        whole,
    })
}

/// How many tests passed and failed, from the summary lines of either harness.
fn count(output: &str) -> (usize, usize) {
    let (mut passed, mut failed) = (0, 0);
    for line in output.lines() {
        let Some((_, figures)) = line
            .split_once("tests run: ")
            .or_else(|| line.split_once("test run: "))
            .or_else(|| line.split_once("test result: ")?.1.split_once(". "))
        else {
            continue;
        };
        for part in figures.split([',', ';']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse::<usize>), words.next()) else {
                continue;
            };
            match what {
                "passed" => passed += number,
                "failed" | "timed" | "exec" => failed += number,
                _ => {}
            }
        }
    }
    (passed, failed)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_nextest() {
        assert_eq!(
            count(
                "     Summary [   0.048s] 12 tests run: 9 passed (1 slow), 1 failed, 2 timed out, 3 skipped"
            ),
            (9, 3)
        );
        assert_eq!(
            count("     Summary [   0.048s] 1 test run: 1 passed, 0 skipped"),
            (1, 0)
        );
        assert_eq!(
            count("     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped"),
            (0, 0)
        );
    }

    #[test]
    fn adds_the_binaries_of_cargo_test() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\ntest result: FAILED. 2 passed; 1 failed; 0 ignored";
        assert_eq!(count(output), (5, 1));
    }
}
