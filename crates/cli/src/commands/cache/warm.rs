//! `restblk cache warm`: read a volume into the cache before it is asked for.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;

/// Read all of a log volume into this host's cache, attached or not
///
/// What the cache has already is not read again; cut off, it goes on from there when it is asked again.
#[derive(Debug, Args)]
pub(crate) struct Warm {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
}

impl Warm {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("warm the cache with {volume}");
        match session.call(&what, session.client.warm(&volume)).await {
            Ok(warmed) => {
                session.note(format!("read {} of {volume} into the cache", warmed.read));
                Ok(())
            }
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}
