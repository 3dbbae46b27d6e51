//! The tree through the kernel: mounted by FUSE, read and written as a script does, over a daemon made of canned answers.
//! Needs root and /dev/fuse; without them the tests say that they were skipped.
#![allow(clippy::unwrap_used, reason = "tests")]

mod daemon;
mod errors;
mod mounted;
mod mounting;
mod reading;
mod writing;
