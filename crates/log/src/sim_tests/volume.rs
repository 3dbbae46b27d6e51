//! A volume of the simulation, and what it must be.

use super::disk::SimDisk;
use super::ground::{BLOCK, BLOCKS, CODECS, Contents, Ground, LEN, bytes, contents, ms, options};
use crate::{Disk, Durability, Local, LogVolume};
use rand::Rng;
use restblk_block::{BlockDevice, WriteFlags};
use restblk_store::faulty::Faulty;
use restblk_types::{ErrorKind, VolumeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// See the module.
pub(super) struct Volume {
    pub(super) id: VolumeId,
    pub(super) device: Option<Arc<LogVolume>>,
    /// The way to the store of the host that has it.
    pub(super) store: Option<Arc<Faulty>>,
    /// Flushes that were begun, with the changes that each covers.
    begun: Vec<(usize, JoinHandle<bool>)>,
    /// After each change; the first is what it began with.
    pub(super) history: Vec<Contents>,
    /// The disks of two hosts, and which one has the volume; none where there is no journal.
    disks: Vec<Arc<SimDisk>>,
    host: usize,
    /// Changes that survive the host's loss of power.
    flushed: usize,
    /// Changes that survive the loss of the host.
    remote: usize,
    pub(super) snapshots: BTreeMap<u64, Contents>,
    /// Snapshots whose deletion was cut off.
    pub(super) doubtful: BTreeSet<u64>,
}

impl Volume {
    /// A volume that was just made, or cloned.
    pub(super) fn new(ground: &Ground, id: VolumeId, begins: Contents) -> Self {
        Self {
            id,
            device: None,
            store: None,
            begun: Vec::new(),
            history: vec![begins],
            disks: if ground.seed.is_multiple_of(3) {
                Vec::new()
            } else {
                vec![SimDisk::new(), SimDisk::new()]
            },
            host: 0,
            flushed: 0,
            remote: 0,
            snapshots: BTreeMap::new(),
            doubtful: BTreeSet::new(),
        }
    }

    /// Attaches it; false where there is no such volume.
    pub(super) async fn try_open(&mut self, ground: &mut Ground) -> bool {
        loop {
            let (store, writer) = ground.host();
            let disk = self.disks.get(self.host).cloned();
            let local = Local {
                journal: disk.map(|disk| disk as Arc<dyn Disk>),
                cache: None,
                memory: Arc::clone(&ground.memory),
            };
            let options = options(ground);
            match LogVolume::open(store.clone(), self.id, writer, options, local).await {
                Ok(device) => {
                    self.device = Some(Arc::new(device));
                    self.store = Some(store);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return false,
                // An attach that fails has changed nothing but that it fenced whoever was before: the next one may go well.
                Err(error) => assert!(error.kind().is_transient(), "{error} ({})", error.kind()),
            }
        }
    }

    pub(super) async fn open(&mut self, ground: &mut Ground) {
        assert!(self.try_open(ground).await, "the volume {} is gone", self.id);
    }

    pub(super) fn device(&self) -> &LogVolume {
        self.device.as_deref().unwrap()
    }

    pub(super) fn now(&self) -> &Contents {
        self.history.last().unwrap()
    }

    pub(super) fn extent(ground: &mut Ground) -> std::ops::Range<usize> {
        let longest = if ground.chance.random_bool(0.1) { 400 } else { 12 };
        // Some blocks are written far more often than others.
        let reach = if ground.chance.random_bool(0.6) {
            BLOCKS / 10
        } else {
            BLOCKS
        };
        let first = ground.chance.random_range(0..reach);
        first..(first + ground.chance.random_range(1..=longest)).min(BLOCKS)
    }

    pub(super) async fn write(&mut self, ground: &mut Ground) {
        let blocks = Self::extent(ground);
        ground.tag += 1;
        let tag = ground.tag;
        let data: Vec<Vec<u8>> = blocks.clone().map(|block| bytes(tag, block)).collect();
        let data = data.concat();
        let mut next = self.now().clone();
        next[blocks.clone()].fill(tag);
        self.history.push(next);
        let fua = ground.chance.random_bool(0.05);
        let flags = WriteFlags {
            fua,
            ..WriteFlags::default()
        };
        self.device()
            .write(blocks.start as u64 * BLOCK, &data, flags)
            .await
            .unwrap();
        if fua {
            self.has_flushed(ground, self.history.len() - 1);
        } else if ground.chance.random_bool(0.3) {
            // Begun and not waited for: several segments are on their way at once.
            let device = self.device.clone().unwrap();
            let flush = tokio::spawn(async move { device.flush().await.is_ok() });
            self.begun.push((self.history.len() - 1, flush));
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn discard(&mut self, ground: &mut Ground) {
        let blocks = Self::extent(ground);
        let mut next = self.now().clone();
        next[blocks.clone()].fill(0);
        self.history.push(next);
        let len = blocks.len() as u64 * BLOCK;
        self.device()
            .discard(blocks.start as u64 * BLOCK, len)
            .await
            .unwrap();
    }

    pub(super) async fn snapshot(&mut self, ground: &mut Ground) {
        let name = format!("s{}", ground.tag);
        let now = self.now().clone();
        match self.device().snapshot(&name, "").await {
            Ok(id) => drop(self.snapshots.insert(id, now)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Exists),
        }
        self.is_stored();
    }

    pub(super) async fn delete_snapshot(&mut self, id: u64) {
        self.device().delete_snapshot(id).await.unwrap();
        self.snapshots.remove(&id);
        self.is_stored();
    }

    pub(super) fn a_snapshot(&self, ground: &mut Ground) -> Option<u64> {
        let at = ground.chance.random_range(0..self.snapshots.len().max(1));
        self.snapshots.keys().nth(at).copied()
    }

    /// Reads the volume after a crash or a takeover: it must be a prefix of what was written, and have at least so many changes.
    pub(super) async fn check_recovered(&mut self, ground: &Ground, least: usize) {
        let found = contents(self.device(), BLOCKS).await;
        let prefix = (least..self.history.len()).find(|at| self.history[*at] == found);
        let Some(prefix) = prefix else {
            let wanted = &self.history[least];
            let other = (0..BLOCKS)
                .filter(|block| found[*block] != wanted[*block])
                .count();
            panic!(
                "seed {}: not a prefix: {other} blocks differ from what must be there, of {} changes since",
                ground.seed,
                self.history.len() - least
            );
        };
        self.history.truncate(prefix + 1);
        self.flushed = prefix;
        // A journal has it, and the store may have less.
        self.remote = if self.disks.is_empty() {
            prefix
        } else {
            self.remote.min(prefix)
        };
        self.check_snapshots(ground).await;
    }

    pub(super) async fn check_snapshots(&mut self, ground: &Ground) {
        let there: Vec<u64> = self.device().snapshots().iter().map(|of| of.id).collect();
        // Their deletion was cut off.
        for id in std::mem::take(&mut self.doubtful) {
            if !there.contains(&id) {
                self.snapshots.remove(&id);
            }
        }
        for (id, wanted) in &self.snapshots {
            let view = self.device().view(*id).unwrap();
            assert!(
                contents(&view, BLOCKS).await == *wanted,
                "seed {}: snapshot {id} is not what it was",
                ground.seed
            );
        }
        assert_eq!(
            there,
            self.snapshots.keys().copied().collect::<Vec<_>>(),
            "seed {}",
            ground.seed
        );
    }

    /// A flush has covered so many changes.
    pub(super) fn has_flushed(&mut self, ground: &Ground, covers: usize) {
        self.flushed = self.flushed.max(covers);
        if ground.durability == Durability::Remote {
            self.remote = self.remote.max(covers);
        }
    }

    /// All is on the store.
    pub(super) fn is_stored(&mut self) {
        self.flushed = self.history.len() - 1;
        self.remote = self.flushed;
    }

    /// Takes note of the flushes that have ended well.
    pub(super) async fn note_flushes(&mut self, ground: &Ground) {
        for (covers, flush) in std::mem::take(&mut self.begun) {
            if !flush.is_finished() {
                self.begun.push((covers, flush));
            } else if flush.await.unwrap_or(false) {
                self.has_flushed(ground, covers);
            }
        }
    }

    pub(super) async fn step(&mut self, ground: &mut Ground) {
        self.note_flushes(ground).await;
        match ground.chance.random_range(0..1000) {
            0..600 => self.write(ground).await,
            600..680 => self.discard(ground).await,
            680..800 => {
                let now = self.history.len() - 1;
                self.device().flush().await.unwrap();
                self.has_flushed(ground, now);
            }
            800..880 => {
                let blocks = Self::extent(ground);
                let mut buf = vec![0; blocks.len() * LEN];
                self.device()
                    .read(blocks.start as u64 * BLOCK, &mut buf)
                    .await
                    .unwrap();
                for (block, data) in blocks.zip(buf.chunks(LEN)) {
                    assert!(
                        data == bytes(self.now()[block], block),
                        "seed {}: block {block}",
                        ground.seed
                    );
                }
            }
            880..905 => self.snapshot(ground).await,
            905..920 => {
                if let Some(id) = self.a_snapshot(ground) {
                    self.delete_snapshot(id).await;
                }
            }
            920..925 => {
                if let Some(id) = self.a_snapshot(ground) {
                    self.device().rollback(id).await.unwrap();
                    self.history.push(self.snapshots[&id].clone());
                    self.is_stored();
                }
            }
            925..940 => drop(self.device().collect().await.unwrap()),
            940..953 => self.device().checkpoint().await.unwrap(),
            953..955 => {
                let codec = ground.chance.random_range(0..CODECS.len());
                self.device().set_codec(CODECS[codec]);
            }
            955..960 => {
                self.device.take().unwrap().stop().await.unwrap();
                self.begun.clear();
                self.is_stored();
                self.open(ground).await;
                self.check_recovered(ground, self.history.len() - 1).await;
            }
            960..975 => {
                self.crash(ground).await;
            }
            975..985 => self.takeover(ground).await,
            _ => tokio::time::sleep(ms(ground.chance.random_range(0..2000))).await,
        }
    }

    /// The host ends in the midst of it.
    pub(super) async fn delete_snapshot_cut_off(&mut self, ground: &mut Ground) {
        let Some(id) = self.a_snapshot(ground) else {
            return;
        };
        let pause = ms(ground.chance.random_range(0..60));
        drop(tokio::time::timeout(pause, self.device().delete_snapshot(id)).await);
        self.doubtful.insert(id);
        self.crash(ground).await;
    }

    /// Reads all of it.
    pub(super) async fn check_now(&self, ground: &Ground) {
        let found = contents(self.device(), BLOCKS).await;
        assert!(
            found == *self.now(),
            "seed {}: the volume {}",
            ground.seed,
            self.id
        );
    }

    /// A crash: what was on its way may land yet.
    pub(super) async fn crash(&mut self, ground: &mut Ground) {
        self.note_flushes(ground).await;
        self.begun.clear();
        self.device.take().unwrap().cut_off();
        let power = ground.chance.random_bool(0.5);
        let mut least = self.flushed;
        if let Some(disk) = self.disks.get(self.host) {
            if power {
                disk.lose_power(&mut ground.chance);
            } else {
                // What was answered is in the journal.
                least = self.history.len() - 1;
            }
        }
        self.open(ground).await;
        self.check_recovered(ground, least).await;
    }

    /// Another host takes the volume while this one goes on.
    pub(super) async fn takeover(&mut self, ground: &mut Ground) {
        self.note_flushes(ground).await;
        self.begun.clear();
        let old = self.device.take().unwrap();
        self.host = 1 - self.host;
        self.open(ground).await;
        self.check_recovered(ground, self.remote).await;
        let data = bytes(u32::MAX, 0);
        let error = match old.write(0, &data, WriteFlags::default()).await {
            Err(error) => error.kind(),
            // The batch takes it; the store does not.
            Ok(()) if ground.durability == Durability::Remote => old.flush().await.unwrap_err().kind(),
            Ok(()) => old.checkpoint().await.unwrap_err().kind(),
        };
        assert_eq!(error, ErrorKind::Fenced, "seed {}", ground.seed);
        old.cut_off();
    }
}
