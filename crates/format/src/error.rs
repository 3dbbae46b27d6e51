//! Why bytes could not be read as a record.

use restblk_types::ErrorKind;

/// Bytes that are not the record that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// They do not start as a record of ours does.
    #[error("this is no restblk record")]
    NotARecord,
    /// A record of another type.
    #[error("this is a record of type \"{found}\" where \"{expected}\" was expected")]
    WrongType {
        /// What was asked for.
        expected: &'static str,
        /// What it says it is.
        found: String,
    },
    /// Cut off, or not what was written.
    #[error("the record is damaged: {0}")]
    Damaged(String),
    /// Written by a later version, in a way that this one must not touch.
    #[error("the record needs features that this version does not know: {}; use a newer restblk", .0.join(", "))]
    Incompatible(Vec<String>),
    /// Larger than a record can be.
    #[error("the record would take {0} bytes; {max} are possible", max = crate::RECORD_LEN)]
    TooLarge(usize),
}

impl FormatError {
    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotARecord | Self::WrongType { .. } | Self::Damaged(_) => ErrorKind::Corrupt,
            Self::Incompatible(_) => ErrorKind::Unsupported,
            Self::TooLarge(_) => ErrorKind::Invalid,
        }
    }
}
