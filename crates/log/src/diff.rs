//! What differs between two stored trees: pages that both have are not read, so it costs what was changed.

use crate::LogError;
use crate::core::{Core, page_numbers};
use crate::tree::NeedsPage;
use restblk_format::log::{PAGE_FAN_OUT, Pointer, Tree};
use std::ops::ControlFlow;

/// A block, or a page, that is another one in the second tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The block; none for a page.
    pub(crate) block: Option<u64>,
    pub(crate) before: Option<Pointer>,
    pub(crate) after: Option<Pointer>,
}

/// A page of each tree that covers the same indexes.
struct Pair {
    level: u8,
    first: u64,
    before: Option<Pointer>,
    after: Option<Pointer>,
}

/// Tells every difference, in no order, until it is broken off.
pub(crate) async fn diff(
    core: &Core,
    before: Tree,
    after: Tree,
    told: &mut (dyn FnMut(Change) -> ControlFlow<()> + Send),
) -> Result<(), LogError> {
    let Some(top) = before.levels.max(after.levels).checked_sub(1) else {
        return Ok(());
    };
    // The root of the lower tree is met on the way down the leftmost pages of the higher one.
    let root =
        |tree: Tree, level: u8, first: u64| tree.root.filter(|_| first == 0 && tree.levels == level + 1);
    let mut pairs = vec![Pair {
        level: top,
        first: 0,
        before: root(before, top, 0),
        after: root(after, top, 0),
    }];
    while let Some(pair) = pairs.pop() {
        if pair.before != pair.after {
            let change = Change {
                block: None,
                before: pair.before,
                after: pair.after,
            };
            if told(change).is_break() {
                return Ok(());
            }
        }
        let left = numbers(core, pair.before, &pair).await?;
        let right = numbers(core, pair.after, &pair).await?;
        let each = 1_u64 << (PAGE_FAN_OUT.trailing_zeros() * u32::from(pair.level));
        for (first, (left, right)) in (0..)
            .map(|at| pair.first + at * each)
            .zip(left.into_iter().zip(right))
        {
            let pointer = |bits: u64| Pointer::from_bits(bits).ok().flatten();
            let (mut left, mut right) = (pointer(left), pointer(right));
            if pair.level == 0 {
                let change = Change {
                    block: Some(first),
                    before: left,
                    after: right,
                };
                if left != right && told(change).is_break() {
                    return Ok(());
                }
                continue;
            }
            let below = pair.level - 1;
            left = left.or(root(before, below, first));
            right = right.or(root(after, below, first));
            let lower_root = first == 0 && (before.levels <= below || after.levels <= below);
            if left != right || lower_root {
                pairs.push(Pair {
                    level: below,
                    first,
                    before: left,
                    after: right,
                });
            }
        }
    }
    Ok(())
}

async fn numbers(
    core: &Core,
    pointer: Option<Pointer>,
    pair: &Pair,
) -> Result<[u64; PAGE_FAN_OUT], LogError> {
    let Some(pointer) = pointer else {
        return Ok([0; PAGE_FAN_OUT]);
    };
    let page = NeedsPage {
        pointer,
        level: pair.level,
        first: pair.first,
    };
    let frame = core.frame(pointer).await?;
    let frame = frame.ok_or_else(|| LogError::corrupt(pointer, "a page that is to be compared is gone"))?;
    page_numbers(&frame, page)
}
