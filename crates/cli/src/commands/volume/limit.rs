//! `restblk volume limit`: how much I/O a volume may do.

use crate::commands::limits::{self, Limits};
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;

/// Limit the requests and bytes a second of a volume
///
/// The limits are kept with the volume. They hold at once where it is attached to this host, elsewhere from the next attach.
#[derive(Debug, Args)]
pub(crate) struct Limit {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    #[command(flatten)]
    limits: Limits,
}

impl Limit {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let (volume, wanted) = (self.volume.resolve(session).await?, self.limits.limits()?);
        let what = format!("limit {volume}");
        match session
            .call(&what, session.client.limit_volume(&volume, &wanted))
            .await
        {
            Ok(limited) => session.result(&limited, |limited| {
                format!("{} {}\n", limited.volume, limits::told(&limited.rate_limits))
            }),
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}
