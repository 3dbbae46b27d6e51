//! docs/cli.md: every command with its arguments and options, from the same definitions as `--help`.
//!
//! Does not copy the text of `--help`: that depends on the width of a terminal.

use crate::cli;
use crate::exit::Exit;
use clap::{Arg, Command};
use std::fmt::Write;

/// The whole page.
pub(crate) fn markdown() -> String {
    let mut root = cli::command();
    root.build();
    let mut page = String::from(
        "# The restblk command\n\n\
         <!-- Made by `cargo run -p restblk-cli -- __reference > docs/cli.md`; a test holds that it is current. -->\n\n\
         Results go to standard output, all else to standard error. `--output json` gives results as the types of the API\n\
         (its OpenAPI document is at `/openapi.json` on the socket), and errors as one line of JSON with `kind`, `message`\n\
         and `hint`.\n\n",
    );
    page += "## Global options\n\n";
    options(&mut page, root.get_arguments().filter(|arg| arg.is_global_set()));
    page += "## Exit codes\n\n| code | meaning |\n|---|---|\n";
    for (exit, meaning) in Exit::ALL {
        line(&mut page, format_args!("| {} | {meaning} |", exit as u8));
    }
    page.push('\n');
    for command in visible(&root) {
        describe(&mut page, command, &root);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn describe(page: &mut String, command: &Command, root: &Command) {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .replace('-', " ");
    line(page, format_args!("## {name}\n"));
    if name.starts_with("restblk volume ") && root.find_subcommand(command.get_name()).is_some() {
        let short = command.get_name();
        return line(
            page,
            format_args!("The same as [restblk {short}](#restblk-{short}).\n"),
        );
    }
    let about = command
        .get_long_about()
        .or(command.get_about())
        .map(ToString::to_string)
        .unwrap_or_default();
    let (first, more) = about.split_once("\n\n").unwrap_or((&about, ""));
    line(page, format_args!("{}.\n", first.trim_end_matches('.')));
    if !more.is_empty() {
        line(page, format_args!("{more}\n"));
    }
    if visible(command).next().is_none() {
        let usage = command.clone().render_usage().to_string();
        line(
            page,
            format_args!("```\n{}\n```\n", usage.trim_start_matches("Usage: ")),
        );
        options(
            page,
            command
                .get_arguments()
                .filter(|arg| !arg.is_global_set() && arg.get_id() != "help"),
        );
    }
    for command in visible(command) {
        describe(page, command, root);
    }
}

fn options<'a>(page: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = args
        .filter(|arg| !arg.is_hide_set())
        .map(|arg| format!("| `{}` | {} |\n", spelling(arg), meaning(arg)))
        .collect();
    if !rows.is_empty() {
        line(page, format_args!("| | |\n|---|---|\n{}", rows.concat()));
    }
}

/// `-o, --output <FORMAT>`, or `<POOL/NAME>`.
fn spelling(arg: &Arg) -> String {
    let short = arg
        .get_short()
        .map(|short| format!("-{short}, "))
        .unwrap_or_default();
    format!("{short}{arg}").replace('|', "\\|")
}

fn meaning(arg: &Arg) -> String {
    let help = arg
        .get_long_help()
        .or(arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default()
        .replace('\n', " ");
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let default: Vec<String> = arg
        .get_default_values()
        .iter()
        .filter(|_| arg.get_action().takes_values())
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let mut text = help;
    if !values.is_empty() {
        text += &format!(": {}", values.join(", "));
    }
    if !default.is_empty() {
        text += &format!(" (default {})", default.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        text += &format!(" (environment: `{}`)", variable.to_string_lossy());
    }
    text.replace('|', "\\|")
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{text}");
}
