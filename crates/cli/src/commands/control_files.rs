//! `restblk __control-files`: the process that keeps the tree of control files mounted. Started by the daemon before it
//! takes a mount namespace of its own, so that everybody sees the tree; hidden.
//!
//! It ends, and unmounts, when its standard input does: that is when the daemon ends it, and when the daemon dies.

use super::{runtime, told_to_end};
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Args;
use restblk_controlfs::{Config, ControlFs, DEFAULT_MOUNTPOINT, Handle, MountError};
use restblk_types::{ErrorKind, PoolName};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// How long the tree of a daemon that was killed may take to go: its own keeper sees the end at once.
const OTHERS_END: Duration = Duration::from_secs(5);

/// Keep the tree of control files mounted until standard input ends
#[derive(Debug, Args)]
pub(crate) struct ControlFiles {
    /// Where it is mounted
    #[arg(long, value_name = "DIR", default_value = DEFAULT_MOUNTPOINT)]
    mountpoint: PathBuf,
    /// The pool at the top of the tree
    #[arg(long, value_name = "POOL", default_value = "default")]
    default_pool: PoolName,
}

impl ControlFiles {
    pub(crate) fn run(self, session: &Session) -> Result {
        restblk_daemon::start_logging("info");
        let mut config = Config::new(session.client.socket(), self.default_pool);
        config.mountpoint = self.mountpoint;
        // A command may hang for minutes at a store; the others go on.
        runtime(Builder::new_multi_thread())?.block_on(keep(config))
    }
}

async fn keep(config: Config) -> Result {
    let told = told_to_end()?;
    let mounted = mount(config)
        .await
        .map_err(|error| Failure::new(error.kind(), error.to_string()))?;
    tracing::info!(mountpoint = %mounted.mountpoint().display(), "the control files are there");
    tokio::select! {
        () = told => {}
        _ = tokio::task::spawn_blocking(wait_for_the_end_of_input) => {}
    }
    let ended = mounted.unmount().await;
    ended.map_err(|error| {
        Failure::new(
            ErrorKind::Bug,
            format!("failed to unmount the control files: {error}"),
        )
    })
}

async fn mount(config: Config) -> std::result::Result<Handle, MountError> {
    let began = Instant::now();
    loop {
        match ControlFs::mount(config.clone()) {
            Err(MountError::Taken { .. }) if began.elapsed() < OTHERS_END => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

fn wait_for_the_end_of_input() {
    let mut bytes = [0; 64];
    let mut input = std::io::stdin().lock();
    while input.read(&mut bytes).is_ok_and(|read| read > 0) {}
}
