//! The tree against a map in memory, with pages that come and go.

use super::*;
use proptest::prelude::*;
use restblk_format::log::{Kind, SegmentNumber};
use std::collections::{BTreeMap, HashMap};

/// Where pages are stored.
#[derive(Default)]
struct Pages {
    pages: HashMap<Pointer, (u64, [u64; PAGE_FAN_OUT])>,
    next: u32,
}

impl Pages {
    fn flush(&mut self, tree: &mut Radix) -> (Tree, Vec<Pointer>) {
        let mut gone = Vec::new();
        let (pages, next) = (&mut self.pages, &mut self.next);
        let stored = tree.flush(
            &mut |id, bytes| {
                *next += 1;
                let pointer = Pointer::new(SegmentNumber::new(Kind::Map, *next).unwrap(), 0, 64, 0).unwrap();
                let (numbers, _) = bytes.as_chunks();
                pages.insert(
                    pointer,
                    (id, std::array::from_fn(|at| u64::from_le_bytes(numbers[at]))),
                );
                pointer
            },
            &mut |pointer| gone.push(pointer),
        );
        (stored, gone)
    }

    fn install(&self, tree: &mut Radix, page: NeedsPage) {
        let (id, numbers) = &self.pages[&page.pointer];
        assert_eq!(*id, page.id());
        assert_eq!(page_of_id(*id), (page.level, page.first));
        tree.install(page, numbers);
    }

    fn with<T>(&self, tree: &mut Radix, mut work: impl FnMut(&mut Radix) -> Result<T, NeedsPage>) -> T {
        loop {
            match work(tree) {
                Ok(done) => return done,
                Err(page) => self.install(tree, page),
            }
        }
    }

    fn load(&self, tree: &mut Radix, range: Range<u64>) {
        loop {
            let mut missing = Vec::new();
            tree.missing(range.clone(), &mut missing);
            if missing.is_empty() {
                return;
            }
            for page in missing {
                self.install(tree, page);
            }
        }
    }

    /// The pages that a stored tree reaches.
    fn reached(&self, tree: Tree) -> Vec<Pointer> {
        let mut found: Vec<Pointer> = tree.root.into_iter().collect();
        let mut at = 0;
        while let Some(pointer) = found.get(at) {
            let (id, numbers) = &self.pages[pointer];
            if page_of_id(*id).0 > 0 {
                found.extend(
                    numbers
                        .iter()
                        .filter_map(|bits| Pointer::from_bits(*bits).unwrap()),
                );
            }
            at += 1;
        }
        found
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u64, u64),
    Get(u64),
    Range(u64, u64),
    Flush,
    Reopen,
    Shrink(usize),
}

fn index() -> impl Strategy<Value = u64> {
    // Near together, at the edges of pages and levels, and far apart.
    prop_oneof![
        0..300_u64,
        (0..5_u32, 0..4_u64).prop_map(|(level, by)| ((1_u64 << (7 * level)) + by).saturating_sub(2)),
        0..1_u64 << 35
    ]
    .prop_map(|index| index.min((1 << 35) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (index(), 0..4_u64).prop_map(|(index, number)| Step::Set(index, number << 40)),
        4 => index().prop_map(Step::Get),
        2 => (index(), 0..600_u64).prop_map(|(from, len)| Step::Range(from, from + len)),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => (0..20_usize).prop_map(Step::Shrink),
    ]
}

proptest! {
    #[test]
    fn a_tree_is_a_map(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut tree, mut pages, mut model) = (Radix::default(), Pages::default(), BTreeMap::new());
        let mut live: Vec<Pointer> = Vec::new();
        for step in steps {
            match step {
                Step::Set(index, number) => {
                    let before = pages.with(&mut tree, |tree| tree.set(index, number));
                    let wanted = if number == 0 { model.remove(&index) } else { model.insert(index, number) };
                    prop_assert_eq!(before, wanted.unwrap_or(0));
                }
                Step::Get(index) => {
                    let found = pages.with(&mut tree, |tree| tree.get(index));
                    prop_assert_eq!(found, model.get(&index).copied().unwrap_or(0));
                }
                Step::Range(from, to) => {
                    pages.load(&mut tree, from..to);
                    let mut found = Vec::new();
                    tree.numbers(from..to, &mut |index, number| found.push((index, number)));
                    let wanted: Vec<_> = model.range(from..to).map(|(index, number)| (*index, *number)).collect();
                    prop_assert_eq!(found, wanted);
                }
                Step::Flush | Step::Reopen => {
                    let before = pages.next;
                    let (stored, gone) = pages.flush(&mut tree);
                    // What is reached is what was, less what was retired, and what is new.
                    live.retain(|pointer| !gone.contains(pointer));
                    live.extend(pages.pages.keys().filter(|pointer| pointer.segment().number() > before));
                    let mut reached = pages.reached(stored);
                    live.sort_unstable();
                    reached.sort_unstable();
                    prop_assert_eq!(&reached, &live);
                    for pointer in reached {
                        let (level, first) = page_of_id(pages.pages[&pointer].0);
                        let found = pages.with(&mut tree, |tree| tree.stored_page(level, first));
                        prop_assert_eq!(found, Some(pointer));
                    }
                    prop_assert_eq!(tree.dirty(), 0);
                    if matches!(step, Step::Reopen) {
                        tree = Radix::open(stored);
                    }
                }
                Step::Shrink(keep) => {
                    tree.shrink(keep);
                    prop_assert!(tree.loaded() <= keep + tree.dirty());
                }
            }
        }
    }
}

