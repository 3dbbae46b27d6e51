//! The pages of a map, from its root down, several at once; one that cannot be read is told, and what is beside it is walked all the same.
//!
//! Pages that another tree has in the same place are passed over, so that a volume and its snapshots cost what differs between them.

use crate::LogError;
use crate::core::{Core, lost, page_numbers};
use crate::runs;
use crate::tree::NeedsPage;
use restblk_format::log::{Frame, PAGE_FAN_OUT, Pointer, Tree};
use restblk_types::ErrorKind;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Pages that are read at once.
const AT_ONCE: usize = 64;

/// What a walk comes upon.
#[derive(Debug)]
pub(super) enum Step {
    /// A page of blocks' pointers, from this block on.
    Leaf {
        first: u64,
        numbers: Box<[u64; PAGE_FAN_OUT]>,
    },
    /// A page that cannot be read, and the blocks below it.
    Torn { blocks: Range<u64>, error: LogError },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    core: &'a Core,
    before: Tree,
    todo: Vec<Pair>,
}

/// A page, and the one that the other tree has in its place.
#[derive(Clone, Copy, Debug)]
struct Pair {
    page: NeedsPage,
    before: Option<Pointer>,
}

/// How many indexes are below a number of a page of this level.
fn each(level: u8) -> u64 {
    1 << (PAGE_FAN_OUT.trailing_zeros() * u32::from(level))
}

impl<'a> Walk<'a> {
    /// A walk of a tree's pages but for those that `before` has, too.
    pub(super) fn new(core: &'a Core, before: Tree, tree: Tree) -> Self {
        let mut walk = Self {
            core,
            before,
            todo: Vec::new(),
        };
        if let (Some(pointer), Some(level)) = (tree.root, tree.levels.checked_sub(1)) {
            let page = NeedsPage {
                pointer,
                level,
                first: 0,
            };
            let before = walk.root(level, 0);
            walk.push(page, before);
        }
        walk
    }

    /// The other tree's root, where it stands in this place.
    fn root(&self, level: u8, first: u64) -> Option<Pointer> {
        self.before
            .root
            .filter(|_| first == 0 && self.before.levels == level + 1)
    }

    fn push(&mut self, page: NeedsPage, before: Option<Pointer>) {
        if before != Some(page.pointer) {
            self.todo.push(Pair { page, before });
        }
    }

    /// What comes next; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Step>>, LogError> {
        if self.todo.is_empty() {
            return Ok(None);
        }
        let pairs = self.todo.split_off(self.todo.len().saturating_sub(AT_ONCE));
        let pages = read(self.core, pairs.iter().map(|pair| pair.page.pointer)).await?;
        let mut steps = Vec::new();
        for pair in pairs {
            let page = pair.page;
            let numbers = match &pages[&page.pointer] {
                Ok(frame) => page_numbers(frame, page),
                Err(error) => Err(error.clone()),
            };
            let numbers = match numbers {
                Ok(numbers) => numbers,
                Err(error) => {
                    let blocks = page.first..page.first + each(page.level + 1);
                    steps.push(Step::Torn { blocks, error });
                    continue;
                }
            };
            let Some(below) = page.level.checked_sub(1) else {
                let (first, numbers) = (page.first, Box::new(numbers));
                steps.push(Step::Leaf { first, numbers });
                continue;
            };
            let before = self.numbers_before(pair).await?;
            for (at, (bits, before)) in (0..).zip(numbers.into_iter().zip(before)) {
                let first = page.first + at * each(page.level);
                let Ok(Some(pointer)) = Pointer::from_bits(bits) else {
                    continue;
                };
                let before = Pointer::from_bits(before).ok().flatten();
                let before = before.or_else(|| self.root(below, first));
                let level = below;
                self.push(
                    NeedsPage {
                        pointer,
                        level,
                        first,
                    },
                    before,
                );
            }
        }
        Ok(Some(steps))
    }

    /// The numbers of the other tree's page; none where it has no such page, or it cannot be read.
    async fn numbers_before(&self, pair: Pair) -> Result<[u64; PAGE_FAN_OUT], LogError> {
        let none = [0; PAGE_FAN_OUT];
        let Some(pointer) = pair.before else {
            return Ok(none);
        };
        let page = NeedsPage { pointer, ..pair.page };
        let frame = read_one(self.core, pointer).await?;
        Ok(frame.and_then(|frame| page_numbers(&frame, page)).unwrap_or(none))
    }
}

/// A frame, or why it cannot be read.
pub(super) type Read = Result<Arc<Frame>, LogError>;

/// Reads frames: together where that goes well, else each by itself to tell which is damaged.
async fn read(
    core: &Core,
    pointers: impl Iterator<Item = Pointer>,
) -> Result<BTreeMap<Pointer, Read>, LogError> {
    let mut pointers: Vec<Pointer> = pointers.collect();
    pointers.sort_unstable();
    pointers.dedup();
    let together = match runs::frames(core, &pointers).await {
        Ok(frames) => frames,
        Err(error) if error.kind() == ErrorKind::Corrupt => vec![None; pointers.len()],
        Err(error) => return Err(error),
    };
    let mut found = BTreeMap::new();
    for (pointer, frame) in pointers.into_iter().zip(together) {
        let read = match frame {
            Some(frame) => Ok(frame),
            None => read_one(core, pointer).await?,
        };
        found.insert(pointer, read);
    }
    Ok(found)
}

pub(super) async fn read_one(core: &Core, pointer: Pointer) -> Result<Read, LogError> {
    match core.frame(pointer).await {
        Ok(Some(frame)) => Ok(Ok(frame)),
        Ok(None) => Ok(Err(lost(pointer))),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Err(error)),
        Err(error) => Err(error),
    }
}
