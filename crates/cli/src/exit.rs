//! Exit codes: what a script can tell without reading words. The table here is the documentation too (man page,
//! docs/cli.md). A code never changes its meaning.

use clap::error::ErrorKind as Usage;
use restblk_types::ErrorKind;
use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Exists = 4,
    Busy = 5,
    Invalid = 6,
    Denied = 7,
    Unavailable = 8,
    NoSpace = 9,
    Corrupt = 10,
    Unsupported = 11,
    NoDaemon = 12,
    Fenced = 13,
    Repaired = 14,
}

impl Exit {
    /// Every code with what it means, in order.
    pub(crate) const ALL: [(Self, &'static str); 15] = [
        (Self::Ok, "done"),
        (
            Self::Failed,
            "failed for another reason than those below, or a check of `restblk doctor` failed",
        ),
        (Self::Usage, "the command line cannot be understood"),
        (
            Self::NotFound,
            "the volume, pool, mirror or attachment does not exist",
        ),
        (
            Self::Exists,
            "the name is taken, or somebody else changed the same thing meanwhile",
        ),
        (Self::Busy, "in use: attached, open or mounted"),
        (Self::Invalid, "a value is not possible: a size, a name, a URL"),
        (Self::Denied, "not allowed: on this host, or by the store"),
        (
            Self::Unavailable,
            "no mirror of the store answers, or not in time",
        ),
        (
            Self::NoSpace,
            "no space on the store or on this host, or over a quota",
        ),
        (
            Self::Corrupt,
            "the store returned something else than was written, or `restblk check` found damage that is still there",
        ),
        (Self::Unsupported, "this store, kernel or version cannot do it"),
        (Self::NoDaemon, "the daemon of this host cannot be reached"),
        (Self::Fenced, "another host took the volume over"),
        (
            Self::Repaired,
            "`restblk check --repair` found damage, and nothing of it is left",
        ),
    ];

    /// The code of an error of the daemon.
    pub(crate) fn from_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Exists | ErrorKind::Conflict => Self::Exists,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Retry | ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::NoSpace => Self::NoSpace,
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Fenced => Self::Fenced,
            // Bugs, and kinds of a later version.
            _ => Self::Failed,
        }
    }

    /// The code of what the parser of the command line says: a value that is not possible is told from a line that
    /// cannot be understood, because the daemon may find the same value impossible later.
    pub(crate) fn from_usage(kind: Usage) -> Self {
        match kind {
            Usage::DisplayHelp | Usage::DisplayVersion => Self::Ok,
            Usage::ValueValidation => Self::Invalid,
            _ => Self::Usage,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_in_order() {
        for (index, (exit, meaning)) in Exit::ALL.iter().enumerate() {
            assert_eq!(*exit as usize, index);
            assert!(!meaning.is_empty());
        }
    }

    #[test]
    fn every_kind_of_error_has_its_code() {
        for (kind, code) in [
            (ErrorKind::Bug, 1),
            (ErrorKind::NotFound, 3),
            (ErrorKind::Exists, 4),
            (ErrorKind::Conflict, 4),
            (ErrorKind::Busy, 5),
            (ErrorKind::Invalid, 6),
            (ErrorKind::Denied, 7),
            (ErrorKind::Retry, 8),
            (ErrorKind::Unavailable, 8),
            (ErrorKind::NoSpace, 9),
            (ErrorKind::Corrupt, 10),
            (ErrorKind::Unsupported, 11),
            (ErrorKind::Fenced, 13),
        ] {
            assert_eq!(Exit::from_kind(kind) as u8, code, "{kind}");
        }
    }
}
