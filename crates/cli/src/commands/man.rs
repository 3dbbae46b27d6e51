//! `restblk man`: the manual pages, one a command.

use crate::cli;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::Args;
use restblk_types::ErrorKind;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "RESTBLK_SOCKET",
        "socket of the daemon, where --socket does not say",
    ),
    (
        "RESTBLK_LOG",
        "what the daemon and `restblk serve` log: error, warn, info, debug, or such as restblk_store=debug,warn",
    ),
    ("RESTBLK_LOG_FORMAT", "json for a log of one JSON object a line"),
    (
        "NO_COLOR",
        "set to anything: no colors, unless --color asks for them",
    ),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/restblk/restblk.toml", "configuration of the daemon"),
    (
        "/var/lib/restblk",
        "what the daemon remembers over a reboot: pools and persistent attachments",
    ),
    ("/run/restblk/api.sock", "the control API"),
    ("/run/restblk/control", "the control files"),
    (
        "/dev/restblk/POOL/VOLUME, /dev/restblk/by-name/NAME",
        "the devices by name",
    ),
];

/// Write the manual pages into a directory
///
/// To read them from there: man ./restblk.1
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Directory; it is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, session: &Session) -> Result {
        let written = self.write();
        written.map_err(|error| {
            let message = format!(
                "failed to write the manual pages to {}: {error}",
                self.directory.display()
            );
            Failure::new(ErrorKind::Denied, message)
        })?;
        session.note(format!(
            "next: man {}",
            self.directory.join("restblk.1").display()
        ));
        Ok(())
    }

    fn write(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        clap_mangen::generate_to(cli::command(), &self.directory)?;
        let mut root = OpenOptions::new()
            .append(true)
            .open(self.directory.join("restblk.1"))?;
        root.write_all(sections().as_bytes())
    }
}

/// What only the page of the whole program has: exit codes, environment, files.
fn sections() -> String {
    let codes: Vec<(String, &str)> = Exit::ALL
        .iter()
        .map(|(exit, meaning)| ((*exit as u8).to_string(), *meaning))
        .collect();
    let codes: Vec<(&str, &str)> = codes
        .iter()
        .map(|(code, meaning)| (code.as_str(), *meaning))
        .collect();
    section("EXIT STATUS", &codes) + &section("ENVIRONMENT", &ENVIRONMENT) + &section("FILES", &FILES)
}

fn section(title: &str, entries: &[(&str, &str)]) -> String {
    let entries = entries
        .iter()
        .map(|(name, meaning)| format!(".TP\n.B {}\n{}\n", escape(name), escape(meaning)));
    format!(".SH \"{title}\"\n{}", entries.collect::<String>())
}

/// Backslashes, and hyphens that are to stay what they are.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('-', "\\-")
}
