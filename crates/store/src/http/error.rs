//! Why an exchange failed, before any status was read; and what that means to a store.

use super::tls;
use crate::StoreError;
use restblk_types::ErrorKind;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

/// The class of a failed exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// No connection that may be used: refused, no such name, no route, time-out in connecting, somebody else at its other end.
    Unreachable,
    /// A connection, but no answer in time.
    TimedOut,
    /// The connection broke in the midst.
    Broken,
    /// The answer was no HTTP.
    Malformed,
    /// The answer's body is longer than the request can have.
    Overlong,
    /// One side does not trust the other.
    Denied,
    /// The two cannot be brought together as configured.
    Invalid,
}

/// A failed exchange.
#[derive(Clone, Debug)]
pub(crate) struct HttpError {
    pub(crate) class: Class,
    pub(crate) reason: String,
    /// The request, or a part of it, went out.
    pub(crate) sent: bool,
    /// How long the server asked to be left alone.
    retry_after: Option<Duration>,
}

impl HttpError {
    /// Failed before anything was sent.
    pub(super) fn unsent(class: Class, reason: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            sent: false,
            retry_after: None,
        }
    }

    pub(super) fn sent(class: Class, reason: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            sent: true,
            retry_after: None,
        }
    }

    /// The look at who answers failed, or showed somebody else: the request was not sent.
    pub(super) fn of_greeting(error: &StoreError) -> Self {
        let class = match error.kind() {
            ErrorKind::Retry => Class::Broken,
            ErrorKind::Denied => Class::Denied,
            _ => Class::Unreachable,
        };
        let reason = format!("nothing is sent over its new connection, for it failed to {error}");
        Self {
            retry_after: error.retry_after(),
            ..Self::unsent(class, reason)
        }
    }

    /// What hyper says of an exchange on a connection that had carried `earlier` ones.
    pub(super) fn from_hyper(error: &hyper::Error, earlier: u64) -> Self {
        if let Some(tls) = source::<rustls::Error>(error) {
            let (class, reason) = tls::explain(tls, "");
            return Self::sent(class, reason);
        }
        if error.is_parse() {
            let reason =
                format!("its answer is no HTTP/1.1 ({error}); if it speaks TLS, write https:// in its URL");
            return Self::sent(Class::Malformed, reason);
        }
        if earlier > 0 && !error.is_body_write_aborted() {
            let reason = format!(
                "it closed a kept connection instead of answering ({})",
                chain(error)
            );
            return Self::sent(Class::Broken, reason);
        }
        Self::sent(
            Class::Broken,
            format!(
                "the connection broke before the answer was complete ({})",
                chain(error)
            ),
        )
    }

    /// The store's error. `changes`: the request changes something, so that having been sent makes it ambiguous.
    pub(crate) fn into_store_error(
        self,
        operation: &'static str,
        object: &dyn fmt::Display,
        changes: bool,
    ) -> StoreError {
        let kind = match self.class {
            Class::Unreachable | Class::TimedOut | Class::Malformed => ErrorKind::Unavailable,
            Class::Broken => ErrorKind::Retry,
            Class::Overlong => ErrorKind::Corrupt,
            Class::Denied => ErrorKind::Denied,
            Class::Invalid => ErrorKind::Invalid,
        };
        let error = StoreError::new(kind, operation, object, self.reason).with_retry_after(self.retry_after);
        match self.class {
            _ if !(self.sent && changes) => error,
            Class::TimedOut => error.may_land_later(),
            _ => error.ambiguous(),
        }
    }
}

/// The first error of this type in the chain of causes; looks into what I/O errors wrap.
fn source<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<T>()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error and its causes in one line.
fn chain(error: &hyper::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
