//! A tree of numbers on pages of 128: copy on write, loaded page by page as it is needed.
//!
//! Knows no store: what needs a page that is not in memory says so ([`NeedsPage`]), and is tried again once the caller has
//! installed it. A number that was never set is 0, and a tree has only the pages that hold others.
//!
//! Invariant: a clean page has no dirty page below it, so a flush looks only where something changed.

mod compare;

pub(crate) use compare::{Compared, compare};

use restblk_format::log::{PAGE_FAN_OUT, PAGE_LEN, Pointer, Tree};
use std::ops::Range;

/// Bits of an index that one level takes.
const BITS: u32 = PAGE_FAN_OUT.trailing_zeros();
/// Five levels: 2^35 numbers.
const LEVELS_MAX: u8 = 5;

/// A page that is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NeedsPage {
    /// Where it is.
    pub(crate) pointer: Pointer,
    /// 0 for a page of numbers.
    pub(crate) level: u8,
    /// The first index that it covers.
    pub(crate) first: u64,
}

impl NeedsPage {
    /// The number by which the page's frame tells what it is.
    pub(crate) fn id(self) -> u64 {
        page_id(self.level, self.first)
    }
}

fn page_id(level: u8, first: u64) -> u64 {
    u64::from(level) << 56 | first >> (BITS * (u32::from(level) + 1))
}

/// The level and the first index of the page with this id.
pub(crate) fn page_of_id(id: u64) -> (u8, u64) {
    let level = (id >> 56) as u8;
    let number = id & ((1 << 56) - 1);
    (level, number << (BITS * (u32::from(level) + 1)))
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Stored(Pointer),
    Loaded(Box<Page>),
}

#[derive(Debug)]
struct Page {
    /// Where its last stored state is.
    stored: Option<Pointer>,
    dirty: bool,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Leaf(Box<[u64; PAGE_FAN_OUT]>),
    Inner(Box<[Slot; PAGE_FAN_OUT]>),
}

/// A tree, partly in memory.
#[derive(Debug, Default)]
pub(crate) struct Radix {
    root: Slot,
    levels: u8,
    /// Pages in memory.
    loaded: usize,
    /// Pages that a flush would write.
    dirty: usize,
}

impl Radix {
    /// The stored tree, nothing of it in memory.
    pub(crate) fn open(tree: Tree) -> Self {
        Self {
            root: tree.root.map_or(Slot::Empty, Slot::Stored),
            levels: tree.levels,
            ..Self::default()
        }
    }

    /// Pages in memory.
    pub(crate) fn loaded(&self) -> usize {
        self.loaded
    }

    /// Pages that a flush would write.
    pub(crate) fn dirty(&self) -> usize {
        self.dirty
    }

    fn capacity(levels: u8) -> u64 {
        if levels == 0 {
            0
        } else {
            1 << (BITS * u32::from(levels))
        }
    }

    /// The number at an index.
    pub(crate) fn get(&self, index: u64) -> Result<u64, NeedsPage> {
        if index >= Self::capacity(self.levels) {
            return Ok(0);
        }
        let (mut slot, mut level) = (&self.root, self.levels);
        loop {
            level = level.saturating_sub(1);
            let page = match slot {
                Slot::Empty => return Ok(0),
                Slot::Stored(pointer) => return Err(needs(*pointer, level, index)),
                Slot::Loaded(page) => page,
            };
            match &page.body {
                Body::Leaf(numbers) => return Ok(numbers[place(index, 0)]),
                Body::Inner(slots) => slot = &slots[place(index, level)],
            }
        }
    }

    /// The pages of a range of indexes that must be loaded next, before it can be changed; none where all are.
    pub(crate) fn missing(&self, range: Range<u64>, out: &mut Vec<NeedsPage>) {
        if self.levels > 0 {
            missing(&self.root, self.levels - 1, 0, &range, out);
        }
    }

    /// The slot of a page that is still to be loaded; `None` where it has come, or is stored elsewhere by now.
    fn slot(&mut self, page: NeedsPage) -> Option<&mut Slot> {
        let mut level = self.levels;
        let mut slot = &mut self.root;
        while level > page.level + 1 {
            level -= 1;
            let Slot::Loaded(above) = slot else { return None };
            let Body::Inner(slots) = &mut above.body else {
                return None;
            };
            slot = &mut slots[place(page.first, level)];
        }
        matches!(slot, Slot::Stored(pointer) if *pointer == page.pointer).then_some(slot)
    }

