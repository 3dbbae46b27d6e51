//! All pools of the host: those of the configuration file and those made by `pool create`.
//!
//! A pool whose store does not answer at the start is tried again until it does; nothing else waits for it.

use crate::{
    error::Result,
    pool::{Open, PoolEntry, store_config},
    state::StateDir,
};
use restblk_api::{ErrorBody, MirrorChange, MirrorSpec, Pool, PoolSpec};
use restblk_store::Proof;
use restblk_types::{ErrorKind, PoolName, RateLimits};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Pauses between tries to open a pool that does not answer.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

const SUITS: &str = "check the URL's path, such as http://HOST/cdmi/2.0.0/CONTAINER/ of a CDMI 2.0 server; docs/stores.md \
                     tells what a store must do";

/// The pools.
#[derive(Debug)]
pub(crate) struct Pools {
    state: Arc<StateDir>,
    entries: RwLock<BTreeMap<PoolName, Arc<PoolEntry>>>,
    /// One change of the set at a time.
    changing: tokio::sync::Mutex<()>,
}

impl Pools {
    /// The pools of the file and of the state folder; opens them in the background.
    pub(crate) fn load(state: Arc<StateDir>, from_config: impl Iterator<Item = PoolSpec>) -> Arc<Self> {
        let mut entries = BTreeMap::new();
        for (name, spec) in state.kept::<PoolSpec>("pools") {
            entries.insert(name, Arc::new(PoolEntry::new(spec, false)));
        }
        for spec in from_config {
            entries.insert(spec.name.clone(), Arc::new(PoolEntry::new(spec, true)));
        }
        let pools = Arc::new(Self {
            state,
            entries: RwLock::new(entries),
            changing: tokio::sync::Mutex::default(),
        });
        for entry in pools.entries() {
            tokio::spawn(Arc::clone(&pools).keep_opening(entry));
        }
        pools
    }

