//! `restblk doctor`: what this host can do and what is missing.

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Style;
use crate::session::Session;
use clap::Args;
use restblk_api::{Check, CheckState, HostReport};

/// Tell what this host can do and what is missing
///
/// Asks the daemon, or looks by itself where there is none. Ends with 1 if a check failed.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let report = session
            .call("ask the daemon what this host can do", session.client.doctor())
            .await?;
        session.result(&report, |report| words(report, session.style))?;
        match report.checks.iter().any(|check| check.state == CheckState::Fail) {
            true => Err(Failure::silent(Exit::Failed)),
            false => Ok(()),
        }
    }
}

fn words(report: &HostReport, style: Style) -> String {
    let names = report
        .checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    let line = |check: &Check| {
        let state = match check.state {
            CheckState::Ok => style.good("ok  "),
            CheckState::Warn => style.fair("warn"),
            CheckState::Fail => style.bad("FAIL"),
        };
        format!("{state}  {:<names$}  {}\n", check.name, check.detail)
    };
    let checks: String = report.checks.iter().map(line).collect();
    match &report.best_transport {
        Some(transport) => format!("{checks}\n`restblk attach` takes {transport} on this host.\n"),
        None => format!(
            "{checks}\nThis host can attach nothing as a device; `restblk export` still serves NBD clients.\n"
        ),
    }
}