    /// Whether a page is still to be loaded.
    pub(crate) fn wants(&mut self, page: NeedsPage) -> bool {
        self.slot(page).is_some()
    }

    /// Puts the page that was needed into its place. A page that came meanwhile stays.
    pub(crate) fn install(&mut self, page: NeedsPage, numbers: &[u64; PAGE_FAN_OUT]) {
        let Some(slot) = self.slot(page) else { return };
        let body = if page.level == 0 {
            Body::Leaf(Box::new(*numbers))
        } else {
            // Bits that no writer makes cannot come here: the page's checksum was compared. They would be holes.
            let slot = |bits: u64| {
                Pointer::from_bits(bits)
                    .ok()
                    .flatten()
                    .map_or(Slot::Empty, Slot::Stored)
            };
            Body::Inner(Box::new(std::array::from_fn(|at| slot(numbers[at]))))
        };
        *slot = Slot::Loaded(Box::new(Page {
            stored: Some(page.pointer),
            dirty: false,
            body,
        }));
        self.loaded += 1;
    }

    /// Sets a number; returns the one before.
    pub(crate) fn set(&mut self, index: u64, number: u64) -> Result<u64, NeedsPage> {
        debug_assert!(index < Self::capacity(LEVELS_MAX), "{index}");
        let before = self.get(index)?;
        if before == number {
            return Ok(before);
        }
        while index >= Self::capacity(self.levels) {
            self.grow();
        }
        let (loaded, dirty) = (&mut self.loaded, &mut self.dirty);
        let (mut slot, mut level) = (&mut self.root, self.levels);
        loop {
            level -= 1;
            if matches!(slot, Slot::Empty) {
                let body = if level == 0 {
                    Body::Leaf(Box::new([0; PAGE_FAN_OUT]))
                } else {
                    Body::Inner(Box::new(std::array::from_fn(|_| Slot::Empty)))
                };
                *slot = Slot::Loaded(Box::new(Page {
                    stored: None,
                    dirty: false,
                    body,
                }));
                *loaded += 1;
            }
            let page = match slot {
                Slot::Loaded(page) => page,
                Slot::Stored(pointer) => return Err(needs(*pointer, level, index)),
                Slot::Empty => return Ok(before),
            };
            if !page.dirty {
                page.dirty = true;
                *dirty += 1;
            }
            match &mut page.body {
                Body::Leaf(numbers) => {
                    numbers[place(index, 0)] = number;
                    return Ok(before);
                }
                Body::Inner(slots) => slot = &mut slots[place(index, level)],
            }
        }
    }

    fn grow(&mut self) {
        let below = std::mem::take(&mut self.root);
        self.levels += 1;
        if matches!(below, Slot::Empty) {
            return;
        }
        let mut slots: Box<[Slot; PAGE_FAN_OUT]> = Box::new(std::array::from_fn(|_| Slot::Empty));
        slots[0] = below;
        self.root = Slot::Loaded(Box::new(Page {
            stored: None,
            dirty: true,
            body: Body::Inner(slots),
        }));
        self.loaded += 1;
        self.dirty += 1;
    }

    /// The numbers of a range that are not 0, in order. All its pages must be in memory ([`Self::missing`]).
    pub(crate) fn numbers(&self, range: Range<u64>, found: &mut dyn FnMut(u64, u64)) {
        if self.levels > 0 {
            numbers(&self.root, self.levels - 1, 0, &range, found);
        }
    }

    /// Writes every dirty page, the lower ones first, and returns the tree as stored. `put` stores a page under its id;
    /// `retired` is told where each had been.
    pub(crate) fn flush(
        &mut self,
        put: &mut dyn FnMut(u64, &[u8; PAGE_LEN]) -> Pointer,
        retired: &mut dyn FnMut(Pointer),
    ) -> Tree {
        let levels = self.levels;
        let root = match &mut self.root {
            Slot::Empty => None,
            Slot::Stored(pointer) => Some(*pointer),
            Slot::Loaded(page) => flush(page, levels - 1, 0, put, retired),
        };
        self.dirty = 0;
        Tree { root, levels }
    }

