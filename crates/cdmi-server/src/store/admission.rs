//! Who may serve a root at the same time: one server that has it alone, or several that share it, or several that only read.
//!
//! ```text
//!                alone    shared   read-only
//! alone          no       no       no
//! shared         no       yes      no           (a reader would believe the tags that it remembers)
//! read-only      no       no       yes
//! ```
//! Files in the directory of ours are locked (flock) for as long as a server lives: `lock` by those that are alone (exclusively)
//! or read (shared), `shared` by those that share (shared). Each takes its own lock first and then looks whether anybody has
//! the other, so that of two that may not meet at least one is refused. Looking takes a lock too, for a moment; so what is
//! refused is tried for [`LOOK`].
//!
//! Servers that share begin one after the other (`starting`). The first begins a *generation*, a random number in `generation`:
//! what the entity tags of the servers before it say is not believed, for those may have been killed, and the machine may
//! have lost its power (see `sharing`).

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longer than anybody looks, and shorter than anybody serves.
const LOOK: Duration = Duration::from_millis(300);
/// How long the first of the servers that share may take to begin.
const START: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// What a server wants of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Alone,
    Shared,
    ReadOnly,
}

/// The right to serve a root, for as long as this lives.
pub(super) struct Admission {
    own: OwnedFd,
    /// Held until this server is ready, and again when it is the last; `None` for one that does not share.
    starting: Mutex<Option<OwnedFd>>,
    hidden: OwnedFd,
    first: bool,
    generation: Option<u64>,
}

/// Asks for the right. WOULDBLOCK where others have the root.
pub(super) fn admit(hidden: &OwnedFd, wanted: Wanted) -> rustix::io::Result<Admission> {
    use FlockOperation::{NonBlockingLockExclusive as Exclusive, NonBlockingLockShared as Shared};
    let mut admission = match wanted {
        Wanted::Alone | Wanted::ReadOnly => {
            let alone = wanted == Wanted::Alone;
            let own = open(hidden, "lock", alone)?;
            lock(&own, if alone { Exclusive } else { Shared }, LOOK)?;
            Admission {
                own,
                starting: Mutex::new(None),
                hidden: hidden.try_clone().map_err(errno)?,
                first: alone,
                generation: None,
            }
        }
        Wanted::Shared => {
            let starting = open(hidden, "starting", true)?;
            lock(&starting, Exclusive, START)?;
            drop(open(hidden, super::sharing::TURN, true)?);
            let own = open(hidden, "shared", true)?;
            let first = lock(&own, Exclusive, LOOK).is_ok();
            // In between, others that share wait for `starting`; those that look have it for a moment.
            lock(&own, Shared, LOOK)?;
            Admission {
                own,
                starting: Mutex::new(Some(starting)),
                hidden: hidden.try_clone().map_err(errno)?,
                first,
                generation: None,
            }
        }
    };
    let other = if wanted == Wanted::Shared {
        "lock"
    } else {
        "shared"
    };
    match open(hidden, other, false) {
        Ok(file) => lock(&file, Exclusive, LOOK)?,
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    if wanted == Wanted::Shared {
        let generation = generation(hidden, admission.first);
        admission.generation = Some(generation.map_err(errno)?);
    }
    Ok(admission)
}

impl Admission {
    /// Nobody else serves the root: what lies about is nobody's.
    pub(super) fn is_first(&self) -> bool {
        self.first
    }

    /// The generation of the servers that share the root, if it is shared.
    pub(super) fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// Lets the next of those that share begin.
    pub(super) fn is_ready(&self) {
        *super::lock(&self.starting) = None;
    }

    /// Nobody else serves the root, and nobody begins to while this lives. For the end: if others do serve it, this server no longer
    /// counts.
    pub(super) fn is_last(&self) -> bool {
        if self.generation.is_none() {
            return true;
        }
        let last = || {
            let starting = open(&self.hidden, "starting", true)?;
            lock(&starting, FlockOperation::NonBlockingLockExclusive, START)?;
            lock(&self.own, FlockOperation::NonBlockingLockExclusive, LOOK)?;
            *super::lock(&self.starting) = Some(starting);
            Ok::<(), Errno>(())
        };
        last().is_ok()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn open(hidden: &OwnedFd, name: &str, create: bool) -> rustix::io::Result<OwnedFd> {
    let flags = if create {
        OFlags::RDWR | OFlags::CREATE
    } else {
        OFlags::RDONLY
    };
    fs::openat(hidden, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
}

fn lock(file: &OwnedFd, how: FlockOperation, patience: Duration) -> rustix::io::Result<()> {
    let until = Instant::now() + patience;
    loop {
        match fs::flock(file, how) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Begins a new generation, or reads the one that the first began.
fn generation(hidden: &OwnedFd, first: bool) -> std::io::Result<u64> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = fs::openat(hidden, "generation", flags, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(file);
    if first {
        let generation: u64 = rand::random();
        file.set_len(0)?;
        write!(file, "{generation:016x}")?;
        return Ok(generation);
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    u64::from_str_radix(&text, 16).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Wanted::{Alone, ReadOnly, Shared};

    #[test]
    fn those_meet_that_may() {
        let dir = tempfile::tempdir().unwrap();
        let hidden = fs::open(dir.path(), OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        drop(admit(&hidden, Alone).unwrap());
        for (one, other, may) in [
            (Alone, Alone, false),
            (Alone, Shared, false),
            (Alone, ReadOnly, false),
            (Shared, Shared, true),
            (Shared, ReadOnly, false),
            (ReadOnly, ReadOnly, true),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let first = admit(&hidden, one).unwrap();
                first.is_ready();
                let second = admit(&hidden, other);
                assert_eq!(second.is_ok(), may, "{one:?} and then {other:?}");
                if let Err(errno) = second {
                    assert_eq!(errno, Errno::WOULDBLOCK);
                }
            }
        }
    }

    #[test]
    fn one_of_those_that_share_is_the_first_and_all_are_of_its_generation() {
        let dir = tempfile::tempdir().unwrap();
        let hidden = fs::open(dir.path(), OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        let mut before = None;
        for _ in 0..5 {
            let all: Vec<Admission> = std::thread::scope(|scope| {
                let begun: Vec<_> = (0..6)
                    .map(|_| {
                        scope.spawn(|| {
                            let admission = admit(&hidden, Shared).unwrap();
                            admission.is_ready();
                            admission
                        })
                    })
                    .collect();
                begun.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(all.iter().filter(|one| one.is_first()).count(), 1);
            let generation = all[0].generation();
            assert!(generation.is_some() && generation != before);
            assert!(all.iter().all(|one| one.generation() == generation));
            before = generation;
            // At the end as well; all may end at the same time.
            let last: Vec<bool> = std::thread::scope(|scope| {
                let ended: Vec<_> = all
                    .into_iter()
                    .map(|one| scope.spawn(move || one.is_last()))
                    .collect();
                ended.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(last.iter().filter(|last| **last).count(), 1);
        }
    }
}
