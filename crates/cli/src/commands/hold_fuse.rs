//! `restblk __hold-fuse`: the process that keeps the descriptors of a loop device's file system while the daemon is
//! replaced. Started by the loop transport with descriptors of its own as standard input, output and error; hidden.

use crate::failure::{Failure, Result};
use clap::Args;
use restblk_types::ErrorKind;

/// Keep a FUSE connection for the next daemon
#[derive(Debug, Args)]
pub(crate) struct HoldFuse {}

impl HoldFuse {
    pub(crate) fn run(&self) -> Result {
        restblk_daemon::hold_fuse().map_err(|error| Failure::new(ErrorKind::Invalid, error.to_string()))
    }
}
