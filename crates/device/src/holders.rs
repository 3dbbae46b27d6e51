//! Who uses a block device: mounts in any mount namespace, swap, other kernel drivers, programs.
//!
//! [`holders`] reads /proc and /sys, opens neither the device nor a file on it (so that it cannot hang on
//! either), and looks at the device's partitions too. It decides nothing. What it cannot see: processes that
//! root may not look at, and programs that opened the device by a node outside /dev.

mod kernel;
mod mounts;
mod processes;

use rustix::fs::{FileType, major, minor};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

/// A block device's number: major and minor.
type DeviceNumber = (u32, u32);

/// One user of a device or of a partition of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// What is held: `loop0`, or a partition `loop0p1`.
    pub device: String,
    /// By whom.
    pub by: HeldBy,
}

/// The kinds of users.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldBy {
    /// A file system mounted somewhere.
    Mount {
        /// A program of its mount namespace, where that is not the host's. First, so that the host's mounts are told first.
        seen_by: Option<Program>,
        /// Where, as seen in its mount namespace.
        path: PathBuf,
    },
    /// Swap space.
    Swap,
    /// Another driver: dm, md, loop, btrfs, nvmet, LIO.
    Kernel {
        /// The driver's own name for what it built: `dm-0`, `md127`, `loop3`.
        name: String,
        /// A name that people know it by: `vg0-lv1`.
        label: Option<String>,
    },
    /// A program that has it open.
    Process(Program),
}

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// Its name, at most 15 bytes.
    pub command: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

impl fmt::Display for Holder {
    /// Completes "the device is …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            HeldBy::Mount { path, seen_by: None } => write!(f, "mounted on {}", path.display())?,
            HeldBy::Mount {
                path,
                seen_by: Some(program),
            } => {
                let path = path.display();
                write!(
                    f,
                    "mounted on {path} inside the container or sandbox of {program} (nsenter -t {} -m umount {path})",
                    program.pid
                )?;
            }
            HeldBy::Swap => f.write_str("used as swap")?,
            HeldBy::Kernel {
                name,
                label: Some(label),
            } => write!(f, "held by {name} ({label})")?,
            HeldBy::Kernel { name, label: None } => write!(f, "held by {name}")?,
            HeldBy::Process(program) => write!(f, "open by {program}")?,
        }
        Ok(())
    }
}

/// The devices asked about: a disk and its partitions, by number.
#[derive(Debug)]
struct Wanted {
    names: BTreeMap<DeviceNumber, String>,
}

impl Wanted {
    /// The disk at `node` and its partitions.
    fn of(node: &Path) -> io::Result<Self> {
        let number = block_device_number(node).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is no block device", node.display()),
            )
        })?;
        let disk = std::fs::canonicalize(format!("/sys/dev/block/{}:{}", number.0, number.1))?;
        let name = disk
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut names = BTreeMap::from([(number, name)]);
        for entry in std::fs::read_dir(&disk)?.flatten() {
            if entry.path().join("partition").exists()
                && let Ok(text) = std::fs::read_to_string(entry.path().join("dev"))
                && let Some(part) = parse_number(text.trim())
            {
                names.insert(part, entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(Self { names })
    }

    fn name(&self, number: DeviceNumber) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    /// The name of the wanted device that `path`, a node under /dev, leads to.
    fn name_of_node(&self, path: &Path) -> Option<&str> {
        // Nothing outside /dev is looked at: it may lie on a file system that does not answer.
        path.starts_with("/dev")
            .then(|| block_device_number(path))
            .flatten()
            .and_then(|n| self.name(n))
    }
}

/// Everybody who uses the disk at `node` or a partition of it, but this process. `NotFound` where there is no such disk.
///
/// Blocks for some tens of milliseconds where thousands of processes run: not for an async thread.
pub fn holders(node: &Path) -> io::Result<Vec<Holder>> {
    let wanted = Wanted::of(node)?;
    let mut found = Vec::new();
    mounts::find(&wanted, &mut found);
    kernel::find(&wanted, &mut found);
    processes::find(&wanted, &mut found);
    found.sort();
    found.dedup();
    Ok(found)
}

/// All of them in one line: "mounted on /mnt/a, open by fio (pid 123)"; empty where there is none.
#[must_use]
pub fn in_words(holders: &[Holder]) -> String {
    holders
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn block_device_number(node: &Path) -> Option<DeviceNumber> {
    let stat = rustix::fs::stat(node).ok()?;
    let block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    block.then(|| (major(stat.st_rdev), minor(stat.st_rdev)))
}

fn parse_number(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_speak() {
        let holder = |by| Holder {
            device: "loop0".into(),
            by,
        };
        let kernel = HeldBy::Kernel {
            name: "dm-0".into(),
            label: Some("vg0-lv1".into()),
        };
        let all = [
            holder(HeldBy::Mount {
                path: "/mnt/a".into(),
                seen_by: None,
            }),
            holder(HeldBy::Mount {
                path: "/mnt/b".into(),
                seen_by: Some(Program {
                    command: "postgres".into(),
                    pid: 812,
                }),
            }),
            holder(kernel),
            holder(HeldBy::Process(Program {
                command: "fio".into(),
                pid: 123,
            })),
        ];
        assert_eq!(
            in_words(&all),
            "mounted on /mnt/a, mounted on /mnt/b inside the container or sandbox of postgres (pid 812) \
             (nsenter -t 812 -m umount /mnt/b), held by dm-0 (vg0-lv1), open by fio (pid 123)"
        );
    }

    #[test]
    fn what_is_no_block_device_is_not_found() {
        for path in ["/dev/null", "/nowhere", "/"] {
            assert_eq!(
                holders(Path::new(path)).unwrap_err().kind(),
                io::ErrorKind::NotFound,
                "{path}"
            );
        }
    }
}
