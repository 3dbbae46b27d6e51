//! `test`: everything CI runs, from a machine that has Rust and nothing else.
//!
//! Steps, in this order: `setup`, those of `check`, `build` (release), `on-device` (tests of the crates that need a real
//! device), `native/NAME` (tests/e2e/native/NAME.sh), `guest/NAME@KERNEL` (tests/e2e/guest/NAME.sh on each of its `kernels:`).

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report::{Outcome, Report};
use crate::script::{self, Script};
use crate::tree::Tree;
use crate::{check, guest, setup};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the guest
    #[arg(long)]
    quick: bool,
    /// Run only the steps whose name begins with, or has after its `/`, one of these
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// List the steps and run none
    #[arg(long)]
    list: bool,
    /// Show what the end-to-end tests print while they run
    #[arg(long, short)]
    verbose: bool,
    /// How many guests run at once
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// Without a `timeout:` in its head, a native test has this long.
const NATIVE_LIMIT: Duration = Duration::from_secs(180);

pub(crate) fn main(tree: &Tree, arguments: &Arguments) -> Result<ExitCode> {
    let native = script::discover(&tree.root.join("tests/e2e/native"))?;
    let native: Vec<_> = native
        .into_iter()
        .map(|script| (format!("native/{}", script.name), script))
        .filter(|(name, _)| arguments.wants(name))
        .collect();
    let mut guests = Vec::new();
    if !arguments.quick {
        for script in script::discover(&tree.root.join("tests/e2e/guest"))? {
            for kernel in script.says("kernels").unwrap_or("6.12 7.2").split_whitespace() {
                guests.push(InGuest::new(&script, kernel));
            }
        }
    }
    guests.retain(|test| arguments.wants(&test.name));
    let checks: Vec<_> = check::STEPS
        .iter()
        .filter(|step| arguments.wants(step.name))
        .collect();
    let on_device = arguments.wants("on-device");
    let build = arguments.wants("build") || !native.is_empty() || !guests.is_empty();

    if arguments.list {
        let names = checks
            .iter()
            .map(|step| step.name)
            .chain(on_device.then_some("on-device"));
        let names = names.chain(native.iter().map(|(name, _)| name.as_str()));
        names
            .chain(guests.iter().map(|test| test.name.as_str()))
            .for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }

    let mut report = Report::new();
    report.step("setup", || {
        setup::packages(tree, &[setup::BUILD, setup::RUN, setup::TEST])?;
        setup::tool("cargo-deny")?;
        if !guests.is_empty() {
            setup::guest(tree)?;
        }
        Ok(Outcome::Passed)
    });
    for step in checks {
        report.step(step.name, || (step.run)(tree));
    }
    if build && !report.step("build", || setup::build(tree).map(|()| Outcome::Passed)) {
        for name in native
            .iter()
            .map(|(name, _)| name)
            .chain(guests.iter().map(|test| &test.name))
        {
            report.add(
                name.clone(),
                Outcome::Failed("there is nothing to run".to_owned()),
                Duration::ZERO,
            );
        }
        return Ok(report.finish());
    }
    if on_device {
        report.step("on-device", || check::on_device(tree));
    }
    for (name, script) in &native {
        report.step(name, || {
            Ok(script
                .run(tree, &[], script.limit(NATIVE_LIMIT)?, arguments.verbose)?
                .outcome)
        });
    }
    in_guests(tree, &guests, arguments, &mut report);
    Ok(report.finish())
}

impl Arguments {
    fn wants(&self, step: &str) -> bool {
        let short = step.split_once('/').map_or(step, |(_, name)| name);
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|wanted| step.starts_with(wanted.as_str()) || short.starts_with(wanted.as_str()))
    }
}

struct InGuest {
    name: String,
    script: Script,
    kernel: String,
}

impl InGuest {
    fn new(script: &Script, kernel: &str) -> Self {
        Self {
            name: format!("guest/{}@{kernel}", script.name),
            script: script.clone(),
            kernel: kernel.to_owned(),
        }
    }
}

/// Runs the guests, as many at once as asked for, and reports each as it ends.
fn in_guests(tree: &Tree, guests: &[InGuest], arguments: &Arguments, report: &mut Report) {
    let next = AtomicUsize::new(0);
    let report = Mutex::new(report);
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.clamp(1, guests.len().max(1)) {
            scope.spawn(|| {
                while let Some(test) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    println!("== {}", test.name);
                    let started = Instant::now();
                    let outcome = guest::script(tree, &test.script, &test.kernel, arguments.verbose)
                        .map_or_else(
                            |error| Outcome::Failed(format!("{error:#}")),
                            |finished| finished.outcome,
                        );
                    let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.add(test.name.clone(), outcome, started.elapsed());
                }
            });
        }
    });
}
