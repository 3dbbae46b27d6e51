//! `restblk volume shrink`: make a log volume smaller.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, size, with_alternatives};
use clap::Args;
use restblk_api::ShrinkVolume;
use restblk_types::ByteCount;

/// Make a log volume smaller, which must not be attached
///
/// What is on it is shrunk first by its own tool, such as resize2fs, and the rest of the device discarded (blkdiscard): a volume that has
/// data beyond its new end is refused. Its snapshots keep their size.
#[derive(Debug, Args)]
pub(crate) struct Shrink {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    /// New size with a unit, such as 20G
    #[arg(value_parser = size)]
    size: ByteCount,
    /// Give up the data beyond the new end
    #[arg(long)]
    discard_data: bool,
    /// Do not ask before data is given up
    #[arg(short, long)]
    yes: bool,
}

impl Shrink {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let question = format!(
            "Shrink {volume} to {} and give up all that lies beyond?",
            self.size
        );
        if self.discard_data && !self.yes && !session.confirm(&question) {
            session.note("nothing was changed");
            return Ok(());
        }
        let request = ShrinkVolume {
            size: self.size,
            discard_data: self.discard_data,
        };
        let shrunk = session.client.shrink_volume(&volume, &request);
        match session.call(&format!("shrink {volume}"), shrunk).await {
            Ok(shrunk) => session.result(&shrunk, |shrunk| format!("{} {}\n", shrunk.volume, shrunk.size)),
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}
