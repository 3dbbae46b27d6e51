//! `restblk volume flatten`: make a clone a volume of its own.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;

/// Copy into a clone what it still reads from the volumes that it came from, attached or not
///
/// Then they can be deleted. It takes the space of what is copied. Cut off, it goes on from there when it is asked again.
#[derive(Debug, Args)]
pub(crate) struct Flatten {
    /// Pool and name of the clone
    #[arg(value_name = "POOL/NAME", add = complete::volumes())]
    volume: VolumeArg,
}

impl Flatten {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let what = format!("flatten {volume}");
        match session.call(&what, session.client.flatten(&volume)).await {
            Ok(()) => {
                session.note(format!("{volume} reads from no other volume any more"));
                Ok(())
            }
            Err(failure) => Err(with_alternatives(session, failure, &volume).await),
        }
    }
}
