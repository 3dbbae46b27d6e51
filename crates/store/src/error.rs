//! Why a request to a store failed. Names the server, the operation and the object, and says by its kind what to do.

use restblk_types::ErrorKind;
use std::fmt;
use std::time::Duration;

/// Whether a failed request may have taken effect all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Effect {
    /// It did nothing and will do nothing.
    #[default]
    None,
    /// Its answer was lost; what it did, it has done.
    Lost,
    /// No answer in time: it may be done later, when newer requests have been answered.
    Late,
}

/// A failed request to a store. Its message completes "failed to …".
///
/// A pointer: every answer has room for one, and nearly all are none.
#[derive(Clone, Debug, thiserror::Error)]
pub struct StoreError(Box<Failure>);

#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    server: String,
    reason: String,
    effect: Effect,
    retry_after: Option<Duration>,
}

impl StoreError {
    /// An error of `operation` ("read", "write", …) on `object`, for this reason.
    pub fn new(
        kind: ErrorKind,
        operation: &'static str,
        object: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Self(Box::new(Failure {
            kind,
            operation,
            object: object.to_string(),
            server: String::new(),
            reason: reason.into(),
            effect: Effect::None,
            retry_after: None,
        }))
    }

    /// Names the server (URL without credentials).
    #[must_use]
    pub fn at(mut self, server: impl fmt::Display) -> Self {
        self.0.server = server.to_string();
        self
    }

    /// Marks that the request may have taken effect all the same, now or later: its answer was lost.
    #[must_use]
    pub fn ambiguous(mut self) -> Self {
        if self.0.effect == Effect::None {
            self.0.effect = Effect::Lost;
        }
        self
    }

    /// Marks that the request may yet take effect at some later time: the server was alive and did not answer. Implies
    /// [`StoreError::ambiguous`].
    #[must_use]
    pub fn may_land_later(mut self) -> Self {
        self.0.effect = Effect::Late;
        self
    }

    /// Marks that it did nothing that anybody can see, whatever became of the request.
    #[must_use]
    pub(crate) fn without_effect(mut self) -> Self {
        self.0.effect = Effect::None;
        self
    }

    /// Keeps how long the server asked to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.0.retry_after = pause;
        self
    }

    /// The same error with more said about it.
    #[must_use]
    pub fn because(mut self, more: impl fmt::Display) -> Self {
        self.0.reason = format!("{}; {more}", self.0.reason);
        self
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// True where the request may have taken effect, now or later.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        self.0.effect != Effect::None
    }

    /// True where the request may take effect even after later ones have been answered.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.0.effect == Effect::Late
    }

    /// Why, without the operation and its object.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The error without where and on what, for a proof, whose objects are scratch.
    pub(crate) fn of_scratch(mut self) -> String {
        "a scratch object".clone_into(&mut self.0.object);
        self.0.server.clear();
        self.to_string()
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.operation, self.0.object)?;
        if !self.0.server.is_empty() {
            write!(f, " at {}", self.0.server)?;
        }
        write!(f, ": {}", self.0.reason)
    }
}
