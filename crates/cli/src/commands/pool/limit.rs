//! `restblk pool limit`: how much I/O the volumes of a pool may do together.

use super::advise;
use crate::commands::limits::{self, Limits};
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_types::PoolName;

/// Limit the requests and bytes a second of all volumes of a pool together, on this host
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Name of the pool
    #[arg(add = complete::pools())]
    name: PoolName,
    #[command(flatten)]
    limits: Limits,
}

impl Limit {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let (what, wanted) = (format!("limit the pool {}", self.name), self.limits.limits()?);
        let call = session.client.limit_pool(&self.name, &wanted);
        let pool = session.call(&what, call).await.map_err(advise)?;
        session.result(&pool, |pool| {
            format!("{} {}\n", pool.spec.name, limits::told(&pool.spec.rate_limits))
        })
    }
}
