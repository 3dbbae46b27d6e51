//! `restblk __loop-helper`: a small process beside the daemon, started by the loop transport with descriptors of its own as
//! standard input, output and error; hidden.

use crate::failure::{Failure, Result};
use clap::Args;
use restblk_types::ErrorKind;

/// Serve the daemon's loop devices
#[derive(Debug, Args)]
pub(crate) struct LoopHelper {
    role: Vec<String>,
}

impl LoopHelper {
    pub(crate) fn run(&self) -> Result {
        restblk_daemon::loop_helper(&self.role)
            .map_err(|error| Failure::new(ErrorKind::Invalid, error.to_string()))
    }
}
