//! From configuration to a store that works: one call for a pool, one for a mirror.
//!
//! `open` and `open_mirror` probe: they send requests and touch scratch objects. `open_pinned` and
//! `open_mirror_pinned` believe an earlier [`Proof`] and send nothing, so that a pool opens while its servers are down.

use crate::azure::AzureStore;
use crate::cdmi::{self, CdmiStore};
use crate::file::FileStore;
use crate::gcs::GcsStore;
use crate::http::HttpClient;
use crate::memory::MemoryStore;
use crate::mirrored::{Mirrored, Outage, RetryPolicy};
use crate::prove::{self, Proof};
use crate::s3::S3Store;
use crate::swift::SwiftStore;
use crate::webdav::{self, WebdavStore};
use crate::{Store, StoreConfig, StoreError, StoreKind};
use restblk_types::ErrorKind;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A pool's store, open, and what it was proved to do (keep it: `open_pinned` takes it).
#[derive(Debug)]
pub struct Opened {
    /// All mirrors, with retries.
    pub store: Arc<Mirrored>,
    /// What was proved.
    pub proof: Proof,
}

/// One mirror, open, and what it was proved to do.
#[derive(Debug)]
pub struct OpenedMirror {
    /// The client of this one server; nothing is retried.
    pub store: Arc<dyn Store>,
    /// What was proved.
    pub proof: Proof,
}

