//! The `loop` transport: a volume as the one file of a FUSE file system, under a loop device with direct I/O.
//!
//! For hosts and containers that have neither ublk nor nbd. The way of a request:
//!
//! ```text
//! block layer → loop driver → FUSE (no page cache) → /dev/fuse → a session thread → BlockDevice
//! ```
//!
//! - **No mount.** The file system is made by fsopen and fsmount and never appears in any mount namespace:
//!   the loop device alone holds its file, and when it lets go, the file system ends. Nothing to unmount.
//! - **Many requests at once.** A session thread starts the device's future itself; one that does not finish at
//!   once goes to the tokio runtime and answers from there.
//! - **Life after death.** With Linux 6.9, a small process keeps the FUSE descriptor when
//!   the daemon is killed; the next daemon asks the kernel for the requests in flight again, and mounted file
//!   systems notice a pause only.
//! - **A daemon that can be killed.** It never waits in the kernel for its own answers; a process beside it does (`worker.rs`).
//! - **What it cannot do.** No FUA (a flush follows instead). The kernel lets no write start while a flush, a
//!   discard or a zeroing is under way on the same volume (FUSE holds the inode's lock).
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod attach;
mod attached;
mod blocking;
mod buffers;
mod filesystem;
mod helper;
mod holder;
mod kernel;
mod loopback;
mod passing;
mod probe;
mod reply;
mod session;
mod transport;
mod tree;
mod wire;
mod worker;

pub use helper::{HelperProgram, help};
pub use transport::LoopTransport;
