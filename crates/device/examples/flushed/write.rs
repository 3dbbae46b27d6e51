//! Workers, each with its own blocks: a few writes, a flush, and again. Of several the first one writes through the page cache, the
//! others past it. An error of the device ends everything: it must not have any.

use super::content::{SECTOR, next, sector};
use super::journal::{BLOCK, Journal, Plan};
use rustix::fs::OFlags;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

/// Writes between two flushes, and blocks of a write, at the most.
const WRITES_MAX: u64 = 8;
const BLOCKS_MAX: u64 = 16;
/// Memory that O_DIRECT takes begins at a multiple of this.
const ALIGNMENT: usize = 4096;

pub(crate) fn run(device: &Path, folder: &Path, plan: Plan, synced: bool) -> Result<(), Box<dyn Error>> {
    plan.create(folder)?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.workers)
            .map(|worker| {
                scope.spawn(move || {
                    work(device, folder, plan, worker, synced).map_err(|error| error.to_string())
                })
            })
            .collect();
        println!("seed {}: {} workers write", plan.seed, workers.len());
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    })
}

fn work(device: &Path, folder: &Path, plan: Plan, worker: u64, synced: bool) -> Result<(), Box<dyn Error>> {
    let flags = if worker == 0 && plan.workers > 1 {
        OFlags::empty()
    } else {
        OFlags::DIRECT
    };
    let mut open = File::options();
    let device = open
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(device)?;
    let mut journal = Journal::create(folder, worker, synced)?;
    let mut random = plan.seed.wrapping_add(worker);
    let first = worker * plan.blocks_each();
    let mut memory = vec![0; usize::try_from(BLOCKS_MAX * BLOCK)? + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let mut version = 0;
    loop {
        for _ in 0..=next(&mut random) % WRITES_MAX {
            version += 1;
            let blocks = 1 + next(&mut random) % BLOCKS_MAX;
            let block = first + next(&mut random) % (plan.blocks_each() - blocks + 1);
            let bytes = &mut memory[start..start + usize::try_from(blocks * BLOCK)?];
            for (number, part) in (block * BLOCK / SECTOR as u64..).zip(bytes.chunks_exact_mut(SECTOR)) {
                part.copy_from_slice(&sector(plan.seed, number, version));
            }
            journal.about_to_write(version, block, blocks)?;
            device.write_all_at(bytes, block * BLOCK)?;
        }
        device.sync_all()?;
        journal.flushed(version)?;
    }
}
