//! Whether a device is exactly what it was at some moment: after a number of the worker's writes, and none of the later ones.
//!
//! The very last write may be there besides: it had no answer, and a device that came back meanwhile was given it again.

use super::content::{SECTOR, describe, sector};
use super::journal::{self, BLOCK, Plan, Write};
use super::verify;
use std::error::Error;
use std::path::Path;

/// The device's blocks.
struct Image {
    seed: u64,
    bytes: Vec<u8>,
}

impl Image {
    fn block(&self, block: u64) -> &[u8] {
        let block_len = usize::try_from(BLOCK).unwrap_or(usize::MAX);
        let at = usize::try_from(block * BLOCK).unwrap_or(usize::MAX);
        &self.bytes[at..at + block_len]
    }

    /// Whether a block has this version.
    fn has(&self, block: u64, version: u64) -> bool {
        let numbers = block * BLOCK / SECTOR as u64..;
        numbers
            .zip(self.block(block).chunks_exact(SECTOR))
            .all(|(number, found)| found == sector(self.seed, number, version))
    }

    /// How many writes there were when the device was like this. `again`: one that may have been done later.
    fn moment(&self, writes: &[Write], again: Option<&Write>) -> Result<usize, String> {
        // The newest write that left anything: no later one did, and all before it must have.
        let left =
            |[version, first, count]: &Write| (*first..first + count).any(|block| self.has(block, *version));
        let count = writes.iter().rposition(left).map_or(0, |at| at + 1);
        let mut then = vec![0; self.bytes.len() / usize::try_from(BLOCK).unwrap_or(1)];
        for [version, first, len] in &writes[..count] {
            for block in *first..first + len {
                if let Some(then) = then.get_mut(usize::try_from(block).unwrap_or(usize::MAX)) {
                    *then = *version;
                }
            }
        }
        for (block, version) in (0_u64..).zip(then) {
            let is_again = again.is_some_and(|[version, first, len]| {
                (*first..first + len).contains(&block) && self.has(block, *version)
            });
            if !self.has(block, version) && !is_again {
                let found = describe(self.block(block));
                return Err(format!(
                    "after {count} of {} writes block {block} had version {version}, and it holds {found} (seed {})",
                    writes.len(),
                    self.seed
                ));
            }
        }
        Ok(count)
    }
}

pub(crate) fn run(device: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let plan = Plan::read(folder)?;
    if plan.workers != 1 {
        return Err("the order of the writes is known of one worker alone".into());
    }
    let (writes, flushed) = journal::writes(folder, 0)?;
    let image = Image {
        seed: plan.seed,
        bytes: verify::read(device, plan.area)?,
    };
    let moment = image
        .moment(&writes, None)
        .or_else(|error| match writes.split_last() {
            Some((last, before)) if flushed < writes.len() => image.moment(before, Some(last)),
            _ => Err(error),
        })?;
    println!(
        "as it was after {moment} of {} writes, {flushed} of which were flushed",
        writes.len()
    );
    Ok(())
}
