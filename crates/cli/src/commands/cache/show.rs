//! `restblk cache show`: what the cache is and did.

use crate::failure::{Failure, Result};
use crate::output::pairs;
use crate::session::Session;
use clap::Args;
use restblk_api::CacheInfo;
use restblk_types::{ByteCount, ErrorKind};

/// Show this host's cache, and what it did since the daemon's start
#[derive(Debug, Args)]
pub(crate) struct Show {}

impl Show {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let host = session.call("show the cache", session.client.host()).await?;
        let cache = host.cache.ok_or_else(|| {
            Failure::new(ErrorKind::NotFound, "this host has no cache")
                .hint("set size, and folder, in [cache] of the daemon's configuration, and start it again")
        })?;
        session.result(&cache, words)
    }
}

fn words(cache: &CacheInfo) -> String {
    let asked = cache.hits + cache.misses;
    let share = (cache.hits * 100).checked_div(asked);
    pairs(&[
        ("File", cache.path.clone()),
        ("Size", cache.size.to_string()),
        ("Pieces", cache.entries.to_string()),
        (
            "Hits",
            format!(
                "{} of {asked}{}",
                cache.hits,
                share.map_or_else(String::new, |share| format!(" ({share} %)"))
            ),
        ),
        ("Read from it", ByteCount(cache.hit_bytes).to_string()),
        ("Put", cache.puts.to_string()),
        ("Left out", cache.dropped.to_string()),
        ("Damaged", cache.damaged.to_string()),
        ("Failures", cache.failed.to_string()),
    ])
}
