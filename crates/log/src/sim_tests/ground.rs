//! What the volumes of a simulation share: chance, the store and its faults, and what their blocks hold.

use crate::memory::{Memory, Parts, Reserve};
use crate::{Codec, DataKey, Durability, Options, Writer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use restblk_block::BlockDevice;
use restblk_store::MemoryStore;
use restblk_store::faulty::{Fault, Faulty, Operation, Rate};
use restblk_types::{ErrorKind, VolumeId};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) const BLOCK: u64 = 4096;
pub(super) const LEN: usize = 4096;
/// Blocks of the simulated volume; far more than pages in memory hold.
pub(super) const BLOCKS: usize = 1500;

pub(super) const CODECS: [Codec; 3] = [Codec::Lz4, Codec::Zstd, Codec::None];

pub(super) fn options(ground: &Ground) -> Options {
    Options {
        durability: ground.durability,
        codec: ground.codec,
        segments_per_checkpoint: 5,
        live_min: 0.6,
    }
}

/// So little that volumes wait for each other, and pages come and go.
fn memory() -> Memory {
    Memory::with(Parts {
        reserve: Reserve {
            unsent: 500,
            packed: 1,
            fetched: 64 << 10,
        },
        unsent: 100,
        packed: 2,
        fetched: 64 << 10,
        frames: 1 << 20,
        pages: 16,
        waiting: 40,
    })
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn rates() -> Vec<Rate> {
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
pub(super) type Contents = Vec<u32>;

/// The bytes that a change writes to a block: such that no two are alike, half of them packable.
pub(super) fn bytes(tag: u32, block: usize) -> Vec<u8> {
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

pub(super) async fn contents(device: &dyn BlockDevice, blocks: usize) -> Contents {
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

/// See the module.
pub(super) struct Ground {
    pub(super) chance: StdRng,
    pub(super) seed: u64,
    pub(super) disk: Arc<MemoryStore>,
    stores: u64,
    volumes: u8,
    pub(super) tag: u32,
    /// What all volumes share.
    pub(super) memory: Arc<Memory>,
    /// What a flush waits for.
    pub(super) durability: Durability,
    /// How data is packed, until it is changed.
    pub(super) codec: Codec,
    /// The family's data key, where it is encrypted.
    pub(super) key: Option<DataKey>,
}

impl Ground {
    pub(super) fn new(seed: u64, chance: StdRng) -> Self {
        Self {
            chance,
            seed,
            disk: Arc::new(MemoryStore::new()),
            stores: 0,
            volumes: 0,
            tag: 0,
            memory: Arc::new(memory()),
            durability: if seed % 3 == 2 {
                Durability::Local
            } else {
                Durability::Remote
            },
            codec: CODECS[usize::try_from(seed / 3).unwrap_or(0) % CODECS.len()],
            // With each way to flush and each codec, half of the seeds.
            key: (seed % 2 == 1).then(|| {
                let mut bytes = Zeroizing::new([0; 32]);
                StdRng::seed_from_u64(!seed).fill(bytes.as_mut_slice());
                DataKey::new(bytes)
            }),
        }
    }

    /// A host's way to the store, and who it is.
    pub(super) fn host(&mut self) -> (Arc<Faulty>, Writer) {
        self.stores += 1;
        let seed = self.seed * 1000 + self.stores;
        let store = Arc::new(Faulty::new(self.disk.clone(), seed, rates()));
        let writer = Writer {
            nonce: self.chance.random(),
            hostname: format!("host{}", self.stores),
            since: String::new(),
            key: self.key.clone(),
        };
        (store, writer)
    }

    /// An id that no volume had.
    pub(super) fn id(&mut self) -> VolumeId {
        self.volumes += 1;
        VolumeId::from_bytes([self.volumes; 16])
    }

    /// All ids that were given out.
    pub(super) fn ids(&self) -> impl Iterator<Item = VolumeId> + use<> {
        (1..=self.volumes).map(|volume| VolumeId::from_bytes([volume; 16]))
    }
}
