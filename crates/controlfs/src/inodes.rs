//! Numbers for what the kernel has looked up, for as long as it remembers it.
//!
//! A number is a hash of the node, so that a listing and a lookup give the same one without keeping what was only
//! listed. What is looked up is kept with a count until the kernel forgets it: a host that attaches for years must not
//! collect names.

use crate::node::Node;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of the root, fixed by the protocol.
const ROOT: u64 = 1;

/// Nodes that the kernel knows, with how often it was told of each.
#[derive(Default)]
pub(crate) struct Inodes {
    known: Mutex<HashMap<u64, (Node, u64)>>,
}

impl Inodes {
    /// The number of a node.
    pub(crate) fn number(node: &Node) -> u64 {
        if *node == Node::ROOT {
            return ROOT;
        }
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        // 0 means nothing to the kernel, and 1 the root.
        hasher.finish().max(ROOT + 1)
    }

    /// Keeps a node of which the kernel is told now.
    pub(crate) fn remember(&self, node: &Node) {
        let mut known = self.lock();
        known
            .entry(Self::number(node))
            .or_insert_with(|| (node.clone(), 0))
            .1 += 1;
    }

    /// The kernel takes back so many lookups of a number.
    pub(crate) fn forget(&self, number: u64, lookups: u64) {
        let mut known = self.lock();
        if let Some((_, count)) = known.get_mut(&number) {
            *count = count.saturating_sub(lookups);
            if *count == 0 {
                known.remove(&number);
            }
        }
    }

    /// The node of a number.
    pub(crate) fn get(&self, number: u64) -> Option<Node> {
        if number == ROOT {
            return Some(Node::ROOT);
        }
        self.lock().get(&number).map(|(node, _)| node.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (Node, u64)>> {
        // Every change is made whole before anything can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_lives_as_long_as_the_kernel_knows_it() {
        let inodes = Inodes::default();
        let node = Node::Device(None, "d".into());
        let number = Inodes::number(&node);
        inodes.remember(&node);
        inodes.remember(&node);
        inodes.forget(number, 1);
        assert_eq!(inodes.get(number), Some(node));
        inodes.forget(number, 1);
        assert_eq!(inodes.get(number), None);
        assert_eq!(inodes.get(1), Some(Node::ROOT));
    }
}
