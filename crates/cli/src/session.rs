//! What a command works with: the client, where results go, how the user is kept informed.

use crate::cli::{Global, OutputFormat};
use crate::failure::{Failure, Result};
use crate::output::{Style, Table, progress, say};
use restblk_api::client::{Client, ClientError};
use serde::Serialize;
use std::io::{self, BufRead, IsTerminal, Write};

/// One run of the program.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) style: Style,
    format: OutputFormat,
    quiet: bool,
}

impl Session {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            client: Client::new(&global.socket),
            style: Style::new(global.color),
            format: global.output,
            quiet: global.quiet,
        }
    }

    /// Whether a program reads the result.
    pub(crate) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Whether little is to be said: as was asked, or because a program listens.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet || self.is_json()
    }

    /// Waits for a call, with a sign of life on a terminal; `what` completes "failed to …".
    pub(crate) async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = std::result::Result<T, ClientError>>,
    ) -> Result<T> {
        let shown = !self.is_quiet() && io::stderr().is_terminal();
        progress::wait(shown, what, call)
            .await
            .map_err(|error| Failure::api(what, error))
    }

    /// The same, with news of how far it has come.
    pub(crate) async fn follow<T>(
        &self,
        what: &str,
        call: impl Future<Output = std::result::Result<T, ClientError>>,
        news: impl AsyncFnMut() -> Option<String>,
    ) -> Result<T> {
        let shown = !self.is_quiet() && io::stderr().is_terminal();
        progress::follow(shown, what, call, news)
            .await
            .map_err(|error| Failure::api(what, error))
    }

    /// A result for programs as JSON, for people as `words` puts it.
    pub(crate) fn result<T: Serialize>(&self, value: &T, words: impl FnOnce(&T) -> String) -> Result {
        let text = if self.is_json() {
            serde_json::to_string_pretty(value).map_err(io::Error::from)?
        } else {
            words(value)
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        Ok(stdout.flush()?)
    }

    /// A list for programs as JSON, for people as a table; `none` says what to do where it is empty.
    pub(crate) fn list<T: Serialize>(
        &self,
        rows: &[T],
        table: impl FnOnce(&[T]) -> Table,
        none: &str,
    ) -> Result {
        if rows.is_empty() && !self.is_json() {
            self.note(none);
            return Ok(());
        }
        self.result(&rows, |rows| table(rows).to_string())
    }

    /// Words beside the result: what was done, what to do next.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.is_quiet() {
            say(text.as_ref());
        }
    }

    /// A risk that was taken; said even where little is said.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        if !self.is_json() {
            say(format_args!(
                "{} {}",
                self.style.warning("warning:"),
                text.as_ref()
            ));
        }
    }

    /// Asks on a terminal; without one the answer is yes, as scripts expect.
    pub(crate) fn confirm(&self, question: &str) -> bool {
        if !io::stdin().is_terminal() {
            return true;
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}
