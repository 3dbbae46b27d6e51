//! `restblk daemon`: this host's daemon, in the foreground.
//!
//! The process is given over whole: no thread runs and no runtime exists yet, because the daemon sets what every thread
//! inherits (PR_SET_IO_FLUSHER) before it starts any.

use crate::failure::{Failure, Result};
use clap::Args;
use restblk_api::ErrorBody;
use std::path::PathBuf;

/// Run the daemon of this host in the foreground
///
/// It keeps pools and attachments, and answers all other commands. Usually started by systemd: systemctl start restblk
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// Configuration file [default: /etc/restblk/restblk.toml, where there is one]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Daemon {
    pub(crate) fn run(&self) -> Result {
        restblk_daemon::start_logging("info");
        // Its messages complete "failed to …".
        restblk_daemon::run(self.config.as_deref()).map_err(|error| {
            Failure::body(ErrorBody {
                message: format!("failed to {}", error.message),
                ..error
            })
        })
    }
}
