//! The name of an object within a pool: path components joined by `/`, as UTF-8 text.
//!
//! The one type that spells object names for every protocol; each client quotes it as its wire wants.
//! No empty, `.` or `..` component, no control character, at most 900 bytes (S3 takes 1,024 with the prefix), at most
//! 255 bytes a component (a file name).

use std::fmt;

const LEN_MAX: usize = 900;
const COMPONENT_LEN_MAX: usize = 255;

/// An object's name, checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// A name that no object can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" cannot name an object: {reason}")]
pub struct KeyError {
    name: String,
    reason: &'static str,
}

impl Key {
    /// The key of this name.
    pub fn new(name: impl Into<String>) -> Result<Self, KeyError> {
        let name = name.into();
        let reason = if name.is_empty() {
            Some("it is empty")
        } else if name.len() > LEN_MAX {
            Some("it is longer than 900 bytes")
        } else if name.chars().any(char::is_control) {
            Some("it has a control character")
        } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            Some("it has an empty, \".\" or \"..\" component")
        } else if name.split('/').any(|part| part.len() > COMPONENT_LEN_MAX) {
            Some("it has a component longer than 255 bytes")
        } else {
            None
        };
        match reason {
            Some(reason) => Err(KeyError { name, reason }),
            None => Ok(Self(name)),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_inside_the_pool() {
        assert!(Key::new(".restblk/volumes/disk1").is_ok());
        for name in ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a/.", "a\nb", "a\0"] {
            assert!(Key::new(name).is_err(), "{name:?}");
        }
        assert!(Key::new("x".repeat(255)).is_ok());
        assert!(Key::new("x".repeat(256)).is_err());
        assert!(Key::new("x/".repeat(460) + "x").is_err());
    }
}
