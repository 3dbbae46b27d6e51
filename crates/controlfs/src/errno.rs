//! From the API's errors to errno: what the driver of 2014 returned, file by file, and never another one.
//!
//! An errno says little. What went wrong is said in words in the log and in `last_error`.

use nix::errno::Errno;
use restblk_api::client::ClientError;
use restblk_types::ErrorKind;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    AddUrls,
    RemoveUrls,
    Create,
    Extend,
    Destroy,
    Attach,
    Detach,
    Read,
}

/// A command that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the writer gets.
    pub(crate) errno: Errno,
    /// Why, for people.
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(errno: Errno, reason: impl Into<String>) -> Self {
        Self {
            errno,
            reason: reason.into(),
        }
    }

    /// The refusal of a call that failed.
    pub(crate) fn of(verb: Verb, error: ClientError) -> Self {
        let errno = errno(verb, error.kind());
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Self {
            errno,
            reason: format!("{error}{hint}"),
        }
    }
}

/// The table. `EIO` is for all that the driver had no word for.
pub(crate) fn errno(verb: Verb, kind: ErrorKind) -> Errno {
    use ErrorKind::{Busy, Conflict, Exists, Invalid, NotFound};
    match (verb, kind) {
        (Verb::AddUrls, _) => Errno::EINVAL,

        (Verb::RemoveUrls, NotFound) => Errno::ENOENT,
        (Verb::RemoveUrls, Busy | Conflict) => Errno::EBUSY,
        (Verb::RemoveUrls, Invalid) => Errno::EINVAL,

        (Verb::Create, Invalid) => Errno::EINVAL,
        // The pool: there is no server to create anything on.
        (Verb::Create, NotFound) => Errno::ENXIO,

        (Verb::Extend, Invalid) => Errno::EINVAL,
        (Verb::Extend, Busy | Conflict) => Errno::EBUSY,
        (Verb::Extend, NotFound) => Errno::ENODEV,

        (Verb::Destroy, Invalid) => Errno::EINVAL,
        (Verb::Destroy, Busy | Conflict) => Errno::EBUSY,
        (Verb::Destroy, NotFound) => Errno::ENOENT,

        (Verb::Attach, Invalid) => Errno::EINVAL,
        // Attached already: to this host or, which the driver did not know of, to another.
        (Verb::Attach, Exists | Busy | Conflict) => Errno::EEXIST,
        (Verb::Attach, NotFound) => Errno::ENODEV,

        (Verb::Detach, Busy | Conflict) => Errno::EBUSY,
        (Verb::Detach, NotFound | Invalid) => Errno::EINVAL,

        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 13] = [
        ErrorKind::Retry,
        ErrorKind::Unavailable,
        ErrorKind::Conflict,
        ErrorKind::Fenced,
        ErrorKind::NotFound,
        ErrorKind::Exists,
        ErrorKind::Busy,
        ErrorKind::Invalid,
        ErrorKind::Unsupported,
        ErrorKind::Denied,
        ErrorKind::NoSpace,
        ErrorKind::Corrupt,
        ErrorKind::Bug,
    ];

    /// The driver's own table: which errno each of its files could give.
    #[test]
    fn no_errno_is_given_that_the_driver_did_not_give() {
        for (verb, given) in [
            (Verb::AddUrls, vec![Errno::EINVAL]),
            (
                Verb::RemoveUrls,
                vec![Errno::EINVAL, Errno::ENOENT, Errno::EBUSY, Errno::EIO],
            ),
            (Verb::Create, vec![Errno::EINVAL, Errno::ENXIO, Errno::EIO]),
            (
                Verb::Extend,
                vec![Errno::EINVAL, Errno::EBUSY, Errno::ENODEV, Errno::EIO],
            ),
            (
                Verb::Destroy,
                vec![Errno::EINVAL, Errno::EBUSY, Errno::ENOENT, Errno::EIO],
            ),
            (
                Verb::Attach,
                vec![Errno::EINVAL, Errno::EEXIST, Errno::ENODEV, Errno::EIO],
            ),
            (Verb::Detach, vec![Errno::EBUSY, Errno::EINVAL, Errno::EIO]),
        ] {
            let mut seen: Vec<Errno> = KINDS.iter().map(|kind| errno(verb, *kind)).collect();
            assert!(
                seen.iter().all(|errno| given.contains(errno)),
                "{verb:?}: {seen:?}"
            );
            seen.dedup();
            assert!(
                given.iter().all(|errno| seen.contains(errno)),
                "{verb:?}: each can happen"
            );
        }
    }
}
