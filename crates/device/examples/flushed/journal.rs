//! The journal: one file a worker, a line before each write and one after each flush, each line one `write`.
//!
//! ```text
//! plan     SEED AREA_BYTES WORKERS
//! N        w VERSION BLOCK BLOCKS     about to write
//!          f VERSION                  all of this worker's writes up to VERSION are flushed
//! ```
//! It need not be synced where the processes die and the host does not; `synced` it is, line by line.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of a block, the unit of writing.
pub(crate) const BLOCK: u64 = 4096;

/// What a run is made of. Each worker has its own part of the area.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) area: u64,
    pub(crate) workers: u64,
}

impl Plan {
    /// Blocks of one worker.
    pub(crate) fn blocks_each(self) -> u64 {
        self.area / BLOCK / self.workers
    }

    /// Starts a journal of this plan; fails where there is one.
    pub(crate) fn create(self, folder: &Path) -> Result<(), Box<dyn Error>> {
        if self.workers == 0 || self.blocks_each() < 32 {
            return Err("each worker needs at least 32 blocks of 4096 bytes".into());
        }
        fs::create_dir(folder)?;
        fs::write(
            folder.join("plan"),
            format!("{} {} {}\n", self.seed, self.area, self.workers),
        )?;
        Ok(())
    }

    pub(crate) fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(folder.join("plan"))?;
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [seed, area, workers] = numbers[..] else {
            return Err("the journal's plan cannot be read".into());
        };
        Ok(Self { seed, area, workers })
    }
}

fn file_of(folder: &Path, worker: u64) -> PathBuf {
    folder.join(worker.to_string())
}

/// A worker's journal, being written.
pub(crate) struct Journal {
    file: File,
    synced: bool,
}

impl Journal {
    pub(crate) fn create(folder: &Path, worker: u64, synced: bool) -> std::io::Result<Self> {
        let file = File::create_new(file_of(folder, worker))?;
        Ok(Self { file, synced })
    }

    pub(crate) fn about_to_write(&mut self, version: u64, block: u64, blocks: u64) -> std::io::Result<()> {
        self.line(&format!("w {version} {block} {blocks}\n"))
    }

    pub(crate) fn flushed(&mut self, version: u64) -> std::io::Result<()> {
        self.line(&format!("f {version}\n"))
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        if self.synced {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }
}

/// A write: version, first block, blocks.
pub(crate) type Write = [u64; 3];

/// The writes of a worker in their order, and how many of them were flushed.
pub(crate) fn writes(folder: &Path, worker: u64) -> Result<(Vec<Write>, usize), Box<dyn Error>> {
    let text = fs::read_to_string(file_of(folder, worker))?;
    let (mut writes, mut flushed) = (Vec::new(), 0);
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        match words[..] {
            ["w", version, block, blocks] => writes.push([version.parse()?, block.parse()?, blocks.parse()?]),
            _ => flushed = writes.len(),
        }
    }
    Ok((writes, flushed))
}

/// What is known of one block.
#[derive(Clone, Default)]
pub(crate) struct Known {
    /// The newest version that a flush confirmed; 0: none.
    pub(crate) flushed: u64,
    /// Versions begun since, and all begun after a [`Told::freeze`].
    pub(crate) begun: Vec<u64>,
}

/// What a worker's journal tells so far.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) blocks: BTreeMap<u64, Known>,
    /// Writes that were flushed.
    pub(crate) writes: u64,
    /// Bytes of the file that were read.
    offset: u64,
    /// Writes that were begun; blocks of those that no flush has confirmed yet.
    begun: u64,
    unconfirmed: Vec<u64>,
    frozen: bool,
}

impl Told {
    /// From here on only what is begun is noted: what had been flushed before is what must be there.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Reads on, up to the last whole line.
    pub(crate) fn read(&mut self, folder: &Path, worker: u64) -> Result<(), Box<dyn Error>> {
        let mut text = String::new();
        match File::open(file_of(folder, worker)) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.offset))?;
                file.read_to_string(&mut text)?;
            }
            // The worker has not begun.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            self.offset += line.len() as u64;
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Result<(), Box<dyn Error>> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["w", version, block, blocks] => {
                let (version, block, blocks): (u64, u64, u64) =
                    (version.parse()?, block.parse()?, blocks.parse()?);
                self.begun += 1;
                for block in block..block + blocks {
                    self.blocks.entry(block).or_default().begun.push(version);
                    self.unconfirmed.push(block);
                }
            }
            ["f", _] if self.frozen => {}
            // All that was begun before it: a worker does one thing at a time.
            ["f", _] => {
                self.writes = self.begun;
                for block in self.unconfirmed.drain(..) {
                    let known = self.blocks.entry(block).or_default();
                    known.flushed = known.begun.drain(..).max().unwrap_or(known.flushed);
                }
            }
            _ => return Err(format!("a line of the journal cannot be read: {line}").into()),
        }
        Ok(())
    }
}
