//! Compares what is there with what the journal says must be.
//!
//! The journal is read before the device, for what is flushed, and after it, for what was begun meanwhile: so it
//! may be asked while the writer runs.

use super::content::{SECTOR, describe, sector};
use super::journal::{BLOCK, Known, Plan, Told};
use rustix::fs::OFlags;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Losses that are told one by one.
const TOLD_MAX: usize = 10;

pub(crate) fn run(device: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let plan = Plan::read(folder)?;
    let mut told: Vec<Told> = Vec::new();
    for worker in 0..plan.workers {
        let mut one = Told::default();
        one.read(folder, worker)?;
        one.freeze();
        told.push(one);
    }
    let image = read(device, plan.area)?;
    let (mut sectors, mut unconfirmed, mut lost) = (0_u64, 0_u64, Vec::new());
    for (worker, told) in (0..).zip(&mut told) {
        told.read(folder, worker)?;
        for (block, known) in &told.blocks {
            let at = usize::try_from(block * BLOCK)?;
            let numbers = block * BLOCK / SECTOR as u64..;
            for (number, found) in numbers.zip(image[at..at + usize::try_from(BLOCK)?].chunks_exact(SECTOR)) {
                sectors += u64::from(known.flushed > 0);
                match judge(plan.seed, number, known, found) {
                    Verdict::Flushed => {}
                    Verdict::Unconfirmed => unconfirmed += 1,
                    Verdict::Lost => lost.push(format!(
                        "sector {number} holds {}, and version {} of it was flushed",
                        describe(found),
                        known.flushed
                    )),
                }
            }
        }
    }
    if lost.is_empty() {
        let writes: u64 = told.iter().map(|told| told.writes).sum();
        println!(
            "{writes} flushed writes, {sectors} sectors checked, {unconfirmed} of writes not flushed yet"
        );
        return Ok(());
    }
    for loss in lost.iter().take(TOLD_MAX) {
        eprintln!("lost: {loss}");
    }
    Err(format!(
        "{} sectors of {sectors} are lost (seed {})",
        lost.len(),
        plan.seed
    )
    .into())
}

enum Verdict {
    /// The newest flushed version.
    Flushed,
    /// A later one, or a mixture of those that may be there.
    Unconfirmed,
    Lost,
}

fn judge(seed: u64, number: u64, known: &Known, found: &[u8]) -> Verdict {
    let flushed = sector(seed, number, known.flushed);
    if flushed == found {
        return Verdict::Flushed;
    }
    let begun = known.begun.iter().map(|version| sector(seed, number, *version));
    let versions: Vec<_> = begun.chain([flushed]).collect();
    let fits = |at: usize| versions.iter().any(|version| version[at] == found[at]);
    if (0..SECTOR).all(fits) {
        Verdict::Unconfirmed
    } else {
        Verdict::Lost
    }
}

/// The area's bytes; of a device past the page cache.
pub(crate) fn read(device: &Path, area: u64) -> Result<Vec<u8>, Box<dyn Error>> {
    const ALIGNMENT: usize = 4096;
    const PART: usize = 1 << 20;
    let is_device = std::fs::metadata(device)?.file_type().is_block_device();
    let flags = if is_device {
        OFlags::DIRECT
    } else {
        OFlags::empty()
    };
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(device)?;
    let area = usize::try_from(area)?;
    let mut memory = vec![0; area + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    for (part, bytes) in memory[start..start + area].chunks_mut(PART).enumerate() {
        file.read_exact_at(bytes, u64::try_from(part * PART)?)?;
    }
    memory.drain(..start);
    memory.truncate(area);
    Ok(memory)
}
