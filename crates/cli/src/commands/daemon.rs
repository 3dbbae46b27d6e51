//! `restblk daemon`: this host's daemon, in the foreground.
//!
//! The process is given over whole: no thread runs and no runtime exists yet, because the daemon sets what every thread
//! inherits (PR_SET_IO_FLUSHER) before it starts any.

use crate::failure::{Failure, Result};
use clap::Args;
use restblk_api::ErrorBody;
use restblk_types::ErrorKind;
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
            let failure = Failure::body(ErrorBody {
                message: format!("failed to {}", error.message),
                ..error
            });
            if failure.wants_hint(ErrorKind::Denied) {
                return failure.hint(
                    "run it as root; another user can have a daemon that exports by NBD, with folders of its own: \
                     set run_dir, state_dir and dev_dir in a file for --config",
                );
            }
            failure
        })
    }
}
