//! `restblk pool list`: the pools.

use super::state;
use crate::failure::Result;
use crate::output::Table;
use crate::session::Session;
use clap::Args;
use restblk_api::Pool;

/// List the pools of this host
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let pools = session.call("list the pools", session.client.pools()).await?;
        session.list(
            &pools,
            table,
            "there are no pools; `restblk pool create NAME --store cdmi --url URL` makes one",
        )
    }
}

fn table(pools: &[Pool]) -> Table {
    let mut table = Table::new(&["POOL", "STORE", "STATE", "MIRRORS UP", "URL"], &[]);
    table.extend(pools.iter().map(|pool| {
        let up = pool.mirrors.iter().filter(|mirror| mirror.state.works()).count();
        let dialect = pool.proven.as_ref().and_then(|proven| proven.dialect.as_ref());
        [
            pool.spec.name.to_string(),
            dialect.map_or_else(
                || pool.spec.store.clone(),
                |dialect| format!("{} ({dialect})", pool.spec.store),
            ),
            state(pool.state).to_owned(),
            format!("{up} of {}", pool.mirrors.len()),
            pool.spec
                .urls
                .first()
                .map(|mirror| mirror.url.clone())
                .unwrap_or_default(),
        ]
    }));
    table
}
