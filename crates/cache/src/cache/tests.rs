use super::*;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const SIZE: u64 = REGIONS_MIN * REGION_LEN as u64;

fn key(n: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_le_bytes());
    key
}

/// Of another length for each, up to some 40 KiB.
fn blob(n: u64) -> Vec<u8> {
    let len = n * 7919 % 40_000 + 1;
    (0..len).map(|at| (at * 31 + n * 17).to_le_bytes()[0]).collect()
}

/// Opens it, and waits until it has read what is there.
async fn open(path: &Path, size: u64) -> Cache {
    let cache = Cache::open(path, size, 1 << 20).unwrap();
    while cache
        .ring
        .find(crate::index::Place {
            region: 0,
            offset: 0,
            len: 0,
        })
        .is_none()
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cache
}

/// Puts it, again where the disk was behind.
async fn put(cache: &Cache, n: u64) {
    while !cache.has(&key(n)) {
        cache.put(&key(n), &blob(n));
        if !cache.has(&key(n)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn what_was_put_last_is_there_and_is_right_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let mut cache = open(&path, SIZE).await;
    // Some 200 blobs a region: three times around.
    for round in 0..3_u64 {
        for n in round * 1600..(round + 1) * 1600 {
            put(&cache, n).await;
            assert_eq!(cache.get(&key(n)).await.unwrap(), blob(n), "just put");
        }
        let mut there = 0;
        for n in 0..(round + 1) * 1600 {
            if let Some(found) = cache.get(&key(n)).await {
                assert_eq!(found, blob(n));
                there += 1;
            }
        }
        assert!((500..=2000).contains(&there), "{there} blobs in 32 MiB");
        for n in (round + 1) * 1600 - 200..(round + 1) * 1600 {
            assert_eq!(cache.get(&key(n)).await.unwrap(), blob(n), "one of the last");
        }
        drop(cache);
        cache = open(&path, SIZE).await;
        for n in (round + 1) * 1600 - 200..(round + 1) * 1600 {
            assert_eq!(cache.get(&key(n)).await.unwrap(), blob(n), "after a restart");
        }
        assert_eq!(cache.figures().bad, 0);
    }
    assert!(std::fs::metadata(&path).unwrap().len() <= SIZE);
}

#[tokio::test]
async fn what_is_asked_for_stays_and_the_rest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(&folder.path().join("cache"), SIZE).await;
    for n in 0..50 {
        put(&cache, n).await;
    }
    for n in 50..6000 {
        put(&cache, n).await;
        if n % 100 == 0 {
            for old in 0..50 {
                assert_eq!(
                    cache.get(&key(old)).await.unwrap(),
                    blob(old),
                    "asked for again and again"
                );
            }
        }
    }
    assert!(!cache.has(&key(60)), "nobody asked for it");
}

#[tokio::test]
async fn a_damaged_file_is_a_miss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = open(&path, SIZE).await;
    for n in 0..400 {
        put(&cache, n).await;
    }
    drop(cache);
    let cache = open(&path, SIZE).await;
    let raw = OpenOptions::new().write(true).open(&path).unwrap();
    // Behind the first table, so that all of them are believed to be there.
    for at in (40_000..4 << 20).step_by(1024) {
        raw.write_at(&[0xee], at).unwrap();
    }
    let mut lost = 0;
    for n in 0..400 {
        match cache.get(&key(n)).await {
            Some(found) => assert_eq!(found, blob(n)),
            None => lost += 1,
        }
    }
    assert!((100..350).contains(&lost), "{lost}");
    assert_eq!(cache.figures().bad, lost);
    // And can be put again.
    put(&cache, 0).await;
    assert_eq!(cache.get(&key(0)).await.unwrap(), blob(0));
    drop(cache);
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    let cache = open(&path, SIZE).await;
    assert_eq!(cache.figures().entries, 0, "anything at all in the file");
}

#[tokio::test]
async fn another_size_and_few_entries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = open(&path, 2 * SIZE).await;
    for n in 0..2000 {
        put(&cache, n).await;
    }
    drop(cache);
    let cache = open(&path, SIZE).await;
    assert!(std::fs::metadata(&path).unwrap().len() <= SIZE);
    for n in 0..4000 {
        if let Some(found) = cache.get(&key(n)).await {
            assert_eq!(found, blob(n));
        }
        put(&cache, n).await;
    }
    drop(cache);
    let cache = Cache::open(&path, SIZE, 300).unwrap();
    for n in 4000..8000 {
        put(&cache, n).await;
    }
    let entries = cache.figures().entries;
    assert!(
        entries < 300 + 4 * 400,
        "{entries}: a few regions more than allowed"
    );
    assert!(matches!(Cache::open(&path, SIZE, 300), Err(CacheError::InUse(_))));
    assert!(matches!(
        Cache::open(&path, SIZE - 1, 300),
        Err(CacheError::Small(_))
    ));
    let nowhere = Cache::open(&folder.path().join("none/cache"), SIZE, 300);
    assert!(matches!(nowhere, Err(CacheError::File { what: "open", .. })));
}

/// Reads zeros, and is full.
#[tokio::test]
async fn a_disk_that_fails_costs_nothing_but_hits() {
    let cache = match Cache::open(Path::new("/dev/full"), SIZE, 1 << 20) {
        Ok(cache) => cache,
        Err(error) => panic!("{error}"),
    };
    for n in 0..2000 {
        cache.put(&key(n), &blob(n));
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for n in 0..2000 {
        if let Some(found) = cache.get(&key(n)).await {
            assert_eq!(found, blob(n));
        }
    }
    assert!(cache.figures().failed > 0);
}

#[tokio::test]
async fn one_that_is_being_read_can_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    // So many regions that their reading is cut off by the close.
    let cache = Cache::open(&path, 16_384 * REGION_LEN as u64, 300).unwrap();
    let closed = tokio::task::spawn_blocking(move || drop(cache));
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    closed.expect("it is closed").unwrap();
}
