//! `restblk mirror resume`: a drained mirror is used again.

use super::advise;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_api::MirrorChange;
use restblk_types::PoolName;

/// Use a drained mirror again
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Name of the pool
    #[arg(add = complete::pools())]
    pool: PoolName,
    /// URL of the mirror, as `restblk mirror list` shows it
    url: String,
}

impl Resume {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("use the mirror {} of {} again", self.url, self.pool);
        let change = MirrorChange {
            url: self.url.clone(),
            drained: Some(false),
            ..MirrorChange::default()
        };
        let resumed = session
            .call(&what, session.client.set_mirror(&self.pool, &change))
            .await;
        let pool = resumed.map_err(|failure| advise(failure, &self.pool))?;
        session.result(&pool, |_| String::new())
    }
}
