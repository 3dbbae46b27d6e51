//! `restblk pool delete`: forget a pool on this host.

use super::advise;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use clap::Args;
use restblk_types::PoolName;

/// Forget a pool on this host; the store keeps its volumes
///
/// Refused while a volume of the pool is attached here. `restblk pool create` with the same URL brings it back.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Name of the pool
    #[arg(add = complete::pools())]
    name: PoolName,
}

impl Delete {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let what = format!("forget the pool {}", self.name);
        session
            .call(&what, session.client.delete_pool(&self.name))
            .await
            .map_err(advise)?;
        session.note(format!(
            "forgot the pool {}; the store keeps its volumes",
            self.name
        ));
        Ok(())
    }
}
