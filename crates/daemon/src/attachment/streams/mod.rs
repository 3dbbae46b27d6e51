//! What changed between snapshots of log volumes, and streams of snapshots out of volumes and into them.
//!
//! What is told and sent goes out as fast as it is taken and no faster; it ends with the connection that asked for it. What is received is
//! written as it comes, so that its sender waits for us, and what is right stays when the connection breaks.

mod diff;
mod receive;
mod send;

pub(super) use receive::{ReceivedInto, check_whole};

use crate::error;
use bytes::Bytes;
use restblk_api::ErrorBody;
use restblk_engine::{EngineError, log::LogError};
use tokio::sync::mpsc;

/// Pieces of an answer that nobody has taken yet, at most 1 MiB each.
const UNTAKEN: usize = 2;

/// The answer of a task, piece by piece; the task ends when it is dropped.
pub(crate) type Pieces = mpsc::Receiver<Bytes>;

fn log_error(error: LogError) -> ErrorBody {
    error::engine(EngineError::from(error))
}