#[test]
fn a_flush_writes_what_changed_alone() {
    let (mut tree, mut pages) = (Radix::default(), Pages::default());
    for index in 0..20_000 {
        pages.with(&mut tree, |tree| tree.set(index, index + 1));
    }
    pages.flush(&mut tree);
    assert_eq!(pages.next, 157 + 2 + 1, "128 numbers a page, 128 pages a page");
    pages.with(&mut tree, |tree| tree.set(5, 7));
    assert_eq!(tree.dirty(), 3);
    let (_, gone) = pages.flush(&mut tree);
    assert_eq!((pages.next, gone.len()), (163, 3));
}

/// All that differs within a range, page by page as it is asked for.
fn compared(pages: &Pages, before: &mut Radix, after: &mut Radix, mut range: Range<u64>) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    while !range.is_empty() {
        let some = compare(before, after, range.clone());
        assert!(some.until > range.start || !(some.before.is_empty() && some.after.is_empty()));
        assert!(
            some.found
                .iter()
                .all(|(index, _)| (range.start..some.until).contains(index))
        );
        found.extend(some.found);
        range.start = some.until;
        some.before
            .into_iter()
            .for_each(|page| pages.install(before, page));
        some.after.into_iter().for_each(|page| pages.install(after, page));
    }
    found
}

proptest! {
    #[test]
    fn what_differs_is_found_whatever_is_in_memory(
        first in prop::collection::vec((0..40_000_u64, 1..5_u64), 0..60),
        then in prop::collection::vec((prop_oneof![0..40_000_u64, 0..1_u64 << 30], 0..5_u64), 0..60),
        stored in any::<bool>(),
        window in (0..30_000_u64, 1..1_u64 << 31),
    ) {
        let mut pages = Pages::default();
        let (mut tree, mut was, mut is) = (Radix::default(), BTreeMap::new(), BTreeMap::new());
        for (index, number) in first {
            pages.with(&mut tree, |tree| tree.set(index, number));
            was.insert(index, number);
        }
        let (before, _) = pages.flush(&mut tree);
        is.clone_from(&was);
        for (index, number) in then {
            pages.with(&mut tree, |tree| tree.set(index, number));
            is.insert(index, number);
        }
        let mut after = if stored { Radix::open(pages.flush(&mut tree).0) } else { tree };
        let range = window.0..window.0 + window.1;
        let number = |map: &BTreeMap<u64, u64>, index| map.get(&index).copied().unwrap_or(0);
        let wanted: Vec<(u64, u64)> = is
            .range(range.clone())
            .filter(|(index, is)| number(&was, **index) != **is)
            .map(|(index, is)| (*index, *is))
            .collect();
        let found = compared(&pages, &mut Radix::open(before), &mut after, range.clone());
        prop_assert_eq!(&found, &wanted);
        // And back.
        let found = compared(&pages, &mut after, &mut Radix::open(before), range);
        let back: Vec<(u64, u64)> = wanted.iter().map(|(index, _)| (*index, number(&was, *index))).collect();
        prop_assert_eq!(found, back);
    }
}
