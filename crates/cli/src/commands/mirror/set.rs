//! `restblk mirror set`: how a mirror is used.

use super::advise;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_api::MirrorChange;
use restblk_types::PoolName;

/// Change how a mirror is used, from the next request on
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name of the pool
    #[arg(add = complete::pools())]
    pool: PoolName,
    /// URL of the mirror, as `restblk mirror list` shows it
    url: String,
    /// Its share of the requests, in proportion to the weights of the others of its priority
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), required_unless_present = "priority")]
    weight: Option<u32>,
    /// Mirrors of the highest priority that work have all requests, the others none
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
}

impl Set {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("change the mirror {} of {}", self.url, self.pool);
        let change = MirrorChange {
            url: self.url.clone(),
            weight: self.weight,
            priority: self.priority,
            drained: None,
        };
        let changed = session
            .call(&what, session.client.set_mirror(&self.pool, &change))
            .await;
        let pool = changed.map_err(|failure| advise(failure, &self.pool))?;
        session.result(&pool, |_| String::new())
    }
}