/// Opens a pool's store: proves what it does through the first mirror that answers, reaches the others in the same
/// dialect, and compares those that answer. Fails where none answers, where two show different files, or where a clock is far off.
pub async fn open(config: &StoreConfig) -> Result<Opened, StoreError> {
    config.check()?;
    let mut failed: Option<StoreError> = None;
    for url in &config.urls {
        match open_mirror(config, url).await {
            Ok(OpenedMirror { mut proof, .. }) => {
                let mut mirrors = Vec::with_capacity(config.urls.len());
                for url in &config.urls {
                    mirrors.push((url.clone(), open_mirror_pinned(config, url, &proof)?));
                }
                proof.mirrors = prove::mirrors::compare(&mirrors, &mut proof).await?;
                return Ok(Opened {
                    store: open_pinned(config, &proof)?,
                    proof,
                });
            }
            Err(error) if error.kind().is_transient() => {
                tracing::warn!(%error, "mirror passed over");
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(failed.unwrap_or_else(|| StoreError::new(ErrorKind::Invalid, "open", "the store", "it has no URL")))
}

/// Opens a pool's store as it was proved before; sends no request.
pub fn open_pinned(config: &StoreConfig, proof: &Proof) -> Result<Arc<Mirrored>, StoreError> {
    config.check()?;
    let outage = match config.fail_after_ms {
        Some(ms) => Outage::FailAfter(Duration::from_millis(ms)),
        None => Outage::Wait,
    };
    let mut mirrors = Vec::with_capacity(config.urls.len());
    for url in &config.urls {
        mirrors.push((url.clone(), open_mirror_pinned(config, url, proof)?));
    }
    Mirrored::new(
        mirrors,
        RetryPolicy {
            outage,
            propagation: Duration::from_millis(config.propagation_ms),
            ..RetryPolicy::default()
        },
    )
    .map(Arc::new)
}

/// Opens one mirror and proves what it does.
pub async fn open_mirror(config: &StoreConfig, url: &str) -> Result<OpenedMirror, StoreError> {
    config.check()?;
    match config.kind {
        StoreKind::Cdmi => {
            let http = Arc::new(HttpClient::new(config, url)?);
            let only = config
                .dialect
                .as_deref()
                .map(|name| named(name, url))
                .transpose()?;
            let (store, proof) = cdmi::find_dialect(&http, only).await?;
            Ok(OpenedMirror {
                store: Arc::new(store),
                proof,
            })
        }
        StoreKind::S3 => {
            let store = S3Store::connect(config, url).await?;
            let proof = prove::prove(&store).await?;
            // What was struck out is refused from now on.
            let store = open_mirror_pinned(config, url, &proof)?;
            Ok(OpenedMirror { store, proof })
        }
        StoreKind::Swift => {
            let proof = prove::prove(&SwiftStore::new(config, url)?).await?;
            let store = open_mirror_pinned(config, url, &proof)?;
            Ok(OpenedMirror { store, proof })
        }
        StoreKind::Webdav => {
            let proof = webdav::find(config, url).await?;
            let store = open_mirror_pinned(config, url, &proof)?;
            Ok(OpenedMirror { store, proof })
        }
        StoreKind::Gcs => {
            let store = GcsStore::connect(config, url).await?;
            let proof = prove::prove(&store).await?;
            let store = open_mirror_pinned(config, url, &proof)?;
            Ok(OpenedMirror { store, proof })
        }
        StoreKind::Azure => {
            let store = AzureStore::new(config, url)?;
            store.greet().await?;
            let proof = prove::prove(&store).await?;
            let store = Arc::new(store.pinned(proof.capabilities.clone()));
            Ok(OpenedMirror { store, proof })
        }
        StoreKind::File | StoreKind::Memory => {
            let store = open_plain(config.kind, url)?;
            let proof = prove::prove(store.as_ref()).await?;
            Ok(OpenedMirror { store, proof })
        }
    }
}

/// Opens one mirror as it (or a mirror of the same repository) was proved before; sends no request.
pub fn open_mirror_pinned(
    config: &StoreConfig,
    url: &str,
    proof: &Proof,
) -> Result<Arc<dyn Store>, StoreError> {
    config.check()?;
    match config.kind {
        StoreKind::Cdmi => {
            let http = Arc::new(HttpClient::new(config, url)?);
            Ok(Arc::new(CdmiStore::pinned(
                http,
                pinned_dialect(config, url, proof)?,
                proof.capabilities.clone(),
            )))
        }
        StoreKind::S3 => Ok(Arc::new(S3Store::pinned(
            config,
            url,
            proof.capabilities.clone(),
        )?)),
        StoreKind::Swift => Ok(Arc::new(SwiftStore::pinned(
            config,
            url,
            proof.capabilities.clone(),
        )?)),
        StoreKind::Webdav => Ok(Arc::new(WebdavStore::pinned(
            config,
            url,
            pinned_dialect(config, url, proof)?,
            proof.capabilities.clone(),
        )?)),
        StoreKind::Gcs => Ok(Arc::new(GcsStore::pinned(
            config,
            url,
            proof.capabilities.clone(),
        )?)),
        StoreKind::Azure => {
            let store = AzureStore::new(config, url)?;
            Ok(Arc::new(store.pinned(proof.capabilities.clone())))
        }
        StoreKind::File | StoreKind::Memory => open_plain(config.kind, url),
    }
}

/// The dialect of this name, of the protocol whose dialects these are.
fn named<D: FromStr<Err: fmt::Display>>(name: &str, url: &str) -> Result<D, StoreError> {
    name.parse()
        .map_err(|error: D::Err| StoreError::new(ErrorKind::Invalid, "open", url, error.to_string()))
}

fn pinned_dialect<D: FromStr<Err: fmt::Display>>(
    config: &StoreConfig,
    url: &str,
    proof: &Proof,
) -> Result<D, StoreError> {
    match proof.dialect.as_deref().or(config.dialect.as_deref()) {
        Some(name) => named(name, url),
        None => {
            let reason = "its dialect is not known: probe it first";
            Err(StoreError::new(ErrorKind::Invalid, "open", url, reason))
        }
    }
}

fn open_plain(kind: StoreKind, url: &str) -> Result<Arc<dyn Store>, StoreError> {
    if kind == StoreKind::Memory {
        return Ok(Arc::new(MemoryStore::named(url)));
    }
    Ok(Arc::new(FileStore::open(
        url.strip_prefix("file://").unwrap_or(url),
    )?))
}
