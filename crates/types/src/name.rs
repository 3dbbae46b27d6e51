//! Names that people give: pools, volumes, snapshots, and `pool/volume[@snapshot]`.
//!
//! A name is a path component everywhere it goes (URL, /dev, control files), so its alphabet is the
//! one that needs no quoting in any of them: ASCII letters, digits, `.`, `_`, `-`, not starting with
//! `.` or `-`. Names that start with a dot are restblk's own on the store.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest name, in bytes: leaves room for a suffix within the 255 of a file name.
const LEN_MAX: usize = 200;

/// A name that cannot be taken, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The empty name.
    #[error("a {what} name cannot be empty")]
    Empty {
        /// What was to be named.
        what: &'static str,
    },
    /// Over 200 bytes.
    #[error("the {what} name \"{name:.40}…\" has {len} characters; at most {LEN_MAX} are possible")]
    TooLong {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
        /// Its length in bytes.
        len: usize,
    },
    /// A character outside the alphabet, or a first one that is `.` or `-`.
    #[error(
        "the {what} name \"{name}\" has a {at:?}: use letters, digits, '.', '_' and '-', starting with a letter, digit or '_'"
    )]
    Character {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
        /// The first offending character.
        at: char,
    },
    /// `pool/volume` was expected.
    #[error("\"{0}\" does not name a volume: write POOL/VOLUME, such as main/disk1")]
    NotPoolVolume(String),
}

fn check(what: &'static str, name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty { what })?;
    if name.len() > LEN_MAX {
        return Err(NameError::TooLong {
            what,
            name: name.to_owned(),
            len: name.len(),
        });
    }
    let bad_first = matches!(first, '.' | '-').then_some(first);
    let bad = bad_first.or_else(|| {
        name.chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    });
    match bad {
        Some(at) => Err(NameError::Character {
            what,
            name: name.to_owned(),
            at,
        }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                check($what, name).map(|()| Self(name.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                check($what, &name).map(|()| Self(name))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The name of a pool, local to a host's configuration.
    PoolName,
    "pool"
);
name!(
    /// The name of a volume within its pool.
    VolumeName,
    "volume"
);
name!(
    /// The name of a snapshot within its volume.
    SnapshotName,
    "snapshot"
);

/// `pool/volume` or `pool/volume@snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeRef {
    /// The pool.
    pub pool: PoolName,
    /// The volume.
    pub volume: VolumeName,
    /// The snapshot, where one is meant.
    pub snapshot: Option<SnapshotName>,
}

impl VolumeRef {
    /// The volume itself, no snapshot.
    #[must_use]
    pub fn new(pool: PoolName, volume: VolumeName) -> Self {
        Self {
            pool,
            volume,
            snapshot: None,
        }
    }

    /// `volume` or `volume@snapshot`: its name within the pool.
    #[must_use]
    pub fn in_pool(&self) -> String {
        match &self.snapshot {
            Some(snapshot) => format!("{}@{snapshot}", self.volume),
            None => self.volume.to_string(),
        }
    }

    /// The volume, without the snapshot.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self::new(self.pool.clone(), self.volume.clone())
    }

    /// A snapshot of the volume.
    #[must_use]
    pub fn at(&self, snapshot: SnapshotName) -> Self {
        Self {
            snapshot: Some(snapshot),
            ..self.whole()
        }
    }
}

impl FromStr for VolumeRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (pool, rest) = text
            .split_once('/')
            .ok_or_else(|| NameError::NotPoolVolume(text.to_owned()))?;
        let (volume, snapshot) = match rest.split_once('@') {
            Some((volume, snapshot)) => (volume, Some(snapshot.parse()?)),
            None => (rest, None),
        };
        Ok(Self {
            pool: pool.parse()?,
            volume: volume.parse()?,
            snapshot,
        })
    }
}

impl TryFrom<String> for VolumeRef {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<VolumeRef> for String {
    fn from(volume: VolumeRef) -> String {
        volume.to_string()
    }
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.pool, self.in_pool()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back_as_written() {
        for text in ["main/disk1", "a/volume-2f0c@monday", "p_1/_x.img"] {
            assert_eq!(text.parse::<VolumeRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in [
            "main",
            "main/",
            "/x",
            "main/a/b",
            "main/..",
            "main/.hidden",
            "main/-rf",
            "main/a b",
            "main/ä",
            "main/a\0",
            "main/a@",
        ] {
            assert!(text.parse::<VolumeRef>().is_err(), "{text}");
        }
        assert!("x".repeat(LEN_MAX).parse::<VolumeName>().is_ok());
        assert!("x".repeat(LEN_MAX + 1).parse::<VolumeName>().is_err());
    }
}
