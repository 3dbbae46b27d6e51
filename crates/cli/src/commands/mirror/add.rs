//! `restblk mirror add`: one more server for a pool.

use crate::commands::pool::advise;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_api::MirrorSpec;
use restblk_types::PoolName;

/// Add a mirror to a pool, also while its volumes are attached
///
/// It has to show the same repository as the others.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Name of the pool
    #[arg(add = complete::pools())]
    pool: PoolName,
    /// URL of the container that holds the volumes
    url: String,
    /// Its share of the requests, in proportion to the weights of the others of its priority
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    weight: u32,
    /// Mirrors of the highest priority that work have all requests, the others none
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
}

impl Add {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("add {} to the mirrors of {}", self.url, self.pool);
        let mirror = MirrorSpec {
            weight: self.weight,
            priority: self.priority,
            ..MirrorSpec::from(self.url.as_str())
        };
        let pool = session
            .call(&what, session.client.add_mirror(&self.pool, &mirror))
            .await
            .map_err(advise)?;
        session.result(&pool, |_| String::new())?;
        session.note(format!("{} has {} mirrors now", self.pool, pool.spec.urls.len()));
        Ok(())
    }
}
