//! The daemon's own program as a small process beside it: one that keeps a connection over the daemon's death
//! ([`crate::holder`]), or one that waits for the kernel in the daemon's stead ([`crate::worker`]).
//!
//! A helper is told by its last arguments what it is, and given its descriptors as standard input and output.

use crate::{holder, worker};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
};

/// The argument that makes a helper keep a connection.
const HOLD: &str = "hold";
/// The argument, before a piece of work, that makes a helper do it.
const WORK: &str = "work";

/// How to start a helper: a program that calls [`help`] with whatever follows these arguments.
#[derive(Clone, Debug)]
pub struct HelperProgram {
    /// The program.
    pub program: PathBuf,
    /// What makes it a helper.
    pub args: Vec<OsString>,
}

impl HelperProgram {
    /// The running program itself (also when its file has been replaced since), with these arguments.
    pub fn this_program(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    pub(crate) fn holder(&self) -> Command {
        self.command(&[HOLD])
    }

    pub(crate) fn worker(&self, work: &str) -> Command {
        self.command(&[WORK, work])
    }

    fn command(&self, role: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .args(role)
            .env_clear()
            .current_dir("/")
            // A terminal's Ctrl-C is for the daemon, which may still need its helpers.
            .process_group(0);
        command
    }
}

/// A helper's whole life, by the arguments that follow those of its [`HelperProgram`].
///
/// Fails where they are none, or the descriptors are not those of a helper, as when a person typed the command.
pub fn help(args: &[impl AsRef<OsStr>]) -> io::Result<()> {
    match args.iter().map(|arg| arg.as_ref().to_str()).collect::<Vec<_>>()[..] {
        [Some(HOLD)] => holder::hold(),
        [Some(WORK), Some(work)] => worker::work(work),
        _ => Err(for_own_use()),
    }
}

/// The error for a person who starts a helper.
pub(crate) fn for_own_use() -> io::Error {
    let message = "this command is for restblk's own use: it serves the daemon's loop devices";
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
