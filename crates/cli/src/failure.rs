//! An error as the program reports it: what failed, why, what to do next, and the exit code.

use crate::cli::OutputFormat;
use crate::exit::Exit;
use crate::output::{Style, say};
use restblk_api::ErrorBody;
use restblk_api::client::ClientError;
use restblk_types::{ErrorKind, NameError};
use std::io;

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code to end with.
    pub(crate) exit: Exit,
    /// What was tried, completing "failed to …"; nothing where the message stands by itself.
    what: Option<String>,
    /// Nothing where there is nobody left to tell.
    body: Option<ErrorBody>,
}

impl Failure {
    /// A call that failed while `what` was tried.
    pub(crate) fn api(what: impl Into<String>, error: ClientError) -> Self {
        let exit = if error.is_unreachable() {
            Exit::NoDaemon
        } else {
            Exit::from_kind(error.kind())
        };
        Self {
            exit,
            what: Some(what.into()),
            body: Some(error.into_body()),
        }
    }

    /// An error that was put into words elsewhere.
    pub(crate) fn body(body: ErrorBody) -> Self {
        Self {
            exit: Exit::from_kind(body.kind),
            what: None,
            body: Some(body),
        }
    }

    /// A failure that the program found by itself.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            exit: Exit::from_kind(kind),
            what: None,
            body: Some(ErrorBody::new(kind, message)),
        }
    }

    /// A command line that cannot be understood.
    pub(crate) fn usage(exit: Exit, error: &clap::Error) -> Self {
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let message = text.split("\n\n").next().unwrap_or(text).replace("\n  ", " ");
        Self {
            exit,
            what: None,
            body: Some(ErrorBody::new(ErrorKind::Invalid, message).hint("see --help")),
        }
    }

    /// Nothing failed but a check whose result was printed already.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self {
            exit,
            what: None,
            body: None,
        }
    }

    /// Adds what was tried.
    pub(crate) fn what(mut self, what: impl Into<String>) -> Self {
        self.what = Some(what.into());
        self
    }

    /// Adds what to try next, unless that is known better already.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(body) = &mut self.body {
            body.hint.get_or_insert_with(|| hint.into());
        }
        self
    }

    /// Whether it is of this kind and nobody said yet what to do.
    pub(crate) fn wants_hint(&self, kind: ErrorKind) -> bool {
        self.body
            .as_ref()
            .is_some_and(|body| body.kind == kind && body.hint.is_none())
    }

    /// The sentence for people; nothing where there is nobody left to tell.
    pub(crate) fn sentence(&self) -> String {
        let Some(body) = &self.body else {
            return String::new();
        };
        match &self.what {
            Some(what) if !body.message.starts_with("failed to ") => {
                format!("failed to {what}: {}", body.message)
            }
            _ => body.message.clone(),
        }
    }

    /// Says it on standard error: in words, or for programs the body as JSON in one line.
    pub(crate) fn report(&self, format: OutputFormat, style: Style) {
        let Some(body) = &self.body else { return };
        match format {
            OutputFormat::Json => match serde_json::to_string(body) {
                Ok(json) => say(json),
                Err(_) => say(&body.message),
            },
            OutputFormat::Table => {
                say(format_args!("{} {}", style.error("error:"), self.sentence()));
                if let Some(hint) = &body.hint {
                    say(format_args!("{} {hint}", style.hint("hint:")));
                }
            }
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }
}

/// Standard output that cannot be written. A reader that went away (`restblk list | head -1`) is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Ok),
            _ => Self::new(ErrorKind::Bug, format!("failed to write the result: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_sentence_is_not_doubled() {
        for (message, wanted) in [
            ("no such pool", "failed to attach a/b: no such pool"),
            ("failed to read x: y", "failed to read x: y"),
        ] {
            let failure = Failure::new(ErrorKind::NotFound, message).what("attach a/b");
            assert_eq!(failure.sentence(), wanted);
        }
    }

    #[test]
    fn the_daemons_hint_wins() {
        let error = ClientError::Api(ErrorBody::new(ErrorKind::Busy, "x").hint("umount it"));
        let failure = Failure::api("detach a/b", error).hint("something weaker");
        assert_eq!(failure.body.unwrap().hint.as_deref(), Some("umount it"));
    }

    #[test]
    fn a_daemon_out_of_reach_has_a_code_of_its_own() {
        let error = ClientError::NoSocket { socket: "/x".into() };
        assert_eq!(Failure::api("list", error).exit, Exit::NoDaemon);
        let error = ClientError::Denied { socket: "/x".into() };
        assert_eq!(Failure::api("list", error).exit, Exit::Denied);
        let error = ClientError::Api(ErrorBody::new(ErrorKind::Unavailable, "x"));
        assert_eq!(Failure::api("list", error).exit, Exit::Unavailable);
    }
}
