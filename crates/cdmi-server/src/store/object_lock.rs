//! Locks of objects: while somebody holds one, nobody else changes the object.
//!
//! Who holds it is in an attribute of the object's own file, and so is the same for all servers of the root and after a kill. Every change
//! reads it under the object's gate, and whoever takes a lock or lets it go has the whole gate: once that is answered, nothing
//! of a former holder's lands. It is on disk before the answer.
//!
//! A lock stays with its object when that is replaced, and is in no copy and no snapshot. It is neither value nor metadata: the
//! entity tag stays. Reads and flushes need no lock; the tree around a locked object is kept by [`first_below`].

use super::meta::read_attribute;
use super::root::read_dir;
use super::tree::open_dir;
use crate::error::{Doing, Error, Result};
use rustix::fs::{self, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

const NAME: &str = "user.restblk.lock";
/// Room for a UUID and for 256 random bits in base64 or hexadecimal digits; fewer than 16 characters could be guessed, or meant twice.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// With the token and the time it leaves an attribute block of ext4 (4096 bytes) its room for all that `meta` puts there.
const OWNER_BYTES_MAX: usize = 256;

/// What the changes of a locked object carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockToken(String);

impl LockToken {
    /// Characters that need no quoting anywhere (RFC 3986, 2.3), so many that nobody has the same by chance.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if TOKEN_BYTES.contains(&text.len()) && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::Bad(format!(
            "a lock's token has {} to {} letters, digits and -._~; take a random one, such as a UUID",
            TOKEN_BYTES.start(),
            TOKEN_BYTES.end()
        )))
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    token: LockToken,
    /// RFC 3339, UTC.
    since: String,
    owner: String,
}

impl Held {
    /// By whoever has the token, from now on. `owner`: words for people.
    pub(crate) fn by(token: LockToken, owner: &str) -> Result<Self> {
        if owner.len() > OWNER_BYTES_MAX || owner.chars().any(char::is_control) {
            return Err(Error::Bad(format!(
                "a lock's owner is a line of at most {OWNER_BYTES_MAX} bytes"
            )));
        }
        Ok(Self {
            token,
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            owner: owner.to_owned(),
        })
    }

    /// The file's, if it is locked.
    pub(super) fn load(file: impl AsFd) -> Result<Option<Self>> {
        let Some(bytes) = read_attribute(file, NAME)? else {
            return Ok(None);
        };
        Self::decode(&bytes).map(Some).ok_or(Error::Io {
            what: "read the object's lock, which is not one; steal it to replace it",
            source: std::io::ErrorKind::InvalidData.into(),
        })
    }

    /// Whether both are by whoever has one token.
    pub(super) fn is_by(&self, claim: &Self) -> bool {
        self.token == claim.token
    }

    fn encode(&self) -> String {
        format!("{}\n{}\n{}", self.token.0, self.since, self.owner)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.splitn(3, '\n');
        Some(Self {
            token: LockToken::parse(lines.next()?).ok()?,
            since: lines.next()?.to_owned(),
            owner: lines.next()?.to_owned(),
        })
    }

    /// The error of a request that it keeps out.
    pub(super) fn refusal(&self, path: &str) -> Error {
        let owner = if self.owner.is_empty() {
            "somebody"
        } else {
            &self.owner
        };
        Error::Locked(format!(
            "{path} is locked by {owner} since {}; nothing was changed",
            self.since
        ))
    }
}

/// Makes it the file's lock; `None`: nobody's.
pub(super) fn store(file: &File, held: Option<&Held>) -> Result<()> {
    let kept = match held {
        Some(held) => fs::fsetxattr(file, NAME, held.encode().as_bytes(), XattrFlags::empty()),
        None => match fs::fremovexattr(file, NAME) {
            Err(Errno::NODATA) => Ok(()),
            other => other,
        },
    };
    kept.doing("keep the object's lock")
}

/// Whether a change with this token, or none, is let in.
pub(super) fn check(path: &str, held: Option<&Held>, token: Option<&LockToken>) -> Result<()> {
    match (held, token) {
        (None, None) => Ok(()),
        (Some(held), Some(token)) if held.token == *token => Ok(()),
        (Some(held), _) => Err(held.refusal(path)),
        (None, Some(_)) => Err(Error::Locked(format!(
            "{path} is locked by nobody, and so not with this token; nothing was changed"
        ))),
    }
}

/// Fails if an object at or below the directory is locked: its name must not go. `path` is the directory's.
pub(super) fn first_below(dir: BorrowedFd<'_>, path: &str) -> Result<()> {
    for (name, kind) in read_dir(dir).doing("list the container")? {
        let below = || format!("{path}/{}", name.to_string_lossy());
        match kind {
            FileType::Directory => {
                let child = open_dir(dir, &name).doing("open the container")?;
                first_below(child.as_fd(), &below())?;
            }
            FileType::RegularFile => {
                if let Some(held) = Held::load(open_file(dir, &name).doing("open the object")?)? {
                    return Err(held.refusal(&below()));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn open_file(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(dir, name, flags, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_survives_encoding_and_nothing_else_does() {
        let token = LockToken::parse("0123456789abcdef").unwrap();
        let held = Held::by(token, "a host, \"quoted\", ü").unwrap();
        assert_eq!(Held::decode(held.encode().as_bytes()), Some(held));
        for bad in ["", "0123456789abcdef", "0123456789abcdef\nnow", "short\nnow\nme"] {
            assert_eq!(Held::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn tokens_and_owners_have_their_limits() {
        for good in ["0123456789abcdef", "A-z._~9A-z._~9A-z._~9", &"x".repeat(64)] {
            LockToken::parse(good).unwrap();
        }
        for bad in [
            "",
            "0123456789abcde",
            &"x".repeat(65),
            "0123456789abcde ",
            "0123456789abcde\n",
            "0123456789abcdeü",
            "0123456789abcde\"",
        ] {
            assert_eq!(LockToken::parse(bad).unwrap_err().status(), 400, "{bad:?}");
        }
        let token = || LockToken::parse("0123456789abcdef").unwrap();
        Held::by(token(), &"x".repeat(256)).unwrap();
        for bad in ["two\nlines", &"x".repeat(257)] {
            assert_eq!(Held::by(token(), bad).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn what_is_in_the_way_of_a_tree_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("c")).unwrap();
        let file = File::create(dir.path().join("c/o")).unwrap();
        let root = File::open(dir.path()).unwrap();
        first_below(root.as_fd(), "top").unwrap();
        let held = Held::by(LockToken::parse("0123456789abcdef").unwrap(), "me").unwrap();
        store(&file, Some(&held)).unwrap();
        let error = first_below(root.as_fd(), "top").unwrap_err();
        assert_eq!(error.status(), 423);
        assert!(
            error.to_string().starts_with("top/c/o is locked by me since 2"),
            "{error}"
        );
        store(&file, None).unwrap();
        store(&file, None).unwrap();
        first_below(root.as_fd(), "top").unwrap();
    }
}
