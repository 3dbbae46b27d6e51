//! Proof that a state has one ETag: changes in quick succession leave different ones.
//!
//! A server that makes ETags of times and sizes gives one to two states when they follow each other within the clock's
//! tick, and a compare-and-set in between would lose a change.

use super::{Scratch, Step, always, not};
use crate::{ETag, Key};
use bytes::Bytes;
use std::collections::HashSet;

/// Changes of one size, each right after the other.
const CHANGES: u8 = 24;

impl Scratch<'_> {
    async fn note(&self, key: &Key, seen: &mut HashSet<ETag>) -> Step {
        if seen.insert(self.tag(key).await?) {
            return Ok(());
        }
        not("two states that followed each other quickly have one ETag")
    }

    /// Each put leaves another ETag, and so does each write where the store `writes` in place.
    pub(super) async fn states(&self, writes: bool) -> Step {
        let (key, mut seen) = (self.key()?, HashSet::new());
        for change in 0..CHANGES {
            self.store
                .put(&key, Bytes::from(vec![change; 16]), always())
                .await?;
            self.note(&key, &mut seen).await?;
        }
        if !writes {
            return Ok(());
        }
        let (key, mut seen) = (self.made(b"s").await?, HashSet::new());
        self.note(&key, &mut seen).await?;
        for change in 0..CHANGES {
            self.store.write_at(&key, 0, self.units(&[change]), false).await?;
            self.note(&key, &mut seen).await?;
        }
        Ok(())
    }
}
