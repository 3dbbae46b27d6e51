//! The root of the definitions: options that every command takes, and the help in groups.

use crate::commands::Command;
use clap::{Args, ColorChoice, CommandFactory, Parser, ValueEnum};
use restblk_api::client::DEFAULT_SOCKET;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;

/// Volumes in REST storage as native block devices.
#[derive(Debug, Parser)]
#[command(name = "restblk", version, propagate_version = false, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Socket of the daemon
    #[arg(long, global = true, env = "RESTBLK_SOCKET", hide_env_values = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(crate) socket: PathBuf,
    /// Form of results and errors: words for people, or JSON (the types of the API) for programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub(crate) output: OutputFormat,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Whether to use colors
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub(crate) color: ColorChoice,
}

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Table,
    Json,
}

/// The commands as `--help` groups them. A test holds that none is forgotten.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Volumes",
        &[
            "create", "clone", "list", "show", "extend", "convert", "delete", "trash", "snapshot", "check",
            "volume",
        ],
    ),
    ("Copies", &["diff", "send", "receive", "image"]),
    ("Devices", &["attach", "detach", "devices", "export", "unexport"]),
    ("Pools", &["pool", "mirror"]),
    ("Host", &["daemon", "serve", "cache", "doctor"]),
    ("Shell", &["completions", "man"]),
];

/// The definitions, with the help of the root in groups.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command().disable_help_subcommand(true);
    let mut groups = String::new();
    for (group, names) in GROUPS {
        // Writing to a String cannot fail.
        let _ = writeln!(groups, "\x1b[1;4m{group}:\x1b[0m");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(groups, "  \x1b[1m{name:<12}\x1b[0m {about}");
        }
        groups.push('\n');
    }
    command.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}\x1b[1;4mOptions:\x1b[0m\n{{options}}\n\n\
         `restblk COMMAND --help` tells more of each; `restblk doctor` what this host can do."
    ))
}

/// What `--color` says, before the arguments are parsed: their errors are colored too.
pub(crate) fn color_of(args: &[OsString]) -> ColorChoice {
    value_of(args, &["--color"])
        .and_then(|when| ColorChoice::from_str(&when, true).ok())
        .unwrap_or_default()
}

/// What `--output` says, before the arguments are parsed: their errors take its form too.
pub(crate) fn format_of(args: &[OsString]) -> OutputFormat {
    let format = value_of(args, &["--output", "-o"]);
    format
        .and_then(|format| OutputFormat::from_str(&format, true).ok())
        .unwrap_or_default()
}

/// What `--socket` says, or the environment, before the arguments are parsed: for completions.
pub(crate) fn socket_of(args: &[OsString]) -> PathBuf {
    let given = value_of(args, &["--socket"]).map(PathBuf::from);
    given
        .or_else(|| std::env::var_os("RESTBLK_SOCKET").map(PathBuf::from))
        .unwrap_or_else(|| DEFAULT_SOCKET.into())
}

/// The value of an option: `--name value`, `--name=value`, `-nvalue`.
fn value_of(args: &[OsString], names: &[&str]) -> Option<String> {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    args.iter().enumerate().find_map(|(index, arg)| {
        names.iter().find_map(|name| match arg.strip_prefix(name)? {
            "" => args.get(index + 1).map(|value| (*value).to_owned()),
            rest if name.starts_with("--") => rest.strip_prefix('=').map(ToOwned::to_owned),
            rest => Some(rest.trim_start_matches('=').to_owned()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group() {
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        let command = command();
        let known: Vec<&str> = command
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        for name in &known {
            assert_eq!(grouped.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        assert_eq!(grouped.len(), known.len());
    }

    #[test]
    fn options_are_found_before_parsing() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for text in [
            "restblk list -o json",
            "restblk -ojson x",
            "restblk --output=json",
            "restblk --output json",
        ] {
            assert_eq!(format_of(&args(text)), OutputFormat::Json, "{text}");
        }
        assert_eq!(format_of(&args("restblk --bad")), OutputFormat::Table);
        assert_eq!(color_of(&args("restblk --color=never")), ColorChoice::Never);
    }
}
