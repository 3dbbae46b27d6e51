//! A journal's disk as a file, or a block device: written through the page cache, which outlives the process, and synced by
//! fdatasync. The file is written whole when it is made, so that a sync later has no metadata to write.
//!
//! A sync goes to a thread of its own, because disks take what they take. Where they took less than [`QUICK`] lately, the two switches of
//! threads would be most of it: then it is done at once, by the thread that wants it.

use crate::journal::Disk;
use async_trait::async_trait;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Bytes written at once when a file is made.
const ZEROS: usize = 1 << 20;

/// Syncs that are done where they are wanted take less than this, but for a few.
const QUICK: Duration = Duration::from_micros(500);

/// How long syncs took lately, in microseconds.
#[derive(Debug)]
struct Lately(AtomicU32);

impl Lately {
    fn is_quick(&self) -> bool {
        u128::from(self.0.load(Ordering::Relaxed)) < QUICK.as_micros()
    }

    /// A slow one is believed at once, quick ones after some.
    fn note(&self, took: Duration) {
        let (before, took) = (
            self.0.load(Ordering::Relaxed),
            took.as_micros().min(u128::from(u32::MAX >> 4)),
        );
        let took = u32::try_from(took).unwrap_or(u32::MAX);
        self.0.store(took.max(before - before / 8), Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
    file: Arc<File>,
    capacity: u64,
    syncs: Lately,
}

impl FileDisk {
    /// Opens a journal's file, or makes it with so many bytes. One that is there keeps its size. Blocks: for as long as the
    /// disk takes to write them, where it is made.
    pub fn open(path: &Path, capacity: u64) -> io::Result<Self> {
        let open = |create| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(create)
                .open(path)
        };
        let file = match open(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let beside = path.with_extension("new");
                // Left behind by one who was killed here.
                match std::fs::remove_file(&beside) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .open(&beside)?;
                let filled = fill(&file, capacity).and_then(|()| std::fs::rename(&beside, path));
                if let Err(error) = filled {
                    // The error that matters is the first one.
                    let _ = std::fs::remove_file(&beside);
                    return Err(error);
                }
                if let Some(folder) = path.parent() {
                    File::open(folder)?.sync_all()?;
                }
                file
            }
            opened => opened?,
        };
        // A block device has no length of its own.
        let capacity = match file.metadata()?.len() {
            0 => capacity,
            len => len,
        };
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            capacity,
            syncs: Lately(AtomicU32::new(u32::MAX >> 4)),
        })
    }
}

fn fill(file: &File, capacity: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut at = 0;
    while at < capacity {
        let len = usize::try_from(capacity - at).map_or(ZEROS, |left| left.min(ZEROS));
        file.write_all_at(&zeros[..len], at)?;
        at += len as u64;
    }
    file.sync_all()
}

#[async_trait]
impl Disk for FileDisk {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    async fn sync(&self) -> io::Result<()> {
        let begun = Instant::now();
        let has_others = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        let synced = if self.syncs.is_quick() && has_others {
            tokio::task::block_in_place(|| self.file.sync_data())
        } else {
            let file = self.file.clone();
            let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
            synced.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        self.syncs.note(begun.elapsed());
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(path.with_extension("new"), "left behind").unwrap();
        let disk = FileDisk::open(&path, 3 << 20).unwrap();
        disk.write(5000, b"kept").unwrap();
        disk.sync().await.unwrap();
        drop(disk);
        let disk = FileDisk::open(&path, 9 << 20).unwrap();
        assert_eq!(disk.capacity(), 3 << 20);
        let mut found = [0; 4];
        disk.read(5000, &mut found).unwrap();
        assert_eq!(&found, b"kept");
        assert!(disk.read((3 << 20) - 2, &mut found).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(FileDisk::open(&folder.path().join("none/journal"), 1 << 20).is_err());
    }
}
