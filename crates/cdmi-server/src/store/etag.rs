//! Entity tags that never name two contents.
//!
//! A tag is the server's run (64 random bits) and a number that only grows in it; so no tag is ever given twice. Every change
//! takes a new tag when it begins and another when it ends, and a reader takes the tag before it reads: whatever a reader
//! got together with a tag that is still current, no change has begun since.
//!
//! On disk, an object has a mark (an extended attribute) only while its content is known to be the tag's: the mark holds the
//! tag, the size and the time of modification. Before the first change of an object the mark is removed and the removal
//! flushed; it comes back, after a flush of the data, when the file is closed. A server that is killed therefore leaves no
//! mark on what it changed, and the next one gives a new tag. Size and time betray a change made by another program.
//!
//! Servers that share a root keep tags in another attribute, which is always current (`sharing`).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// One version of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    run: u64,
    number: u64,
}

impl fmt::Display for Tag {
    /// As in the `ETag` header, with the quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{:016x}-{:x}\"", self.run, self.number)
    }
}

impl Tag {
    /// A tag that nobody was given.
    pub(super) fn unknown() -> Self {
        Tag {
            run: rand::random(),
            number: rand::random(),
        }
    }

    /// 33 characters.
    pub(super) fn digits(self) -> String {
        format!("{:016x} {:016x}", self.run, self.number)
    }

    pub(super) fn from_digits(text: &str) -> Option<Self> {
        let (run, number) = text.split_once(' ')?;
        Some(Tag {
            run: u64::from_str_radix(run, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        })
    }
}

/// Gives tags out.
pub(super) struct TagSource {
    run: u64,
    next: AtomicU64,
}

impl TagSource {
    pub(super) fn new() -> Self {
        TagSource {
            run: rand::random(),
            next: AtomicU64::new(1),
        }
    }

    pub(super) fn next(&self) -> Tag {
        Tag {
            run: self.run,
            number: self.next.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// What an object's mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) tag: Tag,
    pub(super) size: u64,
    pub(super) mtime_ns: i128,
}

impl Mark {
    pub(super) const NAME: &'static str = "user.restblk.tag";

    pub(super) fn encode(&self) -> String {
        format!(
            "{:x} {:x} {} {}",
            self.tag.run, self.tag.number, self.size, self.mtime_ns
        )
    }

    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let tag = Tag {
            run: u64::from_str_radix(words.next()?, 16).ok()?,
            number: u64::from_str_radix(words.next()?, 16).ok()?,
        };
        let mark = Mark {
            tag,
            size: words.next()?.parse().ok()?,
            mtime_ns: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_encoding_and_nothing_else_does() {
        let mark = Mark {
            tag: TagSource::new().next(),
            size: 1 << 40,
            mtime_ns: -5,
        };
        assert_eq!(Mark::decode(mark.encode().as_bytes()), Some(mark));
        for bad in ["", "1 2 3", "1 2 3 4 5", "g 2 3 4", "1 2 x 4"] {
            assert_eq!(Mark::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn tags_differ_between_runs() {
        assert_ne!(TagSource::new().next(), TagSource::new().next());
    }
}
