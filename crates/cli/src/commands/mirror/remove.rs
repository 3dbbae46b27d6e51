//! `restblk mirror remove`: one server less for a pool.

use super::advise;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_types::PoolName;

/// Remove a mirror from a pool, also while its volumes are attached
///
/// The last one stays while a volume is attached.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Name of the pool
    #[arg(add = complete::pools())]
    pool: PoolName,
    /// URL of the mirror, as `restblk mirror list` shows it
    url: String,
}

impl Remove {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("remove {} from the mirrors of {}", self.url, self.pool);
        let removed = session
            .call(&what, session.client.remove_mirror(&self.pool, &self.url))
            .await;
        let pool = removed.map_err(|failure| advise(failure, &self.pool))?;
        session.result(&pool, |_| String::new())?;
        session.note(format!("{} has {} mirrors now", self.pool, pool.spec.urls.len()));
        Ok(())
    }
}
