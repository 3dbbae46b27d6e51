//! Proofs of what changes an object in place: ranged writes, sizes, holes. All in units of the store's alignment.

use super::{Fail, Scratch, Step, always, not};
use crate::Key;
use bytes::Bytes;
use restblk_types::Extent;

/// Beyond a page and, where the store allows it, not a multiple of one.
const FAR: u64 = 70_001;

impl Scratch<'_> {
    fn unit(&self) -> u64 {
        self.store.capabilities().write_align.max(1)
    }

    /// The number of bytes, or the next one that the store's alignment allows.
    fn aligned(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.unit())
    }

    /// One unit filled with each of these letters.
    pub(super) fn units(&self, letters: &[u8]) -> Bytes {
        let len = usize::try_from(self.unit()).unwrap_or(1);
        letters
            .iter()
            .flat_map(|letter| std::iter::repeat_n(*letter, len))
            .collect()
    }

    /// A new object for changes in place, of these units.
    pub(super) async fn made(&self, letters: &[u8]) -> Result<Key, Fail> {
        let key = self.key()?;
        self.store.create(&key, always()).await?;
        self.store.write_at(&key, 0, self.units(letters), false).await?;
        Ok(key)
    }

    async fn expect_units(&self, key: &Key, letters: &[u8], after: &str) -> Step {
        self.expect(key, &self.units(letters), after).await
    }

    /// A patch in the middle changes those bytes and no others; one past the end leaves zeros in the gap.
    pub(super) async fn write_at(&self) -> Step {
        let unit = self.unit();
        let key = self.made(b"ABCDEFGH").await?;
        self.store
            .write_at(&key, 2 * unit, self.units(b"1234"), false)
            .await?;
        let size = self.store.head(&key).await?.size;
        let found = self.whole(&key).await?;
        let (patch, all) = (4 * unit, 8 * unit);
        if found == self.units(b"1234") {
            return not(format!(
                "it replaced the whole object ({patch} bytes left of {all})"
            ));
        } else if found == self.units(b"1234EFGH") {
            return not(format!("it landed at offset 0 instead of {}", 2 * unit));
        } else if found == self.units(b"ABCDEFGH") {
            return not("it was answered with success and changed nothing");
        } else if found != self.units(b"AB1234GH") || size != all {
            return not(format!(
                "{patch} bytes into the middle of {all} left a size of {size} and other bytes"
            ));
        }
        self.store
            .write_at(&key, 6 * unit, self.units(b"xyz"), false)
            .await?;
        self.expect_units(&key, b"AB1234xyz", "after a write over the end")
            .await?;
        let far = self.aligned(FAR);
        self.store.write_at(&key, far, self.units(b"far"), false).await?;
        let mut wanted = self.grown(b"AB1234xyz", far);
        wanted.extend_from_slice(&self.units(b"far"));
        self.expect(&key, &wanted, "after a write past the end").await
    }

    /// The units, and zeros up to this size.
    fn grown(&self, letters: &[u8], size: u64) -> Vec<u8> {
        let mut bytes = self.units(letters).to_vec();
        bytes.resize(usize::try_from(size).unwrap_or(0), 0);
        bytes
    }

    /// The size grows with zeros and, where `shrinks`, shrinks for good.
    pub(super) async fn resize(&self, shrinks: bool) -> Step {
        let unit = self.unit();
        let key = self.made(b"ABCDEFGH").await?;
        let far = self.aligned(FAR);
        self.store.set_size(&key, far).await?;
        self.expect(&key, &self.grown(b"ABCDEFGH", far), "after growing")
            .await?;
        if shrinks {
            self.store.set_size(&key, 5 * unit).await?;
            self.expect_units(&key, b"ABCDE", "after shrinking").await?;
            self.store.set_size(&key, 9 * unit).await?;
            self.expect_units(&key, b"ABCDE\0\0\0\0", "after shrinking and growing")
                .await?;
        }
        Ok(())
    }

    /// A hole reads as zeros, and nothing else changes.
    pub(super) async fn punch(&self) -> Step {
        let Some(hole) = Extent::new(self.aligned(4000), self.aligned(4200)) else {
            return not("a range of the proof overflows");
        };
        let size = self.aligned(12_300).max(hole.end() + self.unit());
        let usize_of = |bytes: u64| usize::try_from(bytes).unwrap_or(0);
        let mut wanted = vec![0x5a; usize_of(size)];
        let key = self.key()?;
        self.store.create(&key, always()).await?;
        self.store
            .write_at(&key, 0, Bytes::from(wanted.clone()), false)
            .await?;
        self.store.punch(&key, hole).await?;
        wanted[usize_of(hole.offset())..usize_of(hole.end())].fill(0);
        self.expect(&key, &wanted, "after punching a hole").await
    }

    /// A durable write writes.
    pub(super) async fn durable_write(&self) -> Step {
        let key = self.made(b"ABCDEFGH").await?;
        self.store
            .write_at(&key, 2 * self.unit(), self.units(b"1234"), true)
            .await?;
        self.expect_units(&key, b"AB1234GH", "after a durable write")
            .await
    }
}
