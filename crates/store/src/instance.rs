//! Which volatile cache took a change: how a loss of power between an acknowledged write and its flush is noticed.
//!
//! A write that was answered and not flushed lies in the memory of some machine. If that machine loses its power and comes
//! back in time for the flush, the flush is answered, and truthfully: all that the server *has* is on its disk. So a server
//! that can names its cache with every change and every flush, as NFS names it by its write verifier; the name changes
//! when what was in the cache is gone. Whoever writes keeps the names that it was told since its last good flush
//! and compares them with those that the flush was answered by ([`Flushed::misses`]).

use std::fmt;
use std::str::FromStr;

/// The name of a volatile cache: from its beginning (a machine's boot, say) until what it holds is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance(u128);

impl Instance {
    /// The instance of this number.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an instance is 32 hexadecimal digits")]
pub struct NoInstance;

impl FromStr for Instance {
    type Err = NoInstance;

    fn from_str(digits: &str) -> Result<Self, NoInstance> {
        let plain = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = plain.then(|| u128::from_str_radix(digits, 16).ok()).flatten();
        number.map(Self).ok_or(NoInstance)
    }
}

/// What a flush was answered by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// The caches that were flushed, where the store tells: one, or several behind [`Mirrored`](crate::Mirrored).
    pub instances: Vec<Instance>,
}

impl Flushed {
    /// A flush that this cache answered, or one that did not tell.
    #[must_use]
    pub fn by(instance: Option<Instance>) -> Self {
        Self {
            instances: instance.into_iter().collect(),
        }
    }

    /// The first of the caches that took changes that was not flushed. `None`: all were, or the store tells none.
    #[must_use]
    pub fn misses(&self, took: &[Instance]) -> Option<Instance> {
        if self.instances.is_empty() {
            return None;
        }
        took.iter()
            .copied()
            .find(|instance| !self.instances.contains(instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_spelled_as_they_are_read() {
        let text = "0e8ce6c57d0b4f3e9a55000000000001";
        assert_eq!(text.parse::<Instance>().unwrap().to_string(), text);
        for bad in [
            "",
            "1",
            "+e8ce6c57d0b4f3e9a55000000000001",
            "0e8ce6c57d0b4f3e9a5500000000000x",
        ] {
            assert_eq!(bad.parse::<Instance>(), Err(NoInstance), "{bad}");
        }
    }

    #[test]
    fn a_flush_misses_what_another_cache_took() {
        let (a, b) = (Instance::new(1), Instance::new(2));
        assert_eq!(Flushed::by(Some(a)).misses(&[]), None);
        assert_eq!(Flushed::by(Some(a)).misses(&[a]), None);
        assert_eq!(Flushed::by(Some(a)).misses(&[a, b]), Some(b));
        assert_eq!(
            Flushed {
                instances: vec![a, b]
            }
            .misses(&[b, a]),
            None
        );
        // A store that does not tell cannot be compared.
        assert_eq!(Flushed::by(None).misses(&[a]), None);
    }
}
