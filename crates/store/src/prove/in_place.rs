//! Proofs of what changes an object in place: ranged writes, sizes, holes.

use super::{Scratch, Step, always, not};
use bytes::Bytes;
use restblk_types::Extent;

/// Beyond a page and not a multiple of one.
const FAR: u64 = 70_001;

impl Scratch<'_> {
    /// A patch in the middle changes those bytes and no others; one past the end leaves zeros in the gap.
    pub(super) async fn write_at(&self) -> Step {
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"ABCDEFGH"), always())
            .await?;
        self.store
            .write_at(&key, 2, Bytes::from_static(b"1234"), false)
            .await?;
        let size = self.store.head(&key).await?.size;
        let found = self.whole(&key).await?;
        match &found[..] {
            b"AB1234GH" if size == 8 => {}
            b"1234" => return not("it replaced the whole object (4 bytes left of 8)"),
            b"1234EFGH" => return not("it landed at offset 0 instead of 2"),
            b"ABCDEFGH" => return not("it was answered with success and changed nothing"),
            _ => {
                return not(format!(
                    "4 bytes into the middle of 8 left a size of {size} and other bytes"
                ));
            }
        }
        self.store
            .write_at(&key, 6, Bytes::from_static(b"xyz"), false)
            .await?;
        self.expect(&key, b"AB1234xyz", "after a write over the end")
            .await?;
        self.store
            .write_at(&key, FAR, Bytes::from_static(b"far"), false)
            .await?;
        let mut wanted = b"AB1234xyz".to_vec();
        wanted.resize(70_001, 0);
        wanted.extend_from_slice(b"far");
        self.expect(&key, &wanted, "after a write past the end").await
    }

    /// The size grows with zeros and, where `shrinks`, shrinks for good.
    pub(super) async fn resize(&self, shrinks: bool) -> Step {
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"ABCDEFGH"), always())
            .await?;
        self.store.set_size(&key, FAR).await?;
        let mut wanted = b"ABCDEFGH".to_vec();
        wanted.resize(70_001, 0);
        self.expect(&key, &wanted, "after growing").await?;
        if shrinks {
            self.store.set_size(&key, 5).await?;
            self.expect(&key, b"ABCDE", "after shrinking").await?;
            self.store.set_size(&key, 9).await?;
            self.expect(&key, b"ABCDE\0\0\0\0", "after shrinking and growing")
                .await?;
        }
        Ok(())
    }

    /// A hole reads as zeros, and nothing else changes.
    pub(super) async fn punch(&self) -> Step {
        let key = self.key()?;
        let mut wanted = vec![0x5a; 12_300];
        self.store
            .put(&key, Bytes::from(wanted.clone()), always())
            .await?;
        let Some(hole) = Extent::new(4000, 4200) else {
            return not("a range of the proof overflows");
        };
        self.store.punch(&key, hole).await?;
        wanted[4000..8200].fill(0);
        self.expect(&key, &wanted, "after punching a hole").await
    }

    /// A durable write writes.
    pub(super) async fn durable_write(&self) -> Step {
        let key = self.key()?;
        self.store
            .put(&key, Bytes::from_static(b"ABCDEFGH"), always())
            .await?;
        self.store
            .write_at(&key, 2, Bytes::from_static(b"1234"), true)
            .await?;
        self.expect(&key, b"AB1234GH", "after a durable write").await
    }
}
