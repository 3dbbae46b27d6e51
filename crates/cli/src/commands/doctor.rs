//! `restblk doctor`: what this host can do and what is missing.

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Style;
use crate::session::Session;
use clap::Args;
use restblk_api::client::ClientError;
use restblk_api::{Check, CheckState, HostReport};

/// Tell what this host can do and what is missing
///
/// Asks the daemon, or looks by itself where there is none. Ends with 1 if a check failed.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let report = match session.client.doctor().await {
            Ok(report) => report,
            Err(ClientError::Api(error)) => return Err(Failure::body(error)),
            Err(error) => without_daemon(&error).await,
        };
        session.result(&report, |report| words(report, session.style))?;
        match report.checks.iter().any(|check| check.state == CheckState::Fail) {
            true => Err(Failure::silent(Exit::Failed)),
            false => Ok(()),
        }
    }
}

/// What can be seen without the daemon, and why it could not be asked.
async fn without_daemon(error: &ClientError) -> HostReport {
    let mut report = restblk_daemon::doctor::report().await;
    let detail = format!("{error}; {}", error.hint().unwrap_or_default());
    report.checks.push(Check {
        name: "daemon".to_owned(),
        state: CheckState::Fail,
        detail,
    });
    report
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