    /// Where the page of this level that covers `first` is stored, where that is known without reading.
    pub(crate) fn stored_page(&self, level: u8, first: u64) -> Result<Option<Pointer>, NeedsPage> {
        if level >= self.levels || first >= Self::capacity(self.levels) {
            return Ok(None);
        }
        let (mut slot, mut at) = (&self.root, self.levels);
        loop {
            at -= 1;
            match slot {
                Slot::Empty => return Ok(None),
                Slot::Stored(pointer) if at == level => return Ok(Some(*pointer)),
                Slot::Stored(pointer) => return Err(needs(*pointer, at, first)),
                Slot::Loaded(page) if at == level => return Ok(page.stored),
                Slot::Loaded(page) => match &page.body {
                    Body::Leaf(_) => return Ok(None),
                    Body::Inner(slots) => slot = &slots[place(first, at)],
                },
            }
        }
    }

    /// Lets clean pages go until about `keep` are in memory, pages of numbers first.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if self.loaded > keep {
            let mut more = self.loaded - keep;
            let before = more;
            shrink(&mut self.root, &mut more);
            self.loaded -= before - more;
        }
    }
}

/// The slot of a page of this level that an index is below.
#[expect(clippy::cast_possible_truncation, reason = "less than the fan-out")]
fn place(index: u64, level: u8) -> usize {
    (index >> (BITS * u32::from(level)) & (PAGE_FAN_OUT as u64 - 1)) as usize
}

fn needs(pointer: Pointer, level: u8, index: u64) -> NeedsPage {
    let bits = BITS * (u32::from(level) + 1);
    NeedsPage {
        pointer,
        level,
        first: index >> bits << bits,
    }
}

/// The indexes below each slot of a page, as far as they are in the range.
fn slots_of(level: u8, first: u64, range: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let each = 1_u64 << (BITS * u32::from(level));
    let (start, end) = (range.start, range.end);
    (0..PAGE_FAN_OUT)
        .map(move |at| (at, first + at as u64 * each))
        .filter(move |(_, below)| *below < end && below + each > start)
}

fn missing(slot: &Slot, level: u8, first: u64, range: &Range<u64>, out: &mut Vec<NeedsPage>) {
    match slot {
        Slot::Empty => {}
        Slot::Stored(pointer) => out.push(NeedsPage {
            pointer: *pointer,
            level,
            first,
        }),
        Slot::Loaded(page) => {
            let Body::Inner(slots) = &page.body else { return };
            for (at, below) in slots_of(level, first, range) {
                missing(&slots[at], level - 1, below, range, out);
            }
        }
    }
}

fn numbers(slot: &Slot, level: u8, first: u64, range: &Range<u64>, found: &mut dyn FnMut(u64, u64)) {
    let Slot::Loaded(page) = slot else { return };
    for (at, below) in slots_of(level, first, range) {
        match &page.body {
            Body::Leaf(leaf) if leaf[at] != 0 => found(below, leaf[at]),
            Body::Leaf(_) => {}
            Body::Inner(slots) => numbers(&slots[at], level - 1, below, range, found),
        }
    }
}

/// Stores a page and what is below it; a page without numbers is stored nowhere.
fn flush(
    page: &mut Page,
    level: u8,
    first: u64,
    put: &mut dyn FnMut(u64, &[u8; PAGE_LEN]) -> Pointer,
    retired: &mut dyn FnMut(Pointer),
) -> Option<Pointer> {
    if !page.dirty {
        return page.stored;
    }
    let each = 1_u64 << (BITS * u32::from(level));
    let numbers: [u64; PAGE_FAN_OUT] = match &mut page.body {
        Body::Leaf(numbers) => **numbers,
        Body::Inner(slots) => std::array::from_fn(|at| {
            let below = match &mut slots[at] {
                Slot::Empty => None,
                Slot::Stored(pointer) => Some(*pointer),
                Slot::Loaded(below) => flush(below, level - 1, first + at as u64 * each, put, retired),
            };
            below.map_or(0, Pointer::to_bits)
        }),
    };
    if let Some(before) = page.stored.take() {
        retired(before);
    }
    page.dirty = false;
    if numbers.iter().any(|number| *number != 0) {
        let mut bytes = [0; PAGE_LEN];
        for (to, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *to = number.to_le_bytes();
        }
        page.stored = Some(put(page_id(level, first), &bytes));
    }
    page.stored
}

fn shrink(slot: &mut Slot, more: &mut usize) {
    if let Slot::Loaded(page) = slot {
        if let Body::Inner(slots) = &mut page.body {
            for below in slots.iter_mut() {
                if *more == 0 {
                    return;
                }
                shrink(below, more);
            }
            if slots.iter().any(|below| matches!(below, Slot::Loaded(_))) {
                return;
            }
        }
        if *more > 0 && !page.dirty {
            *slot = page.stored.map_or(Slot::Empty, Slot::Stored);
            *more -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
