//! `restblk mirror drain`: a mirror that is to be taken out of service.

use super::advise;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_types::PoolName;

/// Send a mirror no new requests, and wait until the last one under way has ended
///
/// It stays in the pool, also over a restart; `restblk mirror resume` uses it again. The last mirror that takes requests
/// cannot be drained.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Name of the pool
    #[arg(add = complete::pools())]
    pool: PoolName,
    /// URL of the mirror, as `restblk mirror list` shows it
    url: String,
}

impl Drain {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("drain the mirror {} of {}", self.url, self.pool);
        let drained = session
            .call(&what, session.client.drain_mirror(&self.pool, &self.url))
            .await;
        let pool = drained.map_err(|failure| advise(failure, &self.pool))?;
        session.result(&pool, |_| String::new())?;
        session.note(format!("the last request to {} has ended", self.url));
        Ok(())
    }
}
