//! The tree of control files: the names, the grammar and the errno of the kernel driver of 2014's `/sys/class/srb`, for
//! scripts that `echo` into them. docs/control-files.md tells its users what is there.
//!
//! - `node` names what is in the tree, `inodes` numbers it;
//! - `command` reads what is written (pure), `execute` and `urls` do it, `content` gives what is read;
//! - `errno` is the one table from the API's errors to those that the driver returned;
//! - `fs` speaks FUSE, `handles` keeps what is open, `mount` mounts and unmounts.
//!
//! Invariants: a command file does nothing before its command is whole; a `write` that completes a command returns only
//! when the command is done, with its error; a request never blocks the FUSE session, so that one slow store does not
//! stop the others. The tree knows the daemon by the client of its API alone.
//!
//! Does not: keep state (but the debug levels and the last error), or start anything.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod command;
mod content;
mod control;
mod errno;
mod execute;
mod fs;
mod handles;
mod inodes;
mod mount;
mod node;
mod urls;

pub use mount::{Config, ControlFs, DEFAULT_MOUNTPOINT, Handle, MountError};
