//! What differs between two trees, in order: pages that both have as stored are skipped, so it costs what was changed and not what there is.
//!
//! A go looks at a bounded number of pages. Where one is not in memory it says which pages it needs, and how far it is sure; installed, the
//! next go begins there.

use super::{Body, NeedsPage, PAGE_FAN_OUT, Pointer, Radix, Slot, slots_of};
use std::ops::Range;

/// Pages asked for in one go, of each tree: 256 KiB.
const NEEDED_MAX: usize = 256;
/// Differences told in one go, and up to a page's more.
const FOUND_MAX: usize = 4096;
/// Pages looked at in one go: a lock is held meanwhile.
const LOOKED_MAX: usize = 4096;

/// What a go found.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Indexes before `until` at which the trees differ, in order, with what the second has there.
    pub(crate) found: Vec<(u64, u64)>,
    /// What lies before it was compared.
    pub(crate) until: u64,
    /// Pages of the first tree without which it does not go on.
    pub(crate) before: Vec<NeedsPage>,
    /// Those of the second.
    pub(crate) after: Vec<NeedsPage>,
}

/// Where one of the trees is. A tree that is lower than the other has pages above its root that nobody stored.
#[derive(Clone, Copy)]
enum Node<'a> {
    Above(&'a Radix),
    At(&'a Slot),
}

const NOTHING: Node<'static> = Node::At(&Slot::Empty);

impl<'a> Node<'a> {
    fn of(tree: &'a Radix, levels: u8) -> Self {
        if tree.levels < levels {
            Node::Above(tree)
        } else {
            Node::At(&tree.root)
        }
    }

    fn is_nothing(self) -> bool {
        match self {
            Node::Above(tree) => matches!(tree.root, Slot::Empty),
            Node::At(slot) => matches!(slot, Slot::Empty),
        }
    }

    /// Where it is stored just as it is.
    fn stored(self) -> Option<Pointer> {
        match self {
            Node::At(Slot::Stored(pointer)) => Some(*pointer),
            Node::At(Slot::Loaded(page)) if !page.dirty => page.stored,
            _ => None,
        }
    }

    fn is_needed(self) -> Option<Pointer> {
        match self {
            Node::At(Slot::Stored(pointer)) => Some(*pointer),
            _ => None,
        }
    }

    /// What is below place `at` of a page of this level.
    fn below(self, at: usize, level: u8) -> Self {
        match self {
            Node::Above(tree) if at == 0 => Node::of(tree, level),
            Node::At(Slot::Loaded(page)) => match &page.body {
                Body::Inner(slots) => Node::At(&slots[at]),
                Body::Leaf(_) => NOTHING,
            },
            _ => NOTHING,
        }
    }

    fn numbers(self) -> Option<&'a [u64; PAGE_FAN_OUT]> {
        match self {
            Node::At(Slot::Loaded(page)) => match &page.body {
                Body::Leaf(numbers) => Some(numbers),
                Body::Inner(_) => None,
            },
            _ => None,
        }
    }
}

/// Compares two trees within a range of indexes, as far as one go reaches.
pub(crate) fn compare(before: &Radix, after: &Radix, range: Range<u64>) -> Compared {
    let levels = before.levels.max(after.levels);
    let mut walk = Walk {
        range: range.clone(),
        stopped: None,
        looked: 0,
        compared: Compared::default(),
    };
    if levels > 0 && !range.is_empty() {
        walk.pages(Node::of(before, levels), Node::of(after, levels), levels - 1, 0);
    }
    walk.compared.until = walk.stopped.unwrap_or(range.end);
    walk.compared
}

struct Walk {
    range: Range<u64>,
    /// The first index that is not sure.
    stopped: Option<u64>,
    looked: usize,
    compared: Compared,
}

impl Walk {
    fn stop(&mut self, first: u64) {
        self.stopped.get_or_insert(first.max(self.range.start));
    }

    fn pages(&mut self, before: Node<'_>, after: Node<'_>, level: u8, first: u64) {
        let same = before.stored().is_some() && before.stored() == after.stored();
        if same || (before.is_nothing() && after.is_nothing()) {
            return;
        }
        let found = self.compared.found.len();
        let needed = self.compared.before.len().max(self.compared.after.len());
        if found >= FOUND_MAX || needed >= NEEDED_MAX || self.looked >= LOOKED_MAX {
            self.stop(first);
            return;
        }
        self.looked += 1;
        let needs = |pointer| NeedsPage {
            pointer,
            level,
            first,
        };
        let (left, right) = (before.is_needed().map(needs), after.is_needed().map(needs));
        if left.is_some() || right.is_some() {
            self.stop(first);
            self.compared.before.extend(left);
            self.compared.after.extend(right);
            return;
        }
        for (at, below) in slots_of(level, first, &self.range.clone()) {
            if level > 0 {
                self.pages(before.below(at, level), after.below(at, level), level - 1, below);
            } else if self.stopped.is_none() {
                let number = |node: Node<'_>| node.numbers().map_or(0, |numbers| numbers[at]);
                if number(before) != number(after) {
                    self.compared.found.push((below, number(after)));
                }
            }
        }
    }
}
