//! `restblk volume compress`: how data is packed.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, compression, with_alternatives};
use clap::Args;
use restblk_types::Compression;

/// Set how the data of a log volume is packed from now on, attached or not
///
/// What is on the store stays as it is. What does not get shorter is stored as it is in any case.
#[derive(Debug, Args)]
pub(crate) struct Compress {
    /// Pool and name of the volume
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
    /// lz4, zstd or none
    #[arg(value_name = "CODEC", value_parser = compression, add = complete::compressions())]
    compression: Compression,
}

impl Compress {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("set how {volume} is packed");
        let set = session.client.set_compression(&volume, self.compression);
        match session.call(&what, set).await {
            Ok(set) => session.result(&set, |set| format!("{}\n", set.volume)),
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}
