//! Listings.

use super::{Bench, Check, ensure};
use crate::Key;
use std::collections::BTreeSet;

fn folder(bench: &Bench) -> Key {
    Key::new(bench.folder.clone()).unwrap_or_else(|error| panic!("a check's own name: {error}"))
}

pub(super) async fn a_folder_lists_its_objects(bench: &Bench) -> Check {
    let folder = folder(bench);
    if !bench.store.capabilities().list {
        return super::fails(
            bench.store.list(Some(&folder), None, 10).await,
            restblk_types::ErrorKind::Unsupported,
            "list",
        );
    }
    let empty = bench.store.list(Some(&folder), None, 10).await?;
    ensure(empty.entries.is_empty() && empty.next.is_none(), || {
        "a missing folder is not empty".to_owned()
    })?;
    for name in ["a", "b c", "ü%", "sub/x", "sub/deeper/y"] {
        bench.put(name, name.as_bytes()).await?;
    }
    let page = bench.store.list(Some(&folder), None, 100).await?;
    let found: BTreeSet<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    let wanted: Vec<String> = ["a", "b c", "ü%"]
        .iter()
        .map(|name| format!("{folder}/{name}"))
        .collect();
    ensure(found == wanted.iter().map(String::as_str).collect(), || {
        format!("it lists {found:?}")
    })?;
    for entry in page.entries {
        let name_len = entry.key.as_str().len() - folder.as_str().len() - 1;
        ensure(entry.size.is_none_or(|size| size == name_len as u64), || {
            format!("{entry:?} has another size")
        })?;
    }
    let sub = bench.store.list(Some(&bench.key("sub")), None, 100).await?;
    ensure(
        sub.entries.len() == 1 && sub.entries[0].key == bench.key("sub/x"),
        || format!("sub has {sub:?}"),
    )?;
    // The top answers, whatever else is there.
    bench
        .store
        .list(None, None, 10)
        .await
        .map(drop)
        .map_err(Into::into)
}

pub(super) async fn pages_tell_each_object_once(bench: &Bench) -> Check {
    if !bench.store.capabilities().list {
        return Ok(());
    }
    let mut wanted = BTreeSet::new();
    for n in 0..23 {
        wanted.insert(bench.put(&format!("object-{n:03}"), b"x").await?);
    }
    for limit in [1, 5, 23, 24, 1000] {
        let (mut found, mut start) = (Vec::new(), None);
        for _ in 0..40 {
            let page = bench
                .store
                .list(Some(&folder(bench)), start.as_deref(), limit)
                .await?;
            found.extend(page.entries.into_iter().map(|entry| entry.key));
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        ensure(start.is_none(), || format!("pages of {limit} do not end"))?;
        let once: BTreeSet<Key> = found.iter().cloned().collect();
        ensure(found.len() == once.len(), || {
            format!("pages of {limit} tell an object twice")
        })?;
        ensure(once == wanted, || {
            format!("pages of {limit} tell {} of 23 objects", once.len())
        })?;
    }
    Ok(())
}
