//! The ring's threads in orders that a real scheduler hardly ever takes: two who put, one who reads, and the disk's, around a file of a few
//! regions. By chance, and by few changes of the order (PCT). A failure prints the schedule, which `shuttle::replay` takes.

use crate::region::{self, Key, REGION_LEN};
use crate::ring::{Found, Ring};
use shuttle::thread;
use std::fs::File;
use std::sync::Arc;

const REGIONS: u64 = 4;
/// Blobs of each who puts: together they go around the file.
const BLOBS: u64 = 8;
const ROUNDS: usize = 200;

fn key(n: u64) -> Key {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&n.to_le_bytes());
    key
}

/// Two or three of them fill a region.
fn blob(n: u64) -> Vec<u8> {
    vec![n.to_le_bytes()[0] + 1; 30_000 + usize::try_from(n).unwrap() * 1000]
}

fn ring(file: &File) -> Arc<Ring> {
    Arc::new(Ring::new(file.try_clone().unwrap(), REGIONS, 1 << 10))
}

/// The disk's thread.
fn disk(ring: &Arc<Ring>) -> thread::JoinHandle<()> {
    let ring = Arc::clone(ring);
    thread::spawn(move || crate::cache::run(&ring))
}

/// Puts it, in vain where the disk is behind for long.
fn put(ring: &Ring, n: u64) {
    for _ in 0..20 {
        ring.put(&key(n), &blob(n));
        if ring.index.has(region::hash(&key(n))) {
            return;
        }
        thread::yield_now();
    }
}

/// What is there is what was put: a place that does not have it is one that is not told any more.
fn look(ring: &Ring, n: u64) -> bool {
    let hash = region::hash(&key(n));
    let Some(mut place) = ring.index.find(hash) else {
        return false;
    };
    loop {
        let bytes = match ring.find(place) {
            Some(Found::Memory(bytes)) => Some(bytes),
            Some(Found::Disk) => ring.read(place),
            None => return false,
        };
        if let Some(found) = bytes.and_then(|bytes| region::blob(&bytes.into(), &key(n))) {
            assert_eq!(found, blob(n));
            return true;
        }
        match ring.index.find(hash) {
            Some(now) if now == place => panic!("{n} is told to be at {place:?}, and is not"),
            Some(now) => place = now,
            None => return false,
        }
    }
}

fn around() {
    let file = tempfile::tempfile().unwrap();
    let first = ring(&file);
    let disk_thread = disk(&first);
    let putters = [0, BLOBS].map(|from| {
        let ring = Arc::clone(&first);
        thread::spawn(move || (from..from + BLOBS).for_each(|n| put(&ring, n)))
    });
    let reader = {
        let ring = Arc::clone(&first);
        thread::spawn(move || {
            for n in (0..2 * BLOBS).chain(0..2 * BLOBS) {
                look(&ring, n);
            }
        })
    };
    for putter in putters {
        putter.join().unwrap();
    }
    reader.join().unwrap();
    first.close();
    disk_thread.join().unwrap();
    assert!(file.metadata().unwrap().len() <= REGIONS * REGION_LEN as u64);

    let second = ring(&file);
    let disk_thread = disk(&second);
    while second
        .find(crate::index::Place {
            region: 0,
            offset: 0,
            len: 0,
        })
        .is_none()
    {
        thread::yield_now();
    }
    let there = (0..2 * BLOBS).filter(|n| look(&second, *n)).count();
    assert!(there > 0, "nothing is found again");
    second.close();
    disk_thread.join().unwrap();
}

#[test]
fn no_order_of_threads_gives_back_another_blob_or_hangs() {
    shuttle::check_random(around, ROUNDS);
    shuttle::check_pct(around, ROUNDS, 3);
}
