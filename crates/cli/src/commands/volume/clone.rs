//! `restblk clone`: a volume that begins as a snapshot.

use crate::commands::keys::KeyFiles;
use crate::complete;
use crate::failure::Result;
use crate::session::Session;
use crate::values::{SnapshotArg, VolumeArg, durability, with_alternatives};
use clap::Args;
use restblk_api::CloneSnapshot;
use restblk_types::Durability;

/// Make a volume that begins as a snapshot of another one
///
/// Nothing is copied: it reads what it has not written from where the snapshot has it. The snapshot's name may be deleted
/// meanwhile, its volume not, until `restblk volume flatten` has made the clone a volume of its own.
///
/// A clone of an encrypted volume is encrypted by the same data key. What opens its parent opens it, or, where a file is named here, that file alone.
#[derive(Debug, Args)]
pub(crate) struct Clone {
    /// The volume and its snapshot
    #[arg(value_name = "POOL/NAME@SNAPSHOT", add = complete::snapshots())]
    snapshot: SnapshotArg,
    /// The new volume, in the same pool
    #[arg(value_name = "POOL/NEW", add = complete::new_volumes())]
    volume: VolumeArg,
    /// What its flushes wait for: local (this host's disk; the store follows) or remote (the store)
    #[arg(long, value_parser = durability, default_value = "local", add = complete::durabilities())]
    durability: Durability,
    #[command(flatten)]
    key: KeyFiles,
}

impl Clone {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        let (snapshot, _) = self.snapshot.resolve(session).await?;
        let volume = self.volume.resolve(session).await?;
        let request = CloneSnapshot {
            volume: volume.clone(),
            durability: self.durability,
            key: self.key.read()?,
        };
        let what = format!("clone {snapshot}");
        match session
            .call(&what, session.client.clone_snapshot(&snapshot, &request))
            .await
        {
            Ok(cloned) => {
                session.result(&cloned, |cloned| format!("{}\n", cloned.volume))?;
                session.note(format!("cloned, {}; next: restblk attach {volume}", cloned.size));
                Ok(())
            }
            Err(failure) => Err(with_alternatives(session, failure, &snapshot).await),
        }
    }
}
