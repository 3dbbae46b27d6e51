//! The engine against real stores in memory: one binary.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod blocks;
mod convert;
mod device;
mod life;
mod locks;
mod log;
mod trash;

use restblk_engine::{Claim, NewVolume, Repository, Safety};
use restblk_format::PoolRecord;
use restblk_store::{MemoryStore, Store};
use restblk_types::{AttachmentId, BlockSize, HostId, VolumeId};
use std::sync::Arc;

fn marker() -> PoolRecord {
    PoolRecord {
        id: VolumeId::random().to_string(),
        created_at: "2026-01-02T03:04:05Z".into(),
        created_by: "test".into(),
        incompat: vec![],
        ro_compat: vec![],
        proved: None,
        other: Default::default(),
    }
}

async fn repository_on(store: Arc<dyn Store>) -> Arc<Repository> {
    let capabilities = store.capabilities();
    Arc::new(
        Repository::open("main", store, capabilities, None, Safety::Proved, marker())
            .await
            .unwrap(),
    )
}

async fn repository() -> (Arc<Repository>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    (repository_on(store.clone()).await, store)
}

fn volume(name: &str, size: u64) -> NewVolume {
    NewVolume {
        id: VolumeId::random(),
        layout: restblk_format::LayoutKind::Direct,
        name: name.parse().unwrap(),
        size,
        block_size: BlockSize::B512,
        durability: restblk_types::Durability::Local,
        compression: restblk_types::Compression::default(),
        encryption: None,
        created_at: "2026-01-02T03:04:05Z".into(),
    }
}

fn claim(hostname: &str) -> Claim {
    Claim {
        id: AttachmentId::random(),
        host: HostId::random(),
        hostname: hostname.into(),
        boot_id: "boot".into(),
        pid: 1,
        since: "2026-01-02T03:04:06Z".into(),
    }
}
