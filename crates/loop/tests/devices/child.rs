//! The example program as a daemon that can be killed.

use crate::rig::example;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A process that serves one device.
pub(crate) struct Server {
    child: Child,
    pub(crate) path: PathBuf,
    pub(crate) index: u32,
    pub(crate) resumed: bool,
}

fn program(run_dir: &Path, volume: &Path, hold: bool) -> Command {
    let mut command = Command::new(example());
    command.arg(run_dir).arg(volume);
    if hold {
        command.env("LOOP_ATTACH_HOLD", "1");
    }
    command
}

impl Server {
    pub(crate) fn attach(run_dir: &Path, volume: &Path, hold: bool) -> Self {
        Self::start(program(run_dir, volume, hold))
    }

    /// Takes over what an earlier one left.
    pub(crate) fn recover(run_dir: &Path, volume: &Path, index: u32) -> Self {
        let mut command = program(run_dir, volume, true);
        command.arg("recover").arg(index.to_string());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [path, index, resumed] = words[..] else {
            panic!("the program did not attach: {line:?}")
        };
        Self {
            path: path.into(),
            index: index.parse().unwrap(),
            resumed: resumed == "true",
            child,
        }
    }

    /// The process that keeps its connection, where it started one.
    pub(crate) fn holder(&self) -> Option<String> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        // A thread that is not the first may have started it.
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
        let of_threads = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        of_threads
            .chain([children])
            .find_map(|list| list.split_whitespace().next().map(str::to_owned))
    }

    /// Kills it as the kernel would when memory runs out, and waits for its last thread.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to end in this way; it must succeed.
    pub(crate) fn end(mut self, how: &str) {
        writeln!(self.child.stdin.take().unwrap(), "{how}").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