    async fn keep_opening(self: Arc<Self>, entry: Arc<PoolEntry>) {
        let spec = entry.spec();
        let mut pause = RETRY_MIN;
        loop {
            let known = self.known_proof(&spec);
            match entry.try_open(known).await {
                Ok(open) => {
                    tracing::info!(pool = %spec.name, "pool is open");
                    self.keep_proof(&spec, &open);
                    return;
                }
                Err(error) => {
                    tracing::warn!(pool = %spec.name, error = error.message, retry_s = pause.as_secs(), "pool cannot be opened")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            let still = self.get(&spec.name).is_ok_and(|now| Arc::ptr_eq(&now, &entry));
            if !still {
                return;
            }
        }
    }

    /// What the store was proved to do, where that was of the same store.
    fn known_proof(&self, spec: &PoolSpec) -> Option<Proof> {
        let kept = self.state.kept::<(PoolSpec, Proof)>("proofs");
        let (_, (of, proof)) = kept.into_iter().find(|(name, _)| *name == spec.name)?;
        (of.store == spec.store
            && of.dialect == spec.dialect
            && spec
                .urls
                .iter()
                .any(|mirror| of.urls.iter().any(|other| other.url == mirror.url)))
        .then_some(proof)
    }

    fn keep_proof(&self, spec: &PoolSpec, open: &Open) {
        if let Err(e) = self.state.keep("proofs", &spec.name, &(spec, &open.proof())) {
            tracing::warn!(pool = %spec.name, error = e.message, "the proof of the store is not kept: the next start proves it again");
        }
    }

    pub(crate) fn entries(&self) -> Vec<Arc<PoolEntry>> {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// A pool by name.
    pub(crate) fn get(&self, name: &PoolName) -> Result<Arc<PoolEntry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).cloned().ok_or_else(|| {
            let hint = if entries.is_empty() {
                "there is none yet: restblk pool create NAME --store cdmi --url URL".to_owned()
            } else {
                format!(
                    "there are: {}",
                    entries
                        .keys()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            };
            ErrorBody::new(
                ErrorKind::NotFound,
                format!("find pool {name}: this host has no such pool"),
            )
            .hint(hint)
        })
    }

    /// A pool by name, open.
    pub(crate) fn open(&self, name: &PoolName) -> Result<Arc<Open>> {
        self.get(name)?.open()
    }

    /// Makes a pool: proves its store first; nothing is kept where that fails.
    pub(crate) async fn create(&self, spec: PoolSpec) -> Result<Pool> {
        self.require_free(&spec.name)?;
        store_config(&spec)?;
        let entry = Arc::new(PoolEntry::new(spec.clone(), false));
        let open = entry.try_open(None).await.map_err(|e| {
            let message = format!("create pool {}: {}", spec.name, e.message);
            let hint = match e.kind {
                // There is no pool yet whose mirrors could be looked at.
                kind if kind.is_transient() => {
                    Some("check the URL, that the store runs there, and the network between".to_owned())
                }
                ErrorKind::Unsupported => e.hint.or_else(|| Some(SUITS.to_owned())),
                _ => e.hint,
            };
            ErrorBody {
                kind: e.kind,
                message,
                hint,
            }
        })?;
        // Not held while the store is proved: one that is silent holds up nobody else.
        let _one = self.changing.lock().await;
        self.require_free(&spec.name)?;
        self.state.keep("pools", &spec.name, &spec)?;
        self.keep_proof(&spec, &open);
        self.entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(spec.name, Arc::clone(&entry));
        Ok(entry.describe())
    }

    fn require_free(&self, name: &PoolName) -> Result<()> {
        if self.get(name).is_err() {
            return Ok(());
        }
        let message = format!("create pool {name}: the name is taken");
        Err(ErrorBody::new(ErrorKind::Exists, message).hint(format!(
            "restblk pool show {name} tells what it is; choose another name"
        )))
    }

    /// Forgets a pool on this host; its store keeps everything.
    pub(crate) async fn delete(&self, name: &PoolName) -> Result<()> {
        let _one = self.changing.lock().await;
        let entry = self.get(name)?;
        if entry.from_config {
            return Err(ErrorBody::new(
                ErrorKind::Invalid,
                format!("delete pool {name}: it stands in the configuration file"),
            )
            .hint("remove it there and restart the daemon"));
        }
        self.state.forget("pools", name)?;
        self.state.forget("proofs", name)?;
        self.entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        Ok(())
    }

    /// Adds a mirror to a pool.
    pub(crate) async fn add_mirror(&self, name: &PoolName, mirror: &MirrorSpec) -> Result<Pool> {
        let (entry, url) = (self.get(name)?, &mirror.url);
        let (store, seen) = entry.look_at_mirror(mirror).await?;
        let one = self.changing.lock().await;
        if !Arc::ptr_eq(&entry, &self.get(name)?) {
            let message = format!("add the mirror {url}: pool {name} was made anew meanwhile");
            return Err(ErrorBody::new(ErrorKind::Conflict, message));
        }
        let spec = entry.add_mirror(mirror, store, seen)?;
        let pool = self.keep_spec(&entry, &spec)?;
        drop(one);
        if let Ok(open) = entry.open() {
            self.keep_proof(&spec, &open);
            open.keep_proof().await;
        }
        Ok(pool)
    }

    /// Changes how a mirror is used.
    pub(crate) async fn set_mirror(&self, name: &PoolName, change: &MirrorChange) -> Result<Pool> {
        let _one = self.changing.lock().await;
        let entry = self.get(name)?;
        let spec = entry.set_mirror(change)?;
        self.keep_spec(&entry, &spec)
    }

    /// Has a mirror take no new requests, and waits until the last one under way has ended.
    pub(crate) async fn drain_mirror(&self, name: &PoolName, url: &str) -> Result<Pool> {
        let change = MirrorChange {
            url: url.to_owned(),
            drained: Some(true),
            ..MirrorChange::default()
        };
        self.set_mirror(name, &change).await?;
        let entry = self.get(name)?;
        entry.drained(url).await?;
        Ok(entry.describe())
    }

    /// Takes a mirror from a pool.
    pub(crate) async fn remove_mirror(&self, name: &PoolName, url: &str) -> Result<Pool> {
        self.get(name)?.drain_to_remove(url).await;
        let _one = self.changing.lock().await;
        let entry = self.get(name)?;
        let spec = entry.remove_mirror(url)?;
        self.keep_spec(&entry, &spec)
    }

    /// Sets a pool's rate limits.
    pub(crate) async fn limit(&self, name: &PoolName, limits: RateLimits) -> Result<Pool> {
        let _one = self.changing.lock().await;
        let entry = self.get(name)?;
        let spec = entry.limit(limits)?;
        self.keep_spec(&entry, &spec)
    }

    fn keep_spec(&self, entry: &PoolEntry, spec: &PoolSpec) -> Result<Pool> {
        if entry.from_config {
            tracing::warn!(pool = %spec.name, "the pool is changed until the next start: put the change into the configuration file");
        } else {
            self.state.keep("pools", &spec.name, spec)?;
        }
        Ok(entry.describe())
    }
}
