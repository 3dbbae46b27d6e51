//! Writes to a device, flushes, and keeps a journal elsewhere of what was flushed; later tells whether all of it is there.
//!
//! ```text
//! flushed write DEVICE JOURNAL SEED AREA_BYTES WORKERS [synced]    until it is killed
//! flushed verify DEVICE JOURNAL                            also a file that shows what is behind the device; also while it is written
//! flushed earlier DEVICE JOURNAL                           the device is what it was after some number of the writes of the one worker
//! ```
//! JOURNAL is a folder that is *not* on the device. What is written, where and when follows from SEED alone; how far it gets
//! follows from the machine. `verify` prints what it checked, and ends with 1 and the first losses where there are any.
//!
//! # What holds
//! A sector holds the newest version that a flush has confirmed, or one that was begun after it. Bytes of versions whose
//! write was never confirmed may be mixed: a write that fails may have changed any part of its range. Nothing else is allowed.

mod content;
mod earlier;
mod journal;
mod verify;
mod write;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["write", device, journal, seed, area, workers] => {
            write(device, journal, [seed, area, workers], false)
        }
        ["write", device, journal, seed, area, workers, "synced"] => {
            write(device, journal, [seed, area, workers], true)
        }
        ["earlier", device, journal] => earlier::run(Path::new(device), Path::new(journal)),
        ["verify", device, journal] => verify::run(Path::new(device), Path::new(journal)),
        _ => Err(
            "usage: flushed write DEVICE JOURNAL SEED AREA_BYTES WORKERS [synced] | flushed verify DEVICE JOURNAL | flushed earlier DEVICE JOURNAL"
                .into(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flushed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(device: &str, folder: &str, numbers: [&str; 3], synced: bool) -> Result<(), Box<dyn Error>> {
    let [seed, area, workers] = numbers.map(str::parse::<u64>);
    let plan = journal::Plan {
        seed: seed?,
        area: area?,
        workers: workers?,
    };
    write::run(Path::new(device), Path::new(folder), plan, synced)
}
