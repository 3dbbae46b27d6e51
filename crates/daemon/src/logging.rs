//! The log: structured events on standard error, as text or JSON.
//!
//! Where it cannot be written, because its disk is full say, lines are lost and nothing else happens.
//!
//! `RESTBLK_LOG` filters (`info`, `restblk_store=debug,warn`); `RESTBLK_LOG_FORMAT=json` gives one JSON object a line.

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Starts it, with `filter` where `RESTBLK_LOG` says nothing else; once a process.
pub fn start_logging(filter: &str) {
    let filter = EnvFilter::try_from_env("RESTBLK_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // They would be told on standard error, which panics where that cannot be written.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let started = if std::env::var("RESTBLK_LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().try_init()
    } else if std::env::var_os("JOURNAL_STREAM").is_some() {
        // The journal has its own clock and no colours.
        log.with_ansi(false).without_time().try_init()
    } else {
        log.with_ansi(io::stderr().is_terminal()).try_init()
    };
    // Somebody else's log is as good.
    drop(started);
}
