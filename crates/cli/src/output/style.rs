//! Colors on standard error and in tables, where they are wanted.

use clap::ColorChoice;
use std::io::IsTerminal;

/// Whether to color.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    stderr: bool,
    stdout: bool,
}

impl Style {
    /// As asked; `auto` means a terminal that can, unless `NO_COLOR` is set.
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let able = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        match choice {
            ColorChoice::Always => Self {
                stderr: true,
                stdout: true,
            },
            ColorChoice::Never => Self::plain(),
            ColorChoice::Auto => Self {
                stderr: able && std::io::stderr().is_terminal(),
                stdout: able && std::io::stdout().is_terminal(),
            },
        }
    }

    /// No colors.
    pub(crate) fn plain() -> Self {
        Self {
            stderr: false,
            stdout: false,
        }
    }

    pub(crate) fn error(self, text: &str) -> String {
        paint(self.stderr, "1;31", text)
    }

    pub(crate) fn warning(self, text: &str) -> String {
        paint(self.stderr, "1;33", text)
    }

    pub(crate) fn hint(self, text: &str) -> String {
        paint(self.stderr, "1;36", text)
    }

    /// In a result: well.
    pub(crate) fn good(self, text: &str) -> String {
        paint(self.stdout, "32", text)
    }

    /// In a result: well, with a limit.
    pub(crate) fn fair(self, text: &str) -> String {
        paint(self.stdout, "33", text)
    }

    /// In a result: not well.
    pub(crate) fn bad(self, text: &str) -> String {
        paint(self.stdout, "1;31", text)
    }
}

fn paint(on: bool, code: &str, text: &str) -> String {
    if on {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
