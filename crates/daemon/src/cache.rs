//! The cache of log volumes: one file for all of them. Without it everything works, only slower, so a disk that fails keeps no
//! volume from being served.

use crate::{config::Config, error::Result, metrics::Text, state::make_private};
use restblk_api::{CacheInfo, ErrorBody};
use restblk_engine::log::{Cache, CacheError};
use restblk_types::{ByteCount, ErrorKind};
use std::sync::Arc;

/// Bytes of memory that it takes to keep track of a piece.
const ENTRY_COST: u64 = 40;
/// What all of them may take of the memory of log volumes. With the default of 512 MiB that is enough for 48 GiB of pieces of 32 KiB.
const MEMORY_PART: u64 = 8;

/// Opens the cache; none where none is wanted, or its disk fails.
pub(crate) fn open(config: &Config) -> Result<Option<Arc<Cache>>> {
    let size = config.cache.size.0;
    if size == 0 {
        return Ok(None);
    }
    let folder = config.cache_folder();
    make_private(&folder)?;
    let entries = config.memory.limit.0 / MEMORY_PART / ENTRY_COST;
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    match Cache::open(&folder.join("cache"), size, entries) {
        Ok(cache) => Ok(Some(Arc::new(cache))),
        Err(error @ CacheError::Small(_)) => Err(ErrorBody::new(
            ErrorKind::Invalid,
            format!("open the cache: {error}"),
        )
        .hint("set size in [cache] of the daemon's configuration, or 0 to do without")),
        Err(error) => {
            tracing::error!(%error, "there is no cache: log volumes are read from the store until the daemon is started again");
            Ok(None)
        }
    }
}

/// The cache as the API tells it.
pub(crate) fn info(cache: &Cache) -> CacheInfo {
    let figures = cache.figures();
    CacheInfo {
        path: cache.path().to_owned(),
        size: ByteCount(figures.size),
        entries: figures.entries,
        hits: figures.hits,
        hit_bytes: figures.hit_bytes,
        misses: figures.misses,
        damaged: figures.bad,
        puts: figures.puts,
        dropped: figures.dropped,
        failed: figures.failed,
    }
}

/// The cache's families.
pub(crate) fn render(cache: &Cache, text: &mut Text) {
    let figures = cache.figures();
    for (family, value) in [
        ("restblk_cache_hits_total", figures.hits),
        ("restblk_cache_hit_bytes_total", figures.hit_bytes),
        ("restblk_cache_misses_total", figures.misses),
        ("restblk_cache_damaged_total", figures.bad),
        ("restblk_cache_dropped_total", figures.dropped),
        ("restblk_cache_failures_total", figures.failed),
    ] {
        text.family(family);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are doubles")]
        text.sample(family, &[], value as f64);
    }
}
