//! `restblk mirror list`: the mirrors of a pool and how they do.

use crate::commands::pool::advise;
use crate::complete;
use crate::failure::Result;
use crate::output::Table;
use crate::session::Session;
use clap::Args;
use restblk_api::MirrorStatus;
use restblk_types::PoolName;

/// List the mirrors of a pool and how they do
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Name of the pool
    #[arg(add = complete::pools())]
    pool: PoolName,
}

impl List {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("list the mirrors of {}", self.pool);
        let pool = session
            .call(&what, session.client.pool(&self.pool))
            .await
            .map_err(advise)?;
        session.list(
            &pool.mirrors,
            table,
            "the pool has no mirrors: its store is in this host",
        )
    }
}

/// Mirrors as a table.
pub(in crate::commands) fn table(mirrors: &[MirrorStatus]) -> Table {
    let mut table = Table::new(
        &[
            "MIRROR",
            "STATE",
            "PRIORITY",
            "WEIGHT",
            "SHARE",
            "BUSY",
            "REQUESTS",
            "ERRORS",
            "MEAN",
            "P50",
            "P95",
            "P99",
            "LAST ERROR",
        ],
        &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
    let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    table.extend(mirrors.iter().map(|mirror| {
        [
            mirror.url.clone(),
            mirror.state.to_string(),
            mirror.priority.to_string(),
            mirror.weight.to_string(),
            format!("{:.0} %", mirror.share * 100.0),
            mirror.outstanding.to_string(),
            mirror.requests.to_string(),
            mirror.errors.to_string(),
            ms(mirror.latency_ms),
            ms(mirror.latency_p50_ms),
            ms(mirror.latency_p95_ms),
            ms(mirror.latency_p99_ms),
            mirror.last_error.clone().unwrap_or_default(),
        ]
    }));
    table
}
