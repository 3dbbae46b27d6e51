//! What was run and how it ended: rows as they come, a summary, and a last line `N passed, N failed` that CI reads.
//!
//! A step counts as one, but a step that runs many tests counts as those tests. A failed step never ends the run: what
//! can still be learnt is learnt.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step ended.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
    /// A step of many tests: how many passed and failed. It failed as a whole if it says so, even with no failed test.
    Counted {
        passed: usize,
        failed: usize,
        whole: bool,
    },
}

struct Row {
    name: String,
    outcome: Outcome,
    time: Duration,
}

/// The steps of one run.
pub(crate) struct Report {
    started: Instant,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            rows: Vec::new(),
        }
    }

    /// Runs one step in sight, and says how it ended.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome>) -> bool {
        println!("== {name}");
        let started = Instant::now();
        let outcome = run().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        self.add(name.to_owned(), outcome, started.elapsed())
    }

    /// Adds a step that was run elsewhere; returns whether it did not fail.
    pub(crate) fn add(&mut self, name: String, outcome: Outcome, time: Duration) -> bool {
        let row = Row { name, outcome, time };
        println!("{}", row.line());
        let fine = !row.failed();
        self.rows.push(row);
        fine
    }

    /// Prints the summary; the exit code says whether anything failed, or nothing was run.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n== summary after {:.0} s", self.started.elapsed().as_secs_f64());
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for row in &self.rows {
            println!("{}", row.line());
            match &row.outcome {
                Outcome::Passed => passed += 1,
                Outcome::Failed(_) => failed += 1,
                Outcome::Skipped(_) => skipped += 1,
                Outcome::Counted {
                    passed: right,
                    failed: wrong,
                    whole,
                } => {
                    passed += right;
                    failed += (*wrong).max(usize::from(!whole));
                }
            }
        }
        let skips = if skipped > 0 {
            format!(", {skipped} skipped")
        } else {
            String::new()
        };
        println!("{passed} passed, {failed} failed{skips}");
        if failed > 0 || passed == 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl Row {
    fn failed(&self) -> bool {
        match &self.outcome {
            Outcome::Passed | Outcome::Skipped(_) => false,
            Outcome::Failed(_) => true,
            Outcome::Counted { failed, whole, .. } => *failed > 0 || !whole,
        }
    }

    fn line(&self) -> String {
        let time = self.time.as_secs_f64();
        let (word, detail) = match &self.outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Failed(why) => ("FAILED", format!(": {why}")),
            Outcome::Skipped(why) => ("skipped", format!(": {why}")),
            Outcome::Counted {
                failed: 0,
                whole: false,
                ..
            } => ("FAILED", ": not all could be run".to_owned()),
            Outcome::Counted { passed, failed, .. } => (
                if self.failed() { "FAILED" } else { "passed" },
                format!(": {passed} tests passed, {failed} failed"),
            ),
        };
        format!("-- {word:<7} {time:>6.1} s  {}{detail}", self.name)
    }
}
