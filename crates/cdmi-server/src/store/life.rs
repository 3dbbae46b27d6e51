//! Which volatile cache takes changes, and whether what it took was lost.
//!
//! An acknowledged change that was not flushed lies in the kernel's page cache. That outlives this process, killed or not,
//! and dies with the machine's power. So the *instance* that clients are told stays the same for as long as nothing that it
//! took can have been lost: over every restart of the server on the same boot of the same machine, and over a reboot or a
//! move to another machine if the server was shut down before, which syncs the file system. It changes after all else, and
//! with the next start after a sync that failed: the kernel forgets what it could not write.
//!
//! `ROOT/.cdmi-server/instance` holds it: `INSTANCE BOOT STATE`, both ids as 32 hexadecimal digits, and a state:
//! - `running`, on the disk before the first change is taken;
//! - `ended`, written after the last change is on the disk;
//!
//! After a sync that failed there is no record.

use super::lock;
use super::root::temp_name;
use rustix::fs::{self, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;

const NAME: &str = "instance";
/// Two ids, a word, and blanks.
const RECORD_BYTES_MAX: u64 = 128;
/// The kernel's random id of this boot (`random(4)`).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The cache of one server's root.
pub(super) struct Life {
    dir: OwnedFd,
    boot: u128,
    instance: u128,
    /// A sync failed: what the next life finds here is not all that was taken.
    lost: Mutex<bool>,
}

impl Life {
    /// Begins, in the root's own directory. `None` where the kernel tells no boot id: then nothing can be told.
    pub(super) fn begin(dir: OwnedFd) -> Option<Self> {
        match boot_id() {
            Ok(boot) => Some(Self::begin_on(dir, boot)),
            Err(error) => {
                tracing::warn!(file = BOOT_ID, %error, "clients cannot notice a loss of power between a change and its flush");
                None
            }
        }
    }

    fn begin_on(dir: OwnedFd, boot: u128) -> Self {
        let kept = read(&dir).filter(|kept| kept.state == State::Ended || kept.boot == boot);
        let instance = kept.map_or_else(rand::random, |kept| kept.instance);
        let life = Life {
            dir,
            boot,
            instance,
            lost: Mutex::new(false),
        };
        match life.write(State::Running) {
            Ok(()) => life,
            // What is kept might pass for this life's later: so this one is told under a name of its own.
            Err(error) => {
                tracing::warn!(%error, "failed to keep the instance; after the next restart clients may see losses that were none");
                Life {
                    instance: rand::random(),
                    ..life
                }
            }
        }
    }

    pub(super) fn instance(&self) -> u128 {
        self.instance
    }

    /// Everything that was taken is on the disk, and nothing more will be taken.
    pub(super) fn end(&self) {
        let lost = lock(&self.lost);
        // Another server that shares the root may have lost something: then there is no record, or another's.
        if *lost || read(&self.dir).is_none_or(|kept| kept.instance != self.instance) {
            return;
        }
        let ended = fs::syncfs(&self.dir)
            .map_err(io::Error::from)
            .and_then(|()| self.write(State::Ended));
        if let Err(error) = ended {
            tracing::warn!(%error, "failed to sync at the end; after a reboot clients will be told that changes may be lost");
        }
    }

    /// Something that was taken could not be written. The disk may take nothing more, so nothing is written: if the removal
    /// does not reach it either, it holds until the machine's end, and then the instance changes anyway.
    pub(super) fn lose(&self) {
        let mut lost = lock(&self.lost);
        if std::mem::replace(&mut *lost, true) {
            return;
        }
        if let Err(error) = fs::unlinkat(&self.dir, NAME, fs::AtFlags::empty()) {
            tracing::error!(%error, "failed to keep that changes were lost; after a restart clients are not told");
        }
    }

    fn write(&self, state: State) -> io::Result<()> {
        let temp = temp_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&self.dir, &temp, flags, Mode::from_raw_mode(0o640))?);
        let written = writeln!(file, "{:032x} {:032x} {}", self.instance, self.boot, state.word())
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(fs::renameat(&self.dir, &temp, &self.dir, NAME)?))
            .and_then(|()| Ok(fs::fsync(&self.dir)?));
        if written.is_err() {
            let _ = fs::unlinkat(&self.dir, &temp, fs::AtFlags::empty());
        }
        written
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Ended,
}

impl State {
    const ALL: [Self; 2] = [Self::Running, Self::Ended];

    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    instance: u128,
    boot: u128,
    state: State,
}

/// What the last life left; nothing where it cannot be read.
fn read(dir: &OwnedFd) -> Option<Kept> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(dir.as_fd(), NAME, flags, Mode::empty()).ok()?;
    let mut text = String::new();
    File::from(file)
        .take(RECORD_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Kept> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let (instance, boot) = (digits(words.next()?)?, digits(words.next()?)?);
    let word = words.next()?;
    let state = State::ALL.into_iter().find(|state| state.word() == word)?;
    words.next().is_none().then_some(Kept {
        instance,
        boot,
        state,
    })
}

fn digits(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn boot_id() -> io::Result<u128> {
    let text = std::fs::read_to_string(BOOT_ID)?;
    digits(&text.trim().replace('-', "")).ok_or_else(|| io::Error::other("it holds no UUID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &tempfile::TempDir, boot: u128) -> Life {
        let fd = fs::open(dir.path(), OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        Life::begin_on(fd, boot)
    }

    #[test]
    fn the_instance_changes_when_a_life_ended_with_its_machine() {
        let dir = tempfile::tempdir().unwrap();
        let first = begin(&dir, 1).instance();
        assert_eq!(
            begin(&dir, 1).instance(),
            first,
            "killed, and started on the same boot"
        );
        let life = begin(&dir, 1);
        life.end();
        let moved = begin(&dir, 2);
        assert_eq!(moved.instance(), first, "shut down, then rebooted");
        let second = begin(&dir, 3).instance();
        assert_ne!(second, first, "rebooted while it ran");
        assert_eq!(begin(&dir, 3).instance(), second);
        assert_ne!(begin(&dir, 1).instance(), first, "no old instance comes back");
    }

    #[test]
    fn a_sync_that_failed_ends_the_instance() {
        let dir = tempfile::tempdir().unwrap();
        let life = begin(&dir, 1);
        life.lose();
        life.end();
        assert_ne!(begin(&dir, 1).instance(), life.instance());
    }

    #[test]
    fn what_cannot_be_read_is_another_instance() {
        let dir = tempfile::tempdir().unwrap();
        for spoilt in ["", "ended\n", "x y ended\n", "\0\0\0\0"] {
            let before = begin(&dir, 1);
            before.end();
            std::fs::write(dir.path().join(NAME), spoilt).unwrap();
            assert_ne!(begin(&dir, 1).instance(), before.instance(), "{spoilt:?}");
        }
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing half-made is left"
        );
    }

    #[test]
    fn the_record_is_what_the_head_says() {
        let dir = tempfile::tempdir().unwrap();
        let life = begin(&dir, 0xb);
        let text = |state: &str| format!("{:032x} {:032x} {state}\n", life.instance(), 0xb);
        let found = || std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(found(), text("running"));
        life.end();
        assert_eq!(found(), text("ended"));
        assert!(boot_id().unwrap() != 0);
    }
}
