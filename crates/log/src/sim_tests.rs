//! The engine under a virtual clock, against a store that fails by a seed, and a history of what was written.
//!
//! What must hold after a crash or a takeover at any moment: the volume is what it was after some prefix of the writes, and
//! no flushed write is missing from it; every snapshot is what the volume was when it was made; whoever was fenced writes
//! nothing that is ever seen. A seed replays exactly.

mod disk;

use crate::defect::{Defect, MADE};
use crate::{Codec, Disk, Durability, LogVolume, Options, Writer, create};
use disk::SimDisk;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use restblk_block::{BlockDevice, WriteFlags};
use restblk_store::faulty::{Fault, Faulty, Operation, Rate};
use restblk_store::{MemoryStore, Store};
use restblk_types::{ErrorKind, VolumeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const BLOCK: u64 = 4096;
const LEN: usize = 4096;
/// Blocks of the simulated volume; far more than pages in memory hold.
const BLOCKS: usize = 1500;

fn options(durability: Durability) -> Options {
    Options {
        durability,
        codec: Codec::Lz4,
        dirty_blocks: 600,
        uploads: 3,
        segments_per_checkpoint: 5,
        pages: 6,
        live_min: 0.6,
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rates() -> Vec<Rate> {
    let on = |operation, fault, probability| Rate {
        operation: Some(operation),
        fault,
        probability,
    };
    vec![
        on(Operation::Put, Fault::LostAnswer, 0.03),
        on(Operation::Put, Fault::LateLanding(ms(300)), 0.03),
        on(Operation::Put, Fault::LateLanding(ms(20_000)), 0.01),
        on(Operation::Put, Fault::Duplicate, 0.02),
        on(Operation::Put, Fault::Delay(ms(200)), 0.1),
        on(Operation::Put, Fault::Delay(ms(15)), 0.5),
        on(Operation::Get, Fault::Delay(ms(7)), 0.4),
        on(Operation::Get, Fault::ShortBody, 0.0),
        on(Operation::Delete, Fault::LostAnswer, 0.1),
        Rate::any(Fault::Refuse(ErrorKind::Retry), 0.02),
        Rate::any(Fault::Silence(ms(900)), 0.01),
    ]
}

/// What the volume was after each change: block → the change that wrote it, 0 for zeros.
type Contents = Vec<u32>;

/// The bytes that a change writes to a block: such that no two are alike, half of them packable.
fn bytes(tag: u32, block: usize) -> Vec<u8> {
    if tag == 0 {
        return vec![0; LEN];
    }
    let mut data = Vec::with_capacity(LEN);
    let mut state = u64::from(tag) << 32 | block as u64;
    while data.len() < LEN {
        data.extend_from_slice(&state.to_le_bytes());
        if tag.is_multiple_of(2) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
    }
    data[..4].copy_from_slice(&tag.to_le_bytes());
    data
}

async fn contents(device: &dyn BlockDevice, blocks: usize) -> Contents {
    let mut found = Contents::new();
    let mut buf = vec![0; 100 * LEN];
    for first in (0..blocks).step_by(100) {
        let some = &mut buf[..(blocks - first).min(100) * LEN];
        device.read(first as u64 * BLOCK, some).await.unwrap();
        for (block, data) in (first..).zip(some.chunks(LEN)) {
            let tag = u32::from_le_bytes(data[..4].try_into().unwrap());
            assert!(
                data == bytes(tag, block),
                "block {block} holds what nobody wrote (tag {tag})"
            );
            found.push(tag);
        }
    }
    found
}

struct World {
    chance: StdRng,
    seed: u64,
    disk: Arc<MemoryStore>,
    stores: u64,
    volume: VolumeId,
    device: Option<Arc<LogVolume>>,
    /// Flushes that were begun, with the changes that each covers.
    begun: Vec<(usize, JoinHandle<bool>)>,
    /// After each change; the first is the empty volume.
    history: Vec<Contents>,
    /// What a flush waits for.
    durability: Durability,
    /// The disks of two hosts, and which one has the volume; none where there is no journal.
    disks: Vec<Arc<SimDisk>>,
    host: usize,
    /// Changes that survive the host's loss of power.
    flushed: usize,
    /// Changes that survive the loss of the host.
    remote: usize,
    snapshots: BTreeMap<u64, Contents>,
    tag: u32,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut world = Self {
            chance: StdRng::seed_from_u64(seed),
            seed,
            disk: Arc::new(MemoryStore::new()),
            stores: 0,
            volume: VolumeId::from_bytes([3; 16]),
            device: None,
            begun: Vec::new(),
            history: vec![vec![0; BLOCKS]],
            durability: if seed % 3 == 2 {
                Durability::Local
            } else {
                Durability::Remote
            },
            disks: if seed.is_multiple_of(3) {
                Vec::new()
            } else {
                vec![SimDisk::new(), SimDisk::new()]
            },
            host: 0,
            flushed: 0,
            remote: 0,
            snapshots: BTreeMap::new(),
            tag: 0,
        };
        let (store, writer) = world.host();
        let size = BLOCKS as u64 * BLOCK;
        while let Err(error) = create(store.clone(), world.volume, size, &writer).await {
            assert!(error.kind().is_transient(), "{error}");
        }
        world.device = Some(world.open().await);
        world
    }

    /// A host's way to the store, and who it is.
    fn host(&mut self) -> (Arc<dyn Store>, Writer) {
        self.stores += 1;
        let seed = self.seed * 1000 + self.stores;
        let store: Arc<dyn Store> = Arc::new(Faulty::new(self.disk.clone(), seed, rates()));
        let writer = Writer {
            nonce: self.chance.random(),
            hostname: format!("host{}", self.stores),
            since: String::new(),
        };
        (store, writer)
    }

    async fn open(&mut self) -> Arc<LogVolume> {
        loop {
            let (store, writer) = self.host();
            let disk = self.disks.get(self.host).cloned();
            let disk = disk.map(|disk| disk as Arc<dyn Disk>);
            match LogVolume::open(store, self.volume, writer, options(self.durability), disk).await {
                Ok(device) => return Arc::new(device),
                // An attach that fails has changed nothing but that it fenced whoever was before: the next one may go well.
                Err(error) => assert!(error.kind().is_transient(), "{error} ({})", error.kind()),
            }
        }
    }

    fn device(&self) -> &LogVolume {
        self.device.as_deref().unwrap()
    }

    fn now(&self) -> &Contents {
        self.history.last().unwrap()
    }

    fn extent(&mut self) -> std::ops::Range<usize> {
        let longest = if self.chance.random_bool(0.1) { 400 } else { 12 };
        // Some blocks are written far more often than others.
        let reach = if self.chance.random_bool(0.6) {
            BLOCKS / 10
        } else {
            BLOCKS
        };
        let first = self.chance.random_range(0..reach);
        first..(first + self.chance.random_range(1..=longest)).min(BLOCKS)
    }

    async fn write(&mut self) {
        let blocks = self.extent();
        self.tag += 1;
        let tag = self.tag;
        let data: Vec<u8> = blocks.clone().flat_map(|block| bytes(tag, block)).collect();
        let mut next = self.now().clone();
        next[blocks.clone()].fill(tag);
        self.history.push(next);
        let fua = self.chance.random_bool(0.05);
        let flags = WriteFlags {
            fua,
            ..WriteFlags::default()
        };
        self.device()
            .write(blocks.start as u64 * BLOCK, &data, flags)
            .await
            .unwrap();
        if fua {
            self.has_flushed(self.history.len() - 1);
        } else if self.chance.random_bool(0.3) {
            // Begun and not waited for: several segments are on their way at once.
            let device = self.device.clone().unwrap();
            let flush = tokio::spawn(async move { device.flush().await.is_ok() });
            self.begun.push((self.history.len() - 1, flush));
            tokio::task::yield_now().await;
        }
    }

    async fn discard(&mut self) {
        let blocks = self.extent();
        let mut next = self.now().clone();
        next[blocks.clone()].fill(0);
        self.history.push(next);
        let len = blocks.len() as u64 * BLOCK;
        self.device()
            .discard(blocks.start as u64 * BLOCK, len)
            .await
            .unwrap();
    }

    async fn snapshot(&mut self) {
        let name = format!("s{}", self.tag);
        let now = self.now().clone();
        match self.device().snapshot(&name, "").await {
            Ok(id) => drop(self.snapshots.insert(id, now)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Exists),
        }
        self.is_stored();
    }

    fn a_snapshot(&mut self) -> Option<u64> {
        let at = self.chance.random_range(0..self.snapshots.len().max(1));
        self.snapshots.keys().nth(at).copied()
    }

    /// Reads the volume after a crash or a takeover: it must be a prefix of what was written, and have at least so many changes.
    async fn check_recovered(&mut self, least: usize) {
        let found = contents(self.device(), BLOCKS).await;
        let prefix = (least..self.history.len()).find(|at| self.history[*at] == found);
        let Some(prefix) = prefix else {
            let wanted = &self.history[least];
            let other = (0..BLOCKS)
                .filter(|block| found[*block] != wanted[*block])
                .count();
            panic!(
                "seed {}: not a prefix: {other} blocks differ from what must be there, of {} changes since",
                self.seed,
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
        self.check_snapshots().await;
    }

    async fn check_snapshots(&self) {
        for (id, wanted) in &self.snapshots {
            let view = self.device().view(*id).unwrap();
            assert!(
                contents(&view, BLOCKS).await == *wanted,
                "seed {}: snapshot {id} is not what it was",
                self.seed
            );
        }
        let there: Vec<u64> = self
            .device()
            .snapshots()
            .iter()
            .map(|snapshot| snapshot.id)
            .collect();
        assert_eq!(
            there,
            self.snapshots.keys().copied().collect::<Vec<_>>(),
            "seed {}",
            self.seed
        );
    }

    /// A flush has covered so many changes.
    fn has_flushed(&mut self, covers: usize) {
        self.flushed = self.flushed.max(covers);
        if self.durability == Durability::Remote {
            self.remote = self.remote.max(covers);
        }
    }

    /// All is on the store.
    fn is_stored(&mut self) {
        self.flushed = self.history.len() - 1;
        self.remote = self.flushed;
    }

    /// Takes note of the flushes that have ended well.
    async fn note_flushes(&mut self) {
        for (covers, flush) in std::mem::take(&mut self.begun) {
            if !flush.is_finished() {
                self.begun.push((covers, flush));
            } else if flush.await.unwrap_or(false) {
                self.has_flushed(covers);
            }
        }
    }

    async fn step(&mut self) {
        self.note_flushes().await;
        match self.chance.random_range(0..1000) {
            0..600 => self.write().await,
            600..680 => self.discard().await,
            680..800 => {
                let now = self.history.len() - 1;
                self.device().flush().await.unwrap();
                self.has_flushed(now);
            }
            800..880 => {
                let blocks = self.extent();
                let mut buf = vec![0; blocks.len() * LEN];
                self.device()
                    .read(blocks.start as u64 * BLOCK, &mut buf)
                    .await
                    .unwrap();
                for (block, data) in blocks.zip(buf.chunks(LEN)) {
                    assert!(
                        data == bytes(self.now()[block], block),
                        "seed {}: block {block}",
                        self.seed
                    );
                }
            }
            880..905 => self.snapshot().await,
            905..920 => {
                if let Some(id) = self.a_snapshot() {
                    self.device().delete_snapshot(id).await.unwrap();
                    self.snapshots.remove(&id);
                    self.is_stored();
                }
            }
            920..925 => {
                if let Some(id) = self.a_snapshot() {
                    self.device().rollback(id).await.unwrap();
                    self.history.push(self.snapshots[&id].clone());
                    self.is_stored();
                }
            }
            925..940 => drop(self.device().collect().await.unwrap()),
            940..955 => self.device().checkpoint().await.unwrap(),
            955..960 => {
                self.device.take().unwrap().stop().await.unwrap();
                self.begun.clear();
                self.is_stored();
                self.device = Some(self.open().await);
                self.check_recovered(self.history.len() - 1).await;
            }
            960..975 => {
                // A crash: what was on its way may land yet.
                self.note_flushes().await;
                self.begun.clear();
                self.device.take().unwrap().cut_off();
                let power = self.chance.random_bool(0.5);
                let mut least = self.flushed;
                if let Some(disk) = self.disks.get(self.host) {
                    if power {
                        disk.lose_power(&mut self.chance);
                    } else {
                        // What was answered is in the journal.
                        least = self.history.len() - 1;
                    }
                }
                self.device = Some(self.open().await);
                self.check_recovered(least).await;
            }
            975..985 => self.takeover().await,
            _ => tokio::time::sleep(ms(self.chance.random_range(0..2000))).await,
        }
    }

    /// Another host takes the volume while this one goes on.
    async fn takeover(&mut self) {
        self.note_flushes().await;
        self.begun.clear();
        let old = self.device.take().unwrap();
        self.host = 1 - self.host;
        self.device = Some(self.open().await);
        self.check_recovered(self.remote).await;
        let data = bytes(u32::MAX, 0);
        let error = match old.write(0, &data, WriteFlags::default()).await {
            Err(error) => error.kind(),
            // The batch takes it; the store does not.
            Ok(()) if self.durability == Durability::Remote => old.flush().await.unwrap_err().kind(),
            Ok(()) => old.checkpoint().await.unwrap_err().kind(),
        };
        assert_eq!(error, ErrorKind::Fenced, "seed {}", self.seed);
        old.cut_off();
    }
}

/// Returns how long it took by its own clock: the same to the nanosecond if every fault came at the same moment.
async fn run(seed: u64, steps: usize) -> Duration {
    let begun = tokio::time::Instant::now();
    let mut world = World::new(seed).await;
    for _ in 0..steps {
        world.step().await;
    }
    let now = world.now().clone();
    assert!(
        contents(world.device(), BLOCKS).await == now,
        "seed {seed}: at the end"
    );
    world.check_snapshots().await;
    begun.elapsed()
}

fn simulate(seed: u64, steps: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // A day of its clock: what waits for ever does not take one of ours.
    let whole = async { tokio::time::timeout(Duration::from_secs(86_400), run(seed, steps)).await };
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(whole)));
    match done {
        Ok(done) => done.unwrap_or_else(|_| panic!("seed {seed} hangs")),
        Err(panic) => {
            eprintln!("seed {seed} fails");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The first seed that fails, quietly.
fn first_failure(seeds: std::ops::Range<u64>, steps: usize) -> Option<u64> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let fails = |seed: &u64| std::panic::catch_unwind(|| simulate(*seed, steps)).is_err();
    let found = seeds.into_iter().find(fails);
    std::panic::set_hook(hook);
    found
}

#[test]
fn every_defect_is_found() {
    assert_eq!(first_failure(0..5, 300), None, "without a defect");
    for defect in Defect::ALL {
        MADE.set(Some(defect));
        let found = first_failure(0..200, 300);
        MADE.set(None);
        let found = found.unwrap_or_else(|| panic!("{defect:?} is not found in 200 seeds"));
        println!("{defect:?}: found by seed {found}");
    }
}

#[test]
fn seeds_hold() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text: String| text.parse::<u64>().unwrap())
    };
    // Fresh ones each time, unless they are given: a failure names its seed.
    let from = number("SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let count = number("SEEDS").unwrap_or(20);
    for seed in from..from + count {
        simulate(seed, 300);
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..3 {
        let runs = [simulate(seed, 200), simulate(seed, 200), simulate(seed, 200)];
        assert!(runs.iter().all(|took| *took == runs[0]), "seed {seed}: {runs:?}");
    }
}
