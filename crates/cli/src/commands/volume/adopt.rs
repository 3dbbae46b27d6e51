//! `restblk volume adopt`: a raw file that another program left in the repository becomes a volume.

use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{VolumeArg, with_alternatives};
use clap::Args;

/// Make a volume of a raw file that is in the pool's repository already
///
/// Such as a volume of the kernel driver of 2014, or a disk image put there by another client. Its bytes stay as they are.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// Pool, and name of the file
    #[arg(value_name = "POOL/NAME", add = complete::new_volumes())]
    volume: VolumeArg,
}

impl Adopt {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let volume = self.volume.resolve(session).await?;
        let adopted = match session
            .call(&format!("adopt {volume}"), session.client.adopt_volume(&volume))
            .await
        {
            Ok(adopted) => adopted,
            Err(failure) => return Err(with_alternatives(session, failure, &volume).await),
        };
        session.result(&adopted, |adopted| format!("{}\n", adopted.volume))?;
        session.note(format!(
            "adopted, {}; next: restblk attach {volume}",
            adopted.size
        ));
        Ok(())
    }
}
