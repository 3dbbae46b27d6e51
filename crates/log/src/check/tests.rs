//! Damage of every kind to every kind of object, told and put right; and rebuilds from segments alone against a reference volume.

use super::{How, Problem, Progress, Repair, Repaired, Report, Teller, check, repair};
use crate::shelf::{Series, Shelf};
use crate::test_volume::{id, writer};
use crate::{DataKey, Durability, Local, LogVolume, Options, create};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_format::log::{Kind, ObjectType};
use restblk_store::{Key, MemoryStore, Precondition, Store};
use restblk_types::{ErrorKind, VolumeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

mod damage;
mod rebuilt;

const BLOCK: usize = 4096;

/// A data key; nobody keeps secrets with it.
fn a_key() -> DataKey {
    DataKey::new(Zeroizing::new([7; 32]))
}

fn options() -> Options {
    Options {
        durability: Durability::Remote,
        segments_per_checkpoint: 4,
        ..Options::default()
    }
}

async fn open(store: &Arc<dyn Store>, volume: VolumeId, key: Option<&DataKey>) -> LogVolume {
    LogVolume::open(store.clone(), volume, writer(key), options(), Local::default())
        .await
        .unwrap()
}

fn deaf(_: Progress) {}

async fn look(store: &Arc<dyn Store>, volume: VolumeId, key: Option<&DataKey>, deep: bool) -> Report {
    let how = How { deep, garbage: true };
    check(store.clone(), volume, key.cloned(), how, Teller::new(&deaf))
        .await
        .unwrap()
}

async fn mend(store: &Arc<dyn Store>, volume: VolumeId, key: Option<&DataKey>, what: Repair) -> Repaired {
    repair(
        store.clone(),
        volume,
        what,
        &writer(key),
        None,
        Teller::new(&deaf),
    )
    .await
    .unwrap()
}

/// What a change writes to a block; 0 are zeros.
fn data(tag: u32, block: usize) -> Vec<u8> {
    if tag == 0 {
        return vec![0; BLOCK];
    }
    let word = (block as u64) << 32 | u64::from(tag);
    word.to_le_bytes().repeat(BLOCK / 8)
}

/// A volume and what must be in it.
struct Model {
    store: Arc<dyn Store>,
    id: VolumeId,
    key: Option<DataKey>,
    blocks: Vec<u32>,
    snapshots: BTreeMap<u64, Vec<u32>>,
    tag: u32,
    /// Snapshots so far.
    made: u32,
}

impl Model {
    async fn new(blocks: usize, key: Option<DataKey>) -> (Self, LogVolume) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        create(
            store.clone(),
            id(1),
            (blocks * BLOCK) as u64,
            &writer(key.as_ref()),
        )
        .await
        .unwrap();
        let volume = open(&store, id(1), key.as_ref()).await;
        let model = Self {
            store,
            id: id(1),
            key,
            blocks: vec![0; blocks],
            snapshots: BTreeMap::new(),
            tag: 0,
            made: 0,
        };
        (model, volume)
    }

    async fn write(&mut self, volume: &LogVolume, blocks: std::ops::Range<usize>) {
        self.tag += 1;
        let bytes: Vec<u8> = blocks.clone().flat_map(|block| data(self.tag, block)).collect();
        let at = (blocks.start * BLOCK) as u64;
        volume.write(at, &bytes, WriteFlags::default()).await.unwrap();
        self.blocks[blocks].fill(self.tag);
    }

    async fn discard(&mut self, volume: &LogVolume, blocks: std::ops::Range<usize>) {
        let (at, len) = ((blocks.start * BLOCK) as u64, (blocks.len() * BLOCK) as u64);
        volume.discard(at, len).await.unwrap();
        self.blocks[blocks].fill(0);
    }

    async fn snapshot(&mut self, volume: &LogVolume) -> u64 {
        self.made += 1;
        let name = format!("s{}", self.made);
        let id = volume.snapshot(&name, "").await.unwrap();
        self.snapshots.insert(id, self.blocks.clone());
        id
    }

    /// Reads the volume and its snapshots on this store; returns the blocks that cannot be read, of the volume and of each snapshot. Whatever can be
    /// read must be right.
    async fn verify(&self, store: &Arc<dyn Store>) -> BTreeMap<Option<u64>, Vec<usize>> {
        let volume = open(store, self.id, self.key.as_ref()).await;
        let mut lost = BTreeMap::new();
        lost.insert(None, unreadable(&volume, &self.blocks).await);
        for snapshot in volume.snapshots() {
            let view = volume.view(snapshot.id).unwrap();
            lost.insert(
                Some(snapshot.id),
                unreadable(&view, &self.snapshots[&snapshot.id]).await,
            );
        }
        volume.stop().await.unwrap();
        lost
    }
}

async fn unreadable(device: &dyn BlockDevice, wanted: &[u32]) -> Vec<usize> {
    let mut lost = Vec::new();
    let mut found = vec![0; BLOCK];
    for (block, tag) in wanted.iter().enumerate() {
        match device.read((block * BLOCK) as u64, &mut found).await {
            Ok(()) => assert!(found == data(*tag, block), "block {block}: not what {tag} wrote"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                lost.push(block);
            }
        }
    }
    lost
}

/// All objects of a volume.
async fn keys(store: &Arc<dyn Store>, volume: VolumeId) -> Vec<Key> {
    let shelf = Shelf::new(store.clone(), volume);
    let mut keys = Vec::new();
    let series = (1..40).flat_map(|epoch| {
        let segments = Kind::ALL.map(|kind| Series::Segments(kind, epoch));
        segments.into_iter().chain([Series::Heads(epoch)])
    });
    for series in series.chain([Series::Epochs]) {
        let page = shelf.list(series, None).await.unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
    }
    keys
}

async fn bytes_of(store: &Arc<dyn Store>, key: &Key) -> Vec<u8> {
    store.get(key, None).await.unwrap().payload.into_bytes().to_vec()
}

async fn put(store: &Arc<dyn Store>, key: &Key, bytes: Vec<u8>) {
    store
        .put(key, Bytes::from(bytes), Precondition::Always)
        .await
        .unwrap();
}

/// The same objects on another store.
async fn copy(store: &Arc<dyn Store>, volumes: &[VolumeId]) -> Arc<dyn Store> {
    let to: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for volume in volumes {
        for key in keys(store, *volume).await {
            put(&to, &key, bytes_of(store, &key).await).await;
        }
    }
    to
}

async fn object(store: &Arc<dyn Store>, volume: VolumeId, key: &Key) -> ObjectType {
    Shelf::new(store.clone(), volume)
        .header(key)
        .await
        .unwrap()
        .unwrap()
        .object
}
