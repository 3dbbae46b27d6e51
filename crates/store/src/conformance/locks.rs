//! Locks: a change without the token is refused, one with a broken lock's token fenced.

use super::{Bench, Check, Failure, ensure, fails};
use crate::Key;
use restblk_types::ErrorKind;

/// An object of blocks that can be locked; `None` where the store has no locks, and says so.
async fn lockable(bench: &Bench) -> Result<Option<Key>, Failure> {
    let can = bench.store.capabilities();
    if can.lock && can.write_at {
        return bench.create("x", &[b'a'; 4096]).await.map(Some);
    }
    let key = bench.put("x", b"").await?;
    fails(
        bench.store.lock(&key, "a test", false).await,
        ErrorKind::Unsupported,
        "lock",
    )?;
    Ok(None)
}

async fn refused(bench: &Bench, key: &Key, kind: ErrorKind, what: &str) -> Check {
    let data = bytes::Bytes::from(vec![b'!'; 4096]);
    fails(
        bench.store.write_at(key, 0, data, false).await,
        kind,
        &format!("{what}: write"),
    )?;
    fails(
        bench.store.delete(key, crate::Precondition::Always).await,
        kind,
        &format!("{what}: delete"),
    )
}

pub(super) async fn a_lock_keeps_others_out(bench: &Bench) -> Check {
    let missing = bench.key("missing");
    if bench.store.capabilities().lock {
        fails(
            bench.store.lock(&missing, "a test", false).await,
            ErrorKind::NotFound,
            "lock what is missing",
        )?;
    }
    let Some(key) = lockable(bench).await? else {
        return Ok(());
    };
    let lock = bench.store.lock(&key, "a test", false).await?;
    refused(bench, &key, ErrorKind::Busy, "without the token").await?;
    fails(
        bench.store.lock(&key, "another", false).await,
        ErrorKind::Busy,
        "a second lock",
    )?;
    bench.holds(&key, &[b'a'; 4096], "locked").await?;
    bench.store.present_lock(&key, Some(lock.token.clone()));
    bench.write(&key, 0, &[b'b'; 4096]).await?;
    bench.store.refresh_lock(&key, &lock.token).await?;
    bench.write(&key, 4096, &[b'c'; 4096]).await?;
    bench.store.unlock(&key, &lock.token).await?;
    bench.store.unlock(&key, &lock.token).await?;
    bench.store.present_lock(&key, None);
    bench.write(&key, 0, &[b'c'; 4096]).await?;
    bench.holds(&key, &[b'c'; 8192], "unlocked").await
}

pub(super) async fn a_broken_lock_fences_its_holder(bench: &Bench) -> Check {
    let Some(key) = lockable(bench).await? else {
        return Ok(());
    };
    let old = bench.store.lock(&key, "the first", false).await?;
    let new = bench.store.lock(&key, "the second", true).await?;
    bench.store.present_lock(&key, Some(old.token.clone()));
    refused(bench, &key, ErrorKind::Fenced, "with a broken lock").await?;
    fails(
        bench.store.refresh_lock(&key, &old.token).await,
        ErrorKind::Fenced,
        "refresh a broken lock",
    )?;
    // It is not the old holder's to let go.
    bench.store.unlock(&key, &old.token).await?;
    bench.store.present_lock(&key, Some(new.token.clone()));
    bench.write(&key, 0, &[b'n'; 4096]).await?;
    bench.store.unlock(&key, &new.token).await?;
    // It may have run out just as well: who holds nothing is fenced, or told to wait until it knows.
    let late = bench
        .store
        .write_at(&key, 0, bytes::Bytes::from(vec![b'!'; 4096]), false)
        .await;
    ensure(
        late.as_ref()
            .is_err_and(|error| matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Unavailable)),
        || format!("a write with the token of a lock that was let go: {late:?}"),
    )?;
    bench.store.present_lock(&key, None);
    bench.holds(&key, &[b'n'; 4096], "after all").await
}
