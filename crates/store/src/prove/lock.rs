//! Proof of locks: a change without the token is refused, and so is one with the token of a lock that was broken.

use super::{Fail, Scratch, Step, not};
use crate::Precondition;
use bytes::Bytes;
use restblk_types::ErrorKind;

/// A multiple of every store's alignment.
const BLOCK_LEN: usize = 4096;

impl Scratch<'_> {
    /// A lock keeps a change without its token out and lets one with it in; a broken lock fences its holder.
    pub(super) async fn lock(&self) -> Step {
        let key = self.key()?;
        let block = |fill: u8| Bytes::from(vec![fill; BLOCK_LEN]);
        self.store.create(&key, Precondition::Always).await?;
        self.store.write_at(&key, 0, block(b'a'), false).await?;
        let first = self.store.lock(&key, "restblk, trying out locks", false).await?;
        let without = self.store.write_at(&key, 0, block(b'x'), false).await;
        self.store.present_lock(&key, Some(first.token.clone()));
        let with = self.store.write_at(&key, 0, block(b'b'), false).await;
        let second = self.store.lock(&key, "restblk, trying out locks", true).await;
        let broken = self.store.write_at(&key, 0, block(b'x'), false).await;
        self.store.present_lock(&key, None);
        self.store
            .unlock(
                &key,
                &second.as_ref().map_or(first.token, |lock| lock.token.clone()),
            )
            .await?;
        with?;
        second?;
        for (outcome, kind, who) in [
            (without, ErrorKind::Busy, "without the lock's token"),
            (
                broken,
                ErrorKind::Fenced,
                "with the token of a lock that was broken",
            ),
        ] {
            match outcome {
                Ok(_) => return not(format!("a locked object was changed {who}")),
                Err(error) if error.kind() == kind => {}
                Err(error) if error.kind().is_transient() => return Err(Fail::Passing(error)),
                Err(error) => return Err(error.into()),
            }
        }
        self.expect(&key, &[b'b'; BLOCK_LEN], "after a lock was broken")
            .await
    }
}
