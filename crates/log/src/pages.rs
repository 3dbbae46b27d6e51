//! Pages of a map from the store, with those that lie beside them.
//!
//! A checkpoint stores pages side by side: those of 32 MiB of blocks have some 40 KiB. Who misses a few pages reads their neighbours by the
//! same request, because who reads one block reads others near it; otherwise a reader in order, or all over a small volume, would wait
//! for a round trip at every half a MiB. Neighbours are read where they cost no request of their own, and while there is room for them:
//! they push nothing out of the memory. Whoever misses many pages at once, a batch of writes all over a volume, gets these alone.

use crate::LogError;
use crate::core::{Core, page_numbers};
use crate::runs;
use crate::tree::{NeedsPage, Radix};
use restblk_format::log::{PAGE_FAN_OUT, Pointer};

/// Pages that are read at once.
const AT_ONCE: usize = 256;
/// Pages of numbers that go together, in the order of what they cover: half of what the page above has.
pub(crate) const GROUP: usize = 64;
/// Missed so many at once, pages are read without their neighbours.
const FEW: usize = 20;
/// Bytes between two pages that are read in vain.
const GAP_MAX: u32 = 4 << 10;

/// What is on a page.
type Numbers = [u64; PAGE_FAN_OUT];

/// These pages with those beside them, in the order of their places; `is_cached` tells what the host has.
pub(crate) fn with_neighbours(
    tree: &Radix,
    wanted: &[NeedsPage],
    is_cached: impl Fn(Pointer) -> bool,
) -> Vec<NeedsPage> {
    let mut pages = wanted.to_vec();
    if wanted.len() > FEW {
        return pages;
    }
    let each = (GROUP * PAGE_FAN_OUT) as u64;
    for page in wanted {
        if page.level == 0 && !is_cached(page.pointer) {
            let first = page.first / each * each;
            tree.missing(first..first + each, &mut pages);
        }
    }
    let is_wanted = |page: &NeedsPage| wanted.contains(page);
    pages.retain(|page| is_wanted(page) || page.level == 0 && !is_cached(page.pointer));
    in_order(&mut pages);
    let runs = runs::cut(&pages, |page| page.pointer, GAP_MAX);
    let with_wanted = runs.into_iter().filter(|run| run.iter().any(is_wanted));
    with_wanted.flatten().copied().collect()
}

/// The numbers on these pages, `wanted` and their neighbours; none for one that is not where it was any more. What is wrong with a
/// neighbour is no matter.
pub(crate) async fn read(
    core: &Core,
    mut pages: Vec<NeedsPage>,
    wanted: &[NeedsPage],
) -> Result<Vec<(NeedsPage, Option<Numbers>)>, LogError> {
    let has_neighbours = pages.len() > wanted.len();
    // Somebody reads these already: whoever wants one finds it then.
    pages.retain(|page| wanted.contains(page) || !core.reading.has(&page.pointer.frame()));
    match read_all(core, pages).await {
        Err(_) if has_neighbours => read_all(core, wanted.to_vec()).await,
        read => read,
    }
}

/// The same of a snapshot's tree, whose pages are where they were for as long as it is there.
pub(crate) async fn of_snapshot(
    core: &Core,
    pages: Vec<NeedsPage>,
    wanted: &[NeedsPage],
) -> Result<Vec<(NeedsPage, Numbers)>, LogError> {
    let mut found = Vec::with_capacity(pages.len());
    for (page, numbers) in read(core, pages, wanted).await? {
        match numbers {
            Some(numbers) => found.push((page, numbers)),
            None if wanted.contains(&page) => {
                return Err(LogError::corrupt(page.pointer, "a page of the snapshot is gone"));
            }
            None => {}
        }
    }
    Ok(found)
}

async fn read_all(
    core: &Core,
    mut pages: Vec<NeedsPage>,
) -> Result<Vec<(NeedsPage, Option<Numbers>)>, LogError> {
    in_order(&mut pages);
    let mut found = Vec::with_capacity(pages.len());
    for pages in pages.chunks(AT_ONCE) {
        let pointers: Vec<Pointer> = pages.iter().map(|page| page.pointer.frame()).collect();
        // On the heap, because a frame's place can need a page of the other tree.
        let frames = Box::pin(runs::frames(core, &pointers)).await?;
        for (page, frame) in pages.iter().zip(frames) {
            let numbers = frame.map(|frame| page_numbers(&frame, *page));
            found.push((*page, numbers.transpose()?));
        }
    }
    Ok(found)
}

fn in_order(pages: &mut Vec<NeedsPage>) {
    pages.sort_unstable_by_key(|page| page.pointer);
    pages.dedup();
}
