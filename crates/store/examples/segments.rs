//! What a store gives its bare client, as a log volume uses it: `segments CONFIG write|read COUNT`.
//!
//! CONFIG is a file with a `StoreConfig` in JSON (`-`: standard input). `write` creates COUNT objects of a segment's length, as many at once as
//! a volume has on their way; `read` reads them by ranges as long as a volume's longest, as many at once. Nothing is proved of the
//! store first, and nothing is removed. Prints what was moved, and MB/s, as JSON.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use restblk_store::{
    Key, MemoryStore, Precondition, Proof, Store, StoreConfig, StoreError, open_mirror_pinned,
};
use restblk_types::Extent;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

/// A segment, in bytes (docs/format.md).
const SEGMENT_LEN: usize = 8 << 20;
/// The longest ranged read of a volume, in bytes.
const RANGE_LEN: u64 = 1 << 20;
/// Requests at once: segments on their way, and what the benches' sequential jobs have under way.
const AT_ONCE: usize = 8;

type Opened = (Arc<dyn Store>, u64);

fn opened(config: &str, count: &str) -> Result<Opened, Box<dyn Error>> {
    let text = match config {
        "-" => std::io::read_to_string(std::io::stdin())?,
        file => std::fs::read_to_string(file)?,
    };
    let config: StoreConfig = serde_json::from_str(&text)?;
    let proof = Proof {
        mirrors: Vec::new(),
        dialect: None,
        capabilities: MemoryStore::new().capabilities(),
        notes: Vec::new(),
        proved_at_s: 0,
    };
    let url = config.urls.first().ok_or("the configuration has no URL")?.clone();
    Ok((open_mirror_pinned(&config, &url, &proof)?, count.parse()?))
}

fn key(number: u64) -> Key {
    #[expect(clippy::unwrap_used, reason = "a name of our own")]
    Key::new(format!("segments/{number}")).unwrap()
}

async fn write(store: &dyn Store, count: u64) -> Result<(), StoreError> {
    let mut data = vec![0; SEGMENT_LEN];
    rand::fill(&mut data[..]);
    let data = Bytes::from(data);
    stream::iter(0..count)
        .map(|number| {
            let data = data.clone();
            async move { store.put(&key(number), data, Precondition::Absent).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await
}

async fn read(store: &dyn Store, count: u64) -> Result<(), StoreError> {
    let ranges = SEGMENT_LEN as u64 / RANGE_LEN;
    stream::iter(0..count * ranges)
        .map(|at| async move {
            let range = Extent::new(at % ranges * RANGE_LEN, RANGE_LEN);
            store.get(&key(at / ranges), range).await
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|got| async move {
            drop(got.payload.into_bytes());
            Ok(())
        })
        .await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [config, way, count] = &given[..] else {
        return Err("usage: segments CONFIG write|read COUNT".into());
    };
    let (store, count) = opened(config, count)?;
    let begun = Instant::now();
    match way.as_str() {
        "write" => write(store.as_ref(), count).await?,
        "read" => read(store.as_ref(), count).await?,
        _ => return Err(format!("{way}: write or read").into()),
    }
    let moved = count * SEGMENT_LEN as u64;
    #[expect(clippy::cast_precision_loss, reason = "bytes in MB")]
    let rate = moved as f64 / 1e6 / begun.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "moved": moved, "figure": rate }));
    Ok(())
}
